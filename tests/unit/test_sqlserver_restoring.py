"""What is decided before a SQL Server restores: quoting, order, names. No server is needed."""

from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sterna.core.errors import BadData, KeyConflict, Unsupported
from sterna.core.plan import Endpoint, Mode, Picked, Plan, Rename, Selection
from sterna.engines.sqlserver.restoring import tsql
from sterna.engines.sqlserver.restoring.ordering import Waiting, order, todo
from sterna.engines.sqlserver.restoring.targets import target_name
from sterna.engines.sqlserver.restoring.tsql import Device, Take
from sterna.engines.sqlserver.restoring.values import NONE, BackedUp, Existing, ListedFile, Restored
from tests.servers.sqlserver import Reader

WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=60)

KEYS = WORDS.filter(lambda text: ":" not in text)


@given(name=WORDS, logical=WORDS, path=WORDS, place=WORDS)
def test_whatever_a_name_holds_it_stays_one_name(name: str, logical: str, path: str, place: str) -> None:
    take = Take(name, [Device("DISK", place)], 3, True, moves={logical: path}, replace=True)
    reader = Reader(tsql.restore(take).text)
    reader.need("RESTORE", "DATABASE")
    assert reader.name() == name
    reader.need("FROM", "DISK", "=")
    assert reader.text() == place
    reader.need("WITH", "FILE", "=", "3", ",", "MOVE")
    assert reader.text() == logical
    reader.need("TO")
    assert reader.text() == path
    reader.need(",", "REPLACE", ",", "RECOVERY", ",", "STATS", "=", "5")
    reader.end()


@given(access=KEYS, secret=KEYS)
def test_whatever_a_secret_holds_it_stays_one_text_and_is_in_no_statement(access: str, secret: str) -> None:
    statement = tsql.create_credential("s3://host/bucket", access, secret)
    assert statement.text == "EXECUTE (%s)"
    assert repr(statement) == "Statement()"
    reader = Reader(str(statement.values[0]))
    reader.need(
        "CREATE", "CREDENTIAL", "[s3://host/bucket", "WITH", "IDENTITY", "=", "'S3 Access Key", ",", "SECRET", "="
    )
    assert reader.text() == f"{access}:{secret}"
    reader.end()


@pytest.mark.parametrize("name", ["", "\0", "x" * 129, "\U0001f600" * 65, "a\ud800"])
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(Unsupported, match="cannot be a name"):
        tsql.quoted(name)


def test_a_name_of_the_greatest_length_is_one() -> None:
    assert tsql.quoted("]" * 128) == "[" + "]" * 256 + "]"


def one(kind: str, first: int, last: int, number: int = 0, base: int = 0, fork: int = 7) -> BackedUp:
    guid, on = UUID(int=number or last), UUID(int=base)
    return BackedUp(
        "Shop",
        kind,
        1,
        guid,
        first,
        last,
        first,
        0,
        on,
        UUID(int=fork),
        UUID(int=fork),
        16,
        "16.0.1",
        10,
        (0,),
        kind,
    )


FULL = one("full", 10, 20)
DIFF = one("differential", 30, 40, base=20)
LOGS = [one("log", 15, 25), one("log", 25, 35), one("log", 35, 50)]


def names(*sets: BackedUp, start: int | None = None) -> list[int]:
    found = order(sets, Waiting(start) if start else None)
    assert found.problems == (), found.problems
    return [each.last_lsn for each in found.sets]


def test_a_differential_saves_the_logs_before_it() -> None:
    assert names(*LOGS[::-1], DIFF, FULL) == [20, 40, 50]


def test_without_a_differential_all_logs_are_played() -> None:
    assert names(LOGS[2], FULL, LOGS[0], LOGS[1]) == [20, 25, 35, 50]


def test_the_newest_full_backup_counts() -> None:
    assert names(FULL, one("full", 60, 70)) == [70]


def test_a_waiting_database_takes_what_goes_on_from_it() -> None:
    assert names(*LOGS, start=25) == [35, 50]
    assert names(*LOGS, start=26) == [35, 50]
    assert names(*LOGS, start=50) == []
    assert names(DIFF, LOGS[2], start=20) == [40, 50]


