"""Which databases and keys go where."""

import pytest

from sterna.core.errors import Invalid
from sterna.core.plan import Rename, RowFilter, Selection
from sterna.engines.redis.mapping import Mapping, prefix

EVERY_KEY = RowFilter()


def mapping(*renames: tuple[str, str], only: tuple[str, ...] = (), rows: RowFilter = EVERY_KEY) -> Mapping:
    return Mapping.of(Selection(only=only, renames=tuple(Rename(*pair) for pair in renames), rows=rows))


def test_without_a_selection_everything_keeps_its_place() -> None:
    found = mapping()
    assert found.identity
    assert not found.filtered
    assert found.target_of(7) == 7
    assert found.sources_in([3, 0, 3]) == {0: (0,), 3: (3,)}


def test_a_single_database_can_be_chosen_and_moved() -> None:
    found = mapping(("3", "0"), only=("3",))
    assert not found.identity
    assert [found.target_of(number) for number in (0, 3)] == [None, 0]


def test_all_databases_can_go_into_one_and_a_named_one_elsewhere() -> None:
    found = mapping(("*", "0"), ("5", "6"))
    assert found.sources_in([1, 2, 5]) == {0: (1, 2), 6: (5,)}


def test_a_database_that_is_named_with_its_own_number_changes_nothing() -> None:
    assert mapping(("3", "3")).identity


@pytest.mark.parametrize(
    "selection",
    [
        Selection(only=("one",)),
        Selection(only=("-1",)),
        Selection(only=("",)),
        Selection(only=("٣",)),
        Selection(renames=(Rename("0", "*"),)),
        Selection(renames=(Rename("0", "1"), Rename("0", "2"))),
        Selection(renames=(Rename("*", "1"), Rename("*", "2"))),
        Selection(only=("99999999999",)),
    ],
)
def test_words_that_are_no_databases_are_refused(selection: Selection) -> None:
    with pytest.raises(Invalid):
        Mapping.of(selection)


def test_keys_are_kept_by_prefix_and_left_out_more_strongly() -> None:
    found = mapping(rows=RowFilter(include=("user:", "é"), exclude=("user:tmp:",)))
    kept = [key for key in (b"user:1", b"user:tmp:1", "é1".encode(), b"other") if found.keep(key)]
    assert kept == [b"user:1", "é1".encode()]
    assert found.filtered


def test_only_what_is_left_out_may_be_named() -> None:
    found = mapping(rows=RowFilter(exclude=("tmp:",)))
    assert [found.keep(key) for key in (b"tmp:1", b"x", b"")] == [False, True, True]


def test_prefixes_may_hold_any_byte() -> None:
    assert prefix(r"a\x00\xfF\\x41\q") == b"a\x00\xff\\x41\\q"
