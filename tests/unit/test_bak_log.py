"""A log played onto pages: done where pages lack it, taken back where nobody committed, given up where unsure."""

import struct
from dataclasses import replace

import pytest

from sterna.core.errors import BadData
from sterna.engines.sqlserver.wire import log as log_module
from sterna.engines.sqlserver.wire import redo
from sterna.engines.sqlserver.wire.log import replay
from sterna.engines.sqlserver.wire.logrecords import Stretch, changes, lsn_of_decimal, lsn_text
from sterna.engines.sqlserver.wire.overlay import Overlay
from sterna.engines.sqlserver.wire.rowpage import RowPage
from tests.unit.bak_logs import PLACE, UNIT, Held, Script, page_of, record, records_of

A, B, C, D = (record(letter * 5, number) for number, letter in enumerate("abcd"))


def ghost(row: bytes) -> bytes:
    return bytes((row[0] | 6 << 1,)) + row[1:]


def test_what_a_page_lacks_is_done_in_order() -> None:
    script = Script()
    mine = script.begin()
    script.insert(mine, 1, B)
    script.modify(mine, 0, 4, struct.pack("<i", 0), struct.pack("<i", 9))
    script.commit(mine)
    played = script.play(page_of([A, C]))
    assert records_of(played) == [record("aaaaa", 9), B, C]
    assert (played.done, played.undone, played.lost) == (2, 0, ())
    assert not played.clean


def test_what_a_page_has_already_is_not_done_again() -> None:
    script = Script()
    mine = script.begin()
    script.insert(mine, 1, B)
    script.commit(mine)
    newest = script.log.lsns[PLACE]
    page = page_of([A, B], lsn=newest[0] << 48 | newest[1] << 16 | newest[2])
    played = script.play(page)
    assert played.clean
    assert played.pages.page(*PLACE) == page


def test_a_log_that_comes_twice_is_played_once() -> None:
    script = Script()
    mine = script.begin()
    script.insert(mine, 0, A, context=redo.HEAP)
    script.commit(mine)
    stretch = script.stretch()
    played = replay(Held(page_of([])), [stretch], [stretch])
    assert (played.done, records_of(played)) == (1, [A])


def test_a_missing_change_before_a_change_gives_the_page_up() -> None:
    script = Script(lsn=5 << 48)
    mine = script.begin()
    script.insert(mine, 1, B)
    script.commit(mine)
    played = script.play(page_of([A], lsn=4 << 48))
    (lost,) = played.lost
    assert (lost.place, lost.unit) == (PLACE, UNIT)
    assert "the page is at 00000004:00000000:0000, and should be at 00000005:00000000:0000" in lost.why


def test_another_row_than_the_log_says_gives_the_page_up() -> None:
    script = Script()
    mine = script.begin()
    script.modify(mine, 0, 4, struct.pack("<i", 5), struct.pack("<i", 6))
    script.insert(mine, 1, B)
    script.commit(mine)
    played = script.play(page_of([A]))
    assert [lost.place for lost in played.lost] == [PLACE]
    assert played.done == 0


def test_a_page_that_is_not_there_is_given_up() -> None:
    script = Script()
    mine = script.begin()
    script.insert(mine, 0, A)
    script.commit(mine)
    (lost,) = script.play().lost
    assert "not in the backup" in lost.why


@pytest.mark.parametrize("context", [redo.HEAP, redo.CLUSTERED, redo.GHOST])
def test_a_deleted_row_is_gone(context: int) -> None:
    script = Script()
    mine = script.begin()
    script.delete(mine, 1, B, context)
    script.commit(mine)
    played = script.play(page_of([A, B, C]))
    after = {redo.HEAP: [A, None, C], redo.CLUSTERED: [A, C], redo.GHOST: [A, ghost(B), C]}
    assert records_of(played) == after[context]


def test_a_ghost_is_cleared_away_and_nothing_else() -> None:
    script = Script()
    mine = script.begin()
    script.delete(mine, 1, B, redo.GHOST)
    script.row(mine, redo.EXPUNGE, redo.CLUSTERED, 1, [])
    script.commit(mine)
    assert records_of(script.play(page_of([A, B, C]))) == [A, C]

    script = Script()
    mine = script.begin()
    script.row(mine, redo.EXPUNGE, redo.CLUSTERED, 1, [])
    assert "no ghost" in script.play(page_of([A, B, C])).lost[0].why


