"""Many small reads of a far file are few requests, whatever their order, and memory stays bounded."""

import random
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sterna.core.errors import BadData, Unreachable
from sterna.storage.buffered import Buffered
from sterna.storage.checksums import Front, md5
from sterna.storage.patience import Patience

DATA = random.Random(3).randbytes(1000)


class Far:
    """A blob that remembers what it was asked for, and fails when told to."""

    name = "far"
    size = len(DATA)

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []
        self.failures = 0
        self.closed = False

    def read_at(self, offset: int, length: int) -> bytes:
        self.asked.append((offset, length))
        if self.failures:
            self.failures -= 1
            raise Unreachable
        return DATA[offset : offset + length]

    def close(self) -> None:
        self.closed = True


@given(st.lists(st.tuples(st.integers(0, 1100), st.integers(0, 700)), max_size=20), st.integers(1, 300))
def test_every_read_gives_what_is_there(reads: list[tuple[int, int]], block: int) -> None:
    blob = Buffered(Far(), block, 3)
    for offset, length in reads:
        assert blob.read_at(offset, length) == DATA[offset : offset + length]
    blob.close()


def test_a_reader_that_goes_on_costs_one_request_a_block() -> None:
    far = Far()
    blob = Buffered(far, 100, 4)
    assert b"".join(blob.read_at(at, 7) for at in range(0, 1000, 7)) == DATA
    assert sorted(far.asked) == [(at, 100) for at in range(0, 1000, 100)]
    blob.close()
    assert far.closed


def test_a_reader_that_jumps_within_the_kept_blocks_asks_once_for_each() -> None:
    far = Far()
    blob = Buffered(far, 100, 4)
    for at in (510, 130, 780, 515, 135, 785, 590, 199):
        assert blob.read_at(at, 1) == DATA[at : at + 1]
    assert [offset for offset, _ in far.asked] == [500, 100, 700]
    blob.close()


def test_a_large_read_goes_straight_through() -> None:
    far = Far()
    blob = Buffered(far, 100, 4)
    assert blob.read_at(50, 900) == DATA[50:950]
    assert far.asked == [(50, 900)]
    blob.close()


def test_no_more_blocks_are_held_than_allowed() -> None:
    blob = Buffered(Far(), 10, 3)
    for at in range(0, 1000, 5):
        blob.read_at(at, 5)
        assert len(blob._blocks) <= 3
    blob.close()


def test_a_block_that_could_not_be_read_is_asked_for_again() -> None:
    far = Far()
    far.failures = 1
    blob = Buffered(far, 100, 4)
    with pytest.raises(Unreachable):
        blob.read_at(500, 1)
    assert blob.read_at(500, 1) == DATA[500:501]
    blob.close()
    blob.close()
    with pytest.raises(ValueError, match="closed"):
        blob.read_at(0, 1)


def test_many_threads_share_the_blocks() -> None:
    far = Far()
    blob = Buffered(far, 100, 11)
    wrong: list[int] = []

    def read(seed: int) -> None:
        dice = random.Random(seed)
        for _ in range(300):
            at, length = dice.randrange(1000), dice.randrange(200)
            if blob.read_at(at, length) != DATA[at : at + length]:
                wrong.append(at)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(far.asked) == 10
    blob.close()


def test_the_front_is_followed_though_reads_ahead_come_first() -> None:
    good, bad = md5(b"0123456789").hexdigest(), md5(b"other").hexdigest()
    for order in ((0, 4, 8), (4, 8, 0), (8, 0, 4)):
        front, wrong = Front("f", 10, good), Front("f", 10, bad)
        for at in order[:-1]:
            front.read(at, b"0123456789"[at : at + 4])
            wrong.read(at, b"0123456789"[at : at + 4])
        front.read(order[-1], b"0123456789"[order[-1] : order[-1] + 4])
        with pytest.raises(BadData):
            wrong.read(order[-1], b"0123456789"[order[-1] : order[-1] + 4])
    again = Front("f", 10, bad)
    for at in (0, 0, 4, 8):
        again.read(at, b"0123456789"[at : at + 4])  # read twice: nothing is proved, and nothing raised


def test_patience_waits_longer_each_time_and_ends() -> None:
    waited: list[float] = []
    patience = Patience(tries=5, first=1, longest=3, sleep=waited.append)

    def fail() -> None:
        raise Unreachable("gone")

    with pytest.raises(Unreachable, match="gone"):
        patience.try_again(fail)
    assert waited == [1, 2, 3, 3]
