"""The spool: what was appended is read back, after any crash, and a full disk costs nothing but time."""

import asyncio
import errno
import os
import random
import stat
from pathlib import Path

import pytest

from sterna.core.errors import BadData
from sterna.engines.redis.frames import HEAD_BYTES, MAGIC, MOST_FRAME
from sterna.engines.redis.spool import Spool, SpoolFull
from tests.effort import PATIENCE

REPLID = "a" * 40


def begun(folder: Path, *, offset: int = 1000, limit_bytes: int = 0, segment_bytes: int = 1 << 20) -> Spool:
    spool = Spool.open(folder, limit_bytes=limit_bytes, segment_bytes=segment_bytes)
    spool.reset(offset, REPLID)
    return spool


def everything(spool: Spool, offset: int | None = None, most_bytes: int = 1 << 20) -> bytes:
    data, offset = b"", spool.start if offset is None else offset
    while found := spool.read(offset, most_bytes):
        assert 0 < len(found[0]) <= most_bytes
        data += found[0]
        offset += len(found[0])
    assert offset == spool.end
    return data


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.spool"))


def test_what_is_appended_is_read_back_with_its_time(tmp_path: Path) -> None:
    spool = begun(tmp_path)
    spool.append(1000, b"hello", 7)
    spool.append(1005, b"world", 8)
    assert spool.read(1000, 100) == (b"hello", 7)
    assert spool.read(1003, 100) == (b"lo", 7)
    assert spool.read(1005, 2) == (b"wo", 8)
    assert spool.read(1010, 100) is None
    assert (spool.start, spool.end, spool.replid) == (1000, 1010, REPLID)


def test_an_append_must_go_on_where_the_last_ended(tmp_path: Path) -> None:
    spool = begun(tmp_path)
    with pytest.raises(ValueError, match="ends at 1000"):
        spool.append(1001, b"x", 0)


def test_only_what_is_there_can_be_read(tmp_path: Path) -> None:
    spool = begun(tmp_path)
    for offset in (999, 1001):
        with pytest.raises(ValueError, match="holds 1000 to 1000"):
            spool.read(offset, 1)


@pytest.mark.parametrize("segment_bytes", [1, 100, 1 << 20])
def test_it_is_read_the_same_from_any_offset_and_after_opening_it_again(
    tmp_path: Path, segment_bytes: int
) -> None:
    chance = random.Random(segment_bytes)
    spool = begun(tmp_path, segment_bytes=segment_bytes)
    whole = b""
    for number in range(60):
        data = chance.randbytes(chance.randint(1, 40))
        spool.append(1000 + len(whole), data, number)
        whole += data
    for opened in (spool, Spool.open(tmp_path, segment_bytes=segment_bytes)):
        assert opened.replid == REPLID
        assert everything(opened) == whole
        for offset in chance.sample(range(len(whole)), 60):
            assert everything(opened, 1000 + offset, 7) == whole[offset:]
        opened.close()


def test_data_larger_than_a_frame_is_cut_and_read_back_whole(tmp_path: Path) -> None:
    data = random.Random(1).randbytes(2 * MOST_FRAME + 12345)
    spool = begun(tmp_path, segment_bytes=1 << 20)
    spool.append(1000, data, 5)
    spool.append(1000 + len(data), b"end", 6)
    assert everything(spool, most_bytes=1 << 30) == data + b"end"
    spool.close()
    assert everything(Spool.open(tmp_path)) == data + b"end"


def test_a_tail_torn_at_any_byte_is_cut_off_and_the_stream_goes_on(tmp_path: Path) -> None:
    spool = begun(tmp_path)
    spool.append(1000, b"first", 1)
    spool.append(1005, b"second", 2)
    spool.close()
    [path] = segments(tmp_path)
    whole = path.read_bytes()
    border = HEAD_BYTES + 5
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        opened = Spool.open(tmp_path)
        kept = b"firstsecond" if size == len(whole) else b"first" if size >= border else b""
        assert everything(opened) == kept
        opened.append(opened.end, b"again", 3)
        opened.close()
        assert everything(Spool.open(tmp_path)) == kept + b"again"


def test_a_tail_of_garbage_or_zeros_is_cut_off(tmp_path: Path) -> None:
    for garbage in (bytes(5000), b"\xff" * 100, MAGIC * 9, MAGIC + b"\xff" * 100):
        spool = begun(tmp_path)
        spool.append(1000, b"first", 1)
        spool.close()
        [path] = segments(tmp_path)
        path.write_bytes(path.read_bytes() + garbage)
        assert everything(Spool.open(tmp_path)) == b"first"