def test_an_open_transaction_is_taken_back() -> None:
    script = Script()
    mine = script.begin()
    script.insert(mine, 1, B)
    script.modify(mine, 1, 4, struct.pack("<i", 1), struct.pack("<i", 77))
    script.delete(mine, 0, A, redo.GHOST)
    played = script.play(page_of([A, C]))
    assert records_of(played) == [A, C]
    assert (played.done, played.undone, played.unfinished) == (3, 3, 1)


def test_rows_of_an_open_transaction_are_found_where_others_moved_them() -> None:
    script = Script()
    mine, other = script.begin(), script.begin()
    script.insert(mine, 1, B)
    script.insert(other, 0, record("first", -1))
    script.modify(mine, 2, 4, struct.pack("<i", 1), struct.pack("<i", 50))
    script.delete(other, 1, A)
    script.insert(mine, 3, D)
    script.commit(other)
    played = script.play(page_of([A, C]))
    assert not played.lost
    assert records_of(played) == [record("first", -1), C]


def test_rows_of_a_heap_are_taken_back_in_their_slots() -> None:
    script = Script()
    mine = script.begin()
    script.delete(mine, 0, A, redo.HEAP)
    script.insert(mine, 3, D, context=redo.HEAP)
    played = script.play(page_of([A, None, C]))
    assert records_of(played) == [A, None, C, None]


def test_what_was_rolled_back_already_is_stepped_over() -> None:
    script = Script()
    mine = script.begin()
    script.insert(mine, 0, A)
    kept = mine.last
    script.insert(mine, 1, B)
    script.take_back(mine, kept, 1, B)
    played = script.play(page_of([C]))
    assert (played.done, played.undone) == (3, 1)
    assert records_of(played) == [C]


def test_a_transaction_whose_begin_is_not_in_the_log_cannot_be_taken_back() -> None:
    script = Script()
    mine = script.begin()
    script.log.cut()
    begun = len(script.log.out)
    script.insert(mine, 0, A)
    whole = script.stretch()
    data, blocks = whole.read(begun, whole.length), begun // 512
    cut = Stretch(
        "a.trn", lambda at, size: data[at : at + size], len(data), whole.file, whole.first_block + blocks
    )
    played = replay(Held(page_of([C])), [cut])
    assert "cannot be taken back as a whole" in played.lost[0].why


def test_transactions_too_large_to_remember_are_not_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "_MOST_OPEN", 2000)
    script = Script()
    mine = script.begin()
    for number in range(40):
        script.insert(mine, number, record("x", number))
    played = script.play(page_of([]))
    assert [lost.place for lost in played.lost] == [PLACE]

    script = Script()
    mine = script.begin()
    for number in range(40):
        script.insert(mine, number, record("x", number))
    script.commit(mine)
    assert len(records_of(script.play(page_of([])))) == 40


def test_a_split_moves_rows_to_a_new_page() -> None:
    script = Script()
    mine = script.begin()
    fixed = bytearray(80)
    struct.pack_into("<H", fixed, 2, 80)
    fixed[0x16:0x18] = bytes((redo.FORMAT, redo.CLUSTERED))
    struct.pack_into("<IHH", fixed, 0x18, 96, 1, 0xFFFF)
    struct.pack_into("<I", fixed, 0x20, UNIT >> 16 & 0xFFFFFFFF)
    struct.pack_into("<H", fixed, 0x2E, UNIT >> 48)
    fixed[0x30:0x32] = bytes((1, 4))
    struct.pack_into("<IHHIH", fixed, 0x34, 80, 1, 8, 0, 0)
    new = script.log.add(bytes(fixed), [])
    there = Script((1, 96))
    there.log, there.page.lsn = script.log, new
    there.insert(mine, 0, C, D)
    split = bytearray(60)
    struct.pack_into("<H", split, 2, 60)
    split[0x16:0x18] = bytes((redo.DELETE_SPLIT, redo.CLUSTERED))
    struct.pack_into("<IHHI", split, 0x18, 80, 1, 2, UNIT >> 16 & 0xFFFFFFFF)
    struct.pack_into("<IIH", split, 0x24, 1, 0, 0)
    struct.pack_into("<HIHHH", split, 0x2E, UNIT >> 48, 96, 1, 2, 40)
    script.log.add(bytes(split), [])
    script.commit(mine)
    played = script.play(page_of([A, B, C, D]))
    assert not played.lost
    assert records_of(played) == [A, B]
    assert records_of(played, (1, 96)) == [C, D]
    made = played.pages.page(1, 96)
    assert struct.unpack_from("<IHHIH", made, 8) == (80, 1, 8, 0, 0)


