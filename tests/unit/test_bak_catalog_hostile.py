"""Catalogues, maps and logs with any bytes changed: an error that says so, or an answer; no crash, no hang."""

import os
import random
import struct
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from sterna.core.errors import BadData, Unsupported
from sterna.engines.sqlserver.wire.database import DatabaseBackup, open_databases
from sterna.engines.sqlserver.wire.log import Replay, replay
from sterna.engines.sqlserver.wire.logrecords import Stretch
from sterna.engines.sqlserver.wire.tables import BulkPages
from tests.backups.corpus import MAKERS
from tests.backups.reading import MemoryBlob, page_or_blank
from tests.unit.bak_logs import BLOCK, PLACE, VLF, Held, Script, page_of, record

ROUNDS = int(os.environ.get("STERNA_FUZZ_ROUNDS", "60"))
SCENES = ["shop_2016", "shop_2005", "odd_rows", "redo_in_full"]
Spoil = Callable[[random.Random, bytearray], None]


class Spoilt:
    """Pages of a backup, some of them changed."""

    def __init__(self, below: BulkPages, changed: dict[tuple[int, int], bytes]) -> None:
        self._below = below
        self._changed = changed

    def has(self, file_id: int, page_id: int) -> bool:
        return self._below.has(file_id, page_id)

    def page(self, file_id: int, page_id: int) -> bytes:
        return self._changed.get((file_id, page_id)) or self._below.page(file_id, page_id)

    def pages(self, file_id: int, page_ids: Iterable[int]) -> Iterator[tuple[int, bytes]]:
        return ((page_id, self.page(file_id, page_id)) for page_id in page_ids)


@pytest.fixture(scope="module")
def backups(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder: Path = tmp_path_factory.mktemp("hostile")
    return {name: MAKERS[name](folder).paths[0].read_bytes() for name in SCENES}


def flip(dice: random.Random, page: bytearray) -> None:
    """A few bytes anywhere."""
    for _ in range(dice.randint(1, 8)):
        page[dice.randrange(len(page))] = dice.choice((0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)))


def mislead(dice: random.Random, page: bytearray) -> None:
    """A number of two or four bytes in the header, a record or the slots is another."""
    at = dice.choice((dice.randrange(96), dice.randrange(96, 400), dice.randrange(8000, 8188)))
    struct.pack_into(
        "<I", page, at, dice.choice((0, 1, 9, 16, 96, 8191, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, dice.getrandbits(32)))
    )


def swap(dice: random.Random, page: bytearray) -> None:
    """Bytes of one place at another."""
    length, one, other = dice.randint(2, 200), dice.randrange(7900), dice.randrange(7900)
    page[one : one + length] = page[other : other + length]


def look(backup: DatabaseBackup) -> None:
    """Everything that there is to ask."""
    backup.schema()
    for table in backup.tables:
        if not table.trouble:
            for part in backup.parts(table.path, 4):
                for _ in backup.copy_text(table.path, part, unstorable="replace"):
                    pass


@pytest.mark.parametrize("spoil", [flip, mislead, swap])
@pytest.mark.parametrize("scene", SCENES)
def test_changed_pages_end_in_an_error_that_says_so(backups: dict[str, bytes], scene: str, spoil: Spoil) -> None:
    dice = random.Random(f"{scene} {spoil.__name__}")
    (sound,) = open_databases([MemoryBlob("a.bak", backups[scene])])
    below = sound.replay.pages
    places = [(1, page) for page in range(400) if any(page_or_blank(below, page))]
    errors = 0
    for _ in range(ROUNDS):
        changed = {}
        for place in dice.sample(places, dice.randint(1, 3)):
            page = bytearray(below.page(*place))
            spoil(dice, page)
            changed[place] = bytes(page)
        backup = DatabaseBackup(sound.chain)
        backup.__dict__["_replay"] = Replay(Spoilt(below, changed), 0, 0, (), 0)
        began = time.process_time()
        try:
            look(backup)
        except (BadData, Unsupported):
            errors += 1
        assert time.process_time() - began < 5
    assert errors or spoil is swap


@pytest.mark.parametrize("seed", range(4))
def test_a_changed_log_ends_in_an_error_or_in_pages_given_up(seed: int) -> None:
    dice = random.Random(seed)
    script = Script()
    for number in range(20):
        mine = script.begin()
        script.insert(mine, number, record("row", number))
        script.modify(mine, number, 4, struct.pack("<i", number), struct.pack("<i", -number))
        if number % 3:
            script.commit(mine)
    stretch = script.stretch()
    data = stretch.read(0, stretch.length)
    for _ in range(ROUNDS * 4):
        spoilt = bytearray(data)
        for _ in range(dice.randint(1, 6)):
            spoilt[dice.randrange(len(spoilt))] = dice.randrange(256)
        log = Stretch("a.trn", lambda at, size, bad=bytes(spoilt): bad[at : at + size], len(spoilt), VLF, BLOCK)  # type: ignore[misc]
        told = ""
        try:
            replay(Held(page_of([])), [log]).pages.page(*PLACE)
        except BadData as error:
            told = error.message
        assert not told or "a.trn" in told


def test_maps_that_lead_in_a_ring_are_refused(backups: dict[str, bytes]) -> None:
    (sound,) = open_databases([MemoryBlob("a.bak", backups["shop_2016"])])
    below = sound.replay.pages
    maps = [page for page in range(400) if page_or_blank(below, page)[1] == 10]
    changed = {}
    for number in maps:
        page = bytearray(below.page(1, number))
        struct.pack_into("<IH", page, 16, number, 1)
        changed[1, number] = bytes(page)
    backup = DatabaseBackup(sound.chain)
    backup.__dict__["_replay"] = Replay(Spoilt(below, changed), 0, 0, (), 0)
    with pytest.raises(BadData, match="ring"):
        backup.schema()


def test_a_chain_of_pages_that_comes_back_is_refused(backups: dict[str, bytes]) -> None:
    (sound,) = open_databases([MemoryBlob("a.bak", backups["shop_2016"])])
    below = sound.replay.pages
    first = struct.unpack_from("<IH", below.page(1, 9), 612)
    page = bytearray(below.page(first[1], first[0]))
    struct.pack_into("<IH", page, 16, *first)
    backup = DatabaseBackup(sound.chain)
    backup.__dict__["_replay"] = Replay(Spoilt(below, {(first[1], first[0]): bytes(page)}), 0, 0, (), 0)
    with pytest.raises(BadData, match="comes back"):
        backup.schema()