@pytest.mark.parametrize(
    ("sets", "start", "said"),
    [
        ([FULL, LOGS[2]], None, "begins at LSN 35, and the backups before it end at 20"),
        ([FULL, one("differential", 30, 40, base=99)], None, "does not follow on the others"),
        ([FULL, one("log", 15, 25, fork=8)], None, "does not follow on the others"),
        ([LOGS[0]], None, "no full backup"),
        ([LOGS[2]], 20, "begins at LSN 35"),
        ([one("file", 1, 2)], None, "is a file backup"),
    ],
)
def test_a_chain_with_a_gap_is_told_of(sets: list[BackedUp], start: int | None, said: str) -> None:
    assert said in order(sets, Waiting(start) if start else None).problems[0]


def test_of_a_file_with_several_sets_the_state_of_one_can_be_wanted() -> None:
    first, second = FULL, one("full", 60, 70)
    second = replace(second, position=2)
    assert [each.last_lsn for each in order([first, second], None, 1).sets] == [20]
    assert [each.last_lsn for each in order([first, second], None, 2).sets] == [70]
    assert order([first, second], None, 3).problems


def test_a_restore_that_stopped_goes_on_behind_what_the_server_has() -> None:
    there = Existing(
        "Shop",
        "RESTORING",
        files={"a": "D:\\x_tag_1.mdf"},
        redo_start=35,
        history=(Restored(FULL.guid, "x_tag_1"),),
    )
    left = todo([FULL, *LOGS], there, "Shop", tag="tag", cover=False, last=True)
    assert [each.last_lsn for each in left.sets] == [50]
    assert not left.replace


def test_a_half_restored_database_of_this_job_is_begun_again_and_of_others_is_not() -> None:
    there = Existing("Shop", "RESTORING", files={"a": "D:\\x_tag_1.mdf"})
    left = todo([FULL], there, "Shop", tag="tag", cover=False, last=True)
    assert left.replace
    assert not left.send_away
    with pytest.raises(KeyConflict):
        todo([FULL], there, "Shop", tag="other", cover=False, last=True)


def test_an_old_restore_of_the_same_backup_does_not_count_as_this_one() -> None:
    there = Existing(
        "Shop", "RESTORING", files={"a": "D:\\x_tag_1.mdf"}, history=(Restored(FULL.guid, "x_old_1"),)
    )
    left = todo([FULL], there, "Shop", tag="tag", cover=False, last=True)
    assert left.sets == (FULL,)


def test_the_base_of_a_database_is_known_by_where_its_files_are() -> None:
    old, new = Restored(UUID(int=1), "\\data\\old.mdf", "D"), Restored(UUID(int=2), "\\data\\new.mdf", "D")
    log = Restored(UUID(int=3), "", "L")
    there = Existing("Shop", "RESTORING", files={"a": "D:\\Data\\new.mdf"}, history=(log, new, old))
    assert there.base == new.guid
    assert replace(there, history=(log, old)).base == NONE, "it is of an earlier database of that name"
    assert replace(there, history=()).base == NONE


def test_a_file_is_known_by_what_it_is_and_not_by_what_it_is_called() -> None:
    kept, other = UUID(int=1), UUID(int=2)
    there = Existing("Shop", "RESTORING", files={"old": "D:\\x"}, guids=frozenset((kept,)))
    assert there.has_file(ListedFile("renamed", "D", 1, 10, kept))
    assert not there.has_file(ListedFile("old", "D", 3, 10, other)), "it was dropped, and another got its name"
    upgraded = replace(there, guids=frozenset())
    assert upgraded.has_file(ListedFile("old", "D", 1, 10, other))
    assert not upgraded.has_file(ListedFile("new", "D", 3, 10, other))


def test_two_databases_of_one_name_are_not_mixed() -> None:
    other = replace(one("full", 60, 70), family=UUID(int=5))
    with pytest.raises(BadData, match="two different databases called Shop"):
        todo([FULL, other], None, "Shop", tag="tag", cover=True, last=True)


def test_names_on_the_target_come_from_the_narrowest_rename() -> None:
    nowhere = Endpoint("sqlserver", ())
    renames = (Rename("*", "all"), Rename("SHOP", "one"))
    plan = Plan(nowhere, nowhere, Mode.FULL, Selection(renames=renames))
    assert target_name(plan, "Shop") == "one"
    assert target_name(plan, "Other") == "all"
    picked = Plan(nowhere, nowhere, Mode.FULL, Selection(objects=(Picked(("Shop",), ("new",)),)))
    assert target_name(picked, "Shop") == "new"
    assert UUID(int=0) == NONE