def test_pages_of_indexes_are_left_alone() -> None:
    script = Script()
    mine = script.begin()
    script.insert(mine, 0, A, context=redo.INDEX_LEAF)
    script.commit(mine)
    assert script.play(page_of([B], kind=2)).clean


def test_operations_that_are_not_known_give_the_page_up() -> None:
    script = Script()
    mine = script.begin()
    script.row(mine, 0x0F, redo.CLUSTERED, 0, [])
    script.commit(mine)
    assert "operation 0xf in context 2 is not known" in script.play(page_of([A])).lost[0].why


def test_more_changed_pages_than_fit_in_memory_go_into_a_file() -> None:
    below = Held(*(page_of([A], (1, number)) for number in range(200)))
    overlay = Overlay(below, in_memory=8 * 8192)
    for number in range(0, 200, 3):
        overlay.put((1, number), page_of([B], (1, number)))
    found = dict(overlay.pages(1, range(200)))
    assert list(found) == list(range(200))
    for number, page in found.items():
        assert RowPage.parse(page).records == [A if number % 3 else B]
    assert len(overlay) == 67
    assert not overlay.has(1, 200)


def test_a_log_that_ends_within_a_block_is_damaged() -> None:
    script = Script()
    mine = script.begin()
    for number in range(60):
        script.insert(mine, number, record("y" * 40, number))
    whole = script.stretch()
    cut = Stretch("a.trn", whole.read, whole.length - 512, whole.file, whole.first_block)
    with pytest.raises(BadData, match=r"a\.trn"):
        list(changes(cut))


def three_blocks() -> Stretch:
    script = Script()
    mine = script.begin()
    for number in range(3):
        script.insert(mine, number, record("y" * 40, number))
        script.log.cut()
    script.commit(mine)
    return script.stretch()


def starts_of(whole: Stretch) -> list[int]:
    """Where its blocks begin."""
    found, at = [], 0
    while at < whole.length:
        found.append(at)
        at += struct.unpack("<H", whole.read(at + 6, 2))[0]
    return found


def with_byte(whole: Stretch, place: int, value: int) -> Stretch:
    data = bytearray(whole.read(0, whole.length))
    data[place] = value
    return replace(whole, read=lambda at, size: bytes(data[at : at + size]))


def test_a_changed_byte_of_the_log_is_not_played() -> None:
    whole = three_blocks()
    assert len(list(changes(whole))) == 5
    changed = whole.read(100, 1)[0] ^ 4
    with pytest.raises(BadData, match=r"a\.trn: the checksum of block 7:16 of the log is wrong"):
        list(changes(with_byte(whole, 100, changed)))
    unsummed = with_byte(whole, 24, 0)
    for at in (25, 26, 27):
        unsummed = with_byte(unsummed, at, 0)
    assert len(list(changes(with_byte(unsummed, 100, changed)))) == 5


@pytest.mark.parametrize("byte", [0, 12, 16])
def test_a_log_does_not_end_where_a_header_is_damaged(byte: int) -> None:
    whole = three_blocks()
    first, second, *_, last = starts_of(whole)
    assert first == 0
    with pytest.raises(BadData, match="is not where the log goes on"):
        list(changes(with_byte(whole, second + byte, 0x7E & ~0x10)))
    cut_short = with_byte(whole, last + byte, 0x7E & ~0x10)
    assert 0 < len(list(changes(cut_short))) < 5
    end = whole.first_block + whole.length // 512
    assert len(list(changes(replace(whole, reaches=end)))) == 5
    with pytest.raises(BadData, match="is not where the log goes on"):
        list(changes(replace(cut_short, reaches=end)))


def test_places_in_the_log_are_told_in_one_way() -> None:
    place = lsn_of_decimal(25000000006200170)
    assert lsn_text(place) == "00000019:0000003e:00aa"