def test_what_was_not_yet_safe_may_be_torn_in_the_middle_too(tmp_path: Path) -> None:
    """After a power cut, pages that were never synced may be missing while later ones are there."""
    spool = begun(tmp_path)
    spool.append(1000, b"first", 1)
    spool.sync()
    spool.append(1005, b"second", 2)
    spool.append(1011, b"third", 3)
    spool.close()
    [path] = segments(tmp_path)
    data = bytearray(path.read_bytes())
    data[2 * HEAD_BYTES + 6] ^= 1
    path.write_bytes(data)
    assert everything(Spool.open(tmp_path)) == b"first"


def test_damage_to_what_was_safe_is_refused_with_file_and_byte(tmp_path: Path) -> None:
    spool = begun(tmp_path)
    for number in range(3):
        spool.append(spool.end, b"x" * 20, number)
        spool.sync()
    spool.close()
    [path] = segments(tmp_path)
    sound = path.read_bytes()
    frame = HEAD_BYTES + 20
    for place in range(2 * frame):
        data = bytearray(sound)
        data[place] ^= 0x10
        path.write_bytes(data)
        with pytest.raises(BadData) as caught:
            Spool.open(tmp_path)
        assert caught.value.message == f"{path} is damaged at byte {place // frame * frame}"


def test_damage_to_an_earlier_segment_is_refused_when_it_is_read(tmp_path: Path) -> None:
    spool = begun(tmp_path, segment_bytes=60)
    for number in range(6):
        spool.append(spool.end, b"x" * 20, number)
    spool.close()
    first = segments(tmp_path)[0]
    data = bytearray(first.read_bytes())
    data[HEAD_BYTES + 20 + HEAD_BYTES + 3] ^= 1
    first.write_bytes(data)
    opened = Spool.open(tmp_path)
    assert opened.read(1000, 100) == (b"x" * 20, 0)
    with pytest.raises(BadData, match=f"damaged at byte {HEAD_BYTES + 20}"):
        opened.read(1020, 100)
    first.unlink()
    assert Spool.open(tmp_path).start == 1040


def test_a_damaged_identity_is_refused(tmp_path: Path) -> None:
    begun(tmp_path)
    (tmp_path / "identity.json").write_text("{")
    with pytest.raises(BadData, match=r"identity\.json"):
        Spool.open(tmp_path)


def test_whole_segments_are_deleted_once_forgotten(tmp_path: Path) -> None:
    spool = begun(tmp_path, segment_bytes=100)
    for number in range(8):
        spool.append(spool.end, b"x" * 50, number)
    assert len(segments(tmp_path)) == 4
    before = spool.size
    spool.forget(1199)
    assert (spool.start, len(segments(tmp_path))) == (1100, 3)
    assert spool.size == before * 3 // 4
    assert everything(spool) == b"x" * 300
    spool.forget(spool.end)
    assert (spool.start, spool.end, spool.size, segments(tmp_path)) == (1400, 1400, 0, [])
    spool.append(1400, b"more", 9)
    spool.close()
    opened = Spool.open(tmp_path, segment_bytes=100)
    assert (opened.start, everything(opened)) == (1400, b"more")


def test_an_offset_survives_even_if_nothing_is_kept(tmp_path: Path) -> None:
    begun(tmp_path, offset=77).close()
    opened = Spool.open(tmp_path)
    assert (opened.start, opened.end, opened.replid) == (77, 77, REPLID)


def test_at_its_limit_it_is_full_until_something_is_forgotten(tmp_path: Path) -> None:
    spool = begun(tmp_path, limit_bytes=2000)
    while spool.size + HEAD_BYTES + 40 <= 2000:
        spool.append(spool.end, b"x" * 40, 1)
    end = spool.end
    with pytest.raises(SpoolFull):
        spool.append(end, b"x" * 40, 1)
    spool.forget(end - 200)
    spool.append(end, b"y" * 40, 2)
    assert everything(spool).endswith(b"xxx" + b"y" * 40)


def test_a_tiny_limit_never_stops_the_stream_for_good(tmp_path: Path) -> None:
    spool = begun(tmp_path, limit_bytes=10)
    for data in (b"x" * 100, b"y" * 100):
        spool.append(spool.end, data, 1)
        with pytest.raises(SpoolFull):
            spool.append(spool.end, b"z", 1)
        assert everything(spool) == data
        spool.forget(spool.end)


async def test_its_limit_is_passed_only_for_a_reader_that_has_nothing_left_to_read(tmp_path: Path) -> None:
    spool = begun(tmp_path, limit_bytes=2000)
    spool.append(spool.end, b"x" * 1900, 1)
    waiting = asyncio.create_task(spool.wait(spool.end))
    await asyncio.sleep(0)
    spool.append(spool.end, b"y" * 1900, 2)
    await waiting
    with pytest.raises(SpoolFull):
        spool.append(spool.end, b"z" * 1900, 3)
    assert everything(spool) == b"x" * 1900 + b"y" * 1900


def test_a_disk_that_fills_up_in_the_middle_of_a_frame_leaves_the_spool_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = begun(tmp_path)
    spool.append(1000, b"first", 1)
    write = os.write
    for room in (0, 1, HEAD_BYTES, HEAD_BYTES + 3):
        left = [room]

        def scarce(handle: int, data: memoryview, left: list[int] = left) -> int:
            if not left[0]:
                raise OSError(errno.ENOSPC, "No space left on device")
            done = write(handle, data[: left[0]])
            left[0] -= done
            return done

        with monkeypatch.context() as patch:
            patch.setattr(os, "write", scarce)
            with pytest.raises(SpoolFull, match="No space left"):
                spool.append(1005, b"second", 2)
        assert (spool.end, segments(tmp_path)[0].stat().st_size) == (1005, HEAD_BYTES + 5)
    spool.append(1005, b"second", 2)
    assert everything(spool) == b"firstsecond"
    spool.close()
    assert everything(Spool.open(tmp_path)) == b"firstsecond"


def test_no_room_for_a_new_segment_is_being_full_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = begun(tmp_path, segment_bytes=10)
    spool.append(1000, b"first", 1)
    opening = os.open

    def full(path: Path, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_CREAT:
            raise OSError(errno.EDQUOT, "Disk quota exceeded")
        return opening(path, flags, mode)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", full)
        with pytest.raises(SpoolFull, match="quota"):
            spool.append(1005, b"second", 2)
    spool.append(1005, b"second", 2)
    assert everything(spool) == b"firstsecond"


def test_a_reset_begins_anew(tmp_path: Path) -> None:
    spool = begun(tmp_path, segment_bytes=50)
    for _ in range(5):
        spool.append(spool.end, b"x" * 30, 1)
    spool.reset(5, "b" * 40)
    assert (spool.start, spool.end, spool.size, spool.replid, segments(tmp_path)) == (5, 5, 0, "b" * 40, [])
    spool.append(5, b"new", 2)
    spool.close()
    assert everything(Spool.open(tmp_path)) == b"new"


def test_a_history_may_go_by_a_new_name(tmp_path: Path) -> None:
    spool = begun(tmp_path)
    spool.append(1000, b"first", 1)
    spool.rename("c" * 40)
    spool.close()
    opened = Spool.open(tmp_path)
    assert (opened.replid, everything(opened)) == ("c" * 40, b"first")


def test_removing_leaves_nothing_and_may_be_repeated(tmp_path: Path) -> None:
    spool = begun(tmp_path)
    spool.append(1000, b"first", 1)
    spool.remove()
    spool.remove()
    assert list(tmp_path.iterdir()) == []


def test_segments_without_an_identity_are_not_trusted(tmp_path: Path) -> None:
    spool = begun(tmp_path)
    spool.append(1000, b"first", 1)
    spool.close()
    (tmp_path / "identity.json").unlink()
    opened = Spool.open(tmp_path)
    assert (opened.start, opened.end, opened.replid, segments(tmp_path)) == (0, 0, "", [])


def test_the_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    spool = begun(folder)
    spool.append(1000, b"first", 1)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert (modes, stat.S_IMODE(folder.stat().st_mode)) == ({0o600}, 0o700)


async def test_who_waits_wakes_when_something_arrives(tmp_path: Path) -> None:
    spool = begun(tmp_path)
    waiting = asyncio.create_task(spool.wait(1000))
    await asyncio.sleep(0)
    assert not waiting.done()
    spool.append(1000, b"x", 1)
    await asyncio.wait_for(waiting, PATIENCE)
    await asyncio.wait_for(spool.wait(1000), PATIENCE)


async def test_who_waits_can_be_woken_without_data(tmp_path: Path) -> None:
    spool = begun(tmp_path)
    waiting = asyncio.create_task(spool.wait(1000))
    await asyncio.sleep(0)
    spool.wake()
    await asyncio.wait_for(waiting, PATIENCE)


def test_reading_follows_the_writer_and_forgetting_follows_the_reader(tmp_path: Path) -> None:
    chance = random.Random(3)
    spool = begun(tmp_path, limit_bytes=4000, segment_bytes=300)
    written = read = b""
    while len(read) < 20_000:
        data = chance.randbytes(chance.randint(1, 200))
        try:
            spool.append(1000 + len(written), data, 1)
            written += data
        except SpoolFull:
            spool.forget(1000 + len(read))
        if chance.random() < 0.5 and (found := spool.read(1000 + len(read), chance.randint(1, 500))):
            read += found[0]
    assert written.startswith(read)
    assert spool.size <= 4000
