"""Which backups belong together, by the rules of RESTORE."""

from dataclasses import dataclass, fields, replace
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest

from sterna.engines.sqlserver.wire.chain import Chain, chains
from sterna.engines.sqlserver.wire.headers import Configuration, SetRecord
from sterna.engines.sqlserver.wire.media import MediaFile
from sterna.engines.sqlserver.wire.sets import BackupSet, Media

FAMILY, FORK, OTHER_FORK = UUID(int=1), UUID(int=2), UUID(int=3)
NONE = UUID(int=0)
_numbers = iter(range(100, 10_000))


def blank(what: type, /, **known: object) -> Any:
    """A value of which only some fields matter."""
    empty: dict[str, object] = {"int": 0, "str": "", "bytes": b"", "UUID": NONE, "Lsn": 0, "bool": False}
    given = {field.name: empty.get(str(getattr(field.type, "__name__", field.type))) for field in fields(what)}
    return what(**{**given, **known})


@dataclass
class Lab:
    """Makes backups of one database, as its log grows."""

    name: str = "Shop"
    family: UUID = FAMILY
    fork: UUID = FORK

    def full(self, checkpoint: int, last: int, **more: Any) -> MediaFile:
        return self._file("full", checkpoint, checkpoint, last, **more)

    def differential(self, base: MediaFile, checkpoint: int, last: int, **more: Any) -> MediaFile:
        full = base.sets[0]
        return self._file(
            "differential",
            checkpoint,
            checkpoint,
            last,
            database_backup_lsn=full.record.checkpoint_lsn,
            differential_base_lsn=full.record.checkpoint_lsn,
            differential_base_guid=full.guid,
            **more,
        )

    def log(self, first: int, last: int, **more: Any) -> MediaFile:
        return self._file("log", first, 0, last, **more)

    def _file(
        self, kind: str, first: int, checkpoint: int, last: int, file: str = "", stripes: int = 1, **more: Any
    ) -> MediaFile:
        record = blank(
            SetRecord,
            kind=kind,
            first_lsn=first,
            checkpoint_lsn=checkpoint,
            last_lsn=last,
            database=self.name,
            family_guid=self.family,
            **{"recovery_fork": self.fork, "differential_base_guid": NONE, "first_recovery_fork": NONE, **more},
        )
        media = blank(
            Media,
            media_set=UUID(int=next(_numbers)),
            family_count=stripes,
            family_sequence=1,
            container_version=None,
        )
        source = cast(Any, SimpleNamespace(name=file or f"{kind} {first}-{last}"))
        made = blank(
            BackupSet,
            source=source,
            media=media,
            position=1,
            guid=UUID(int=next(_numbers)),
            configuration=Configuration(record, (), ()),
            regions=(),
            logs=(),
            complete=True,
        )
        return MediaFile(source, media, (made,))


def in_one_file(*files: MediaFile) -> MediaFile:
    """Several sets in one file, in this order."""
    source, media = files[0].source, files[0].media
    sets = tuple(
        replace(file.sets[0], source=source, media=media, position=number) for number, file in enumerate(files, 1)
    )
    return MediaFile(source, media, sets)


def stripe(file: MediaFile, sequence: int) -> MediaFile:
    """Another share of a striped backup."""
    media = replace(file.media, family_sequence=sequence)
    source = cast(Any, SimpleNamespace(name=f"{file.name}, share {sequence}"))
    return MediaFile(source, media, tuple(replace(one, media=media, source=source) for one in file.sets))


def one(*files: MediaFile, set_number: int | None = None) -> Chain:
    (found,) = chains(files, set_number)
    return found


def shown(chain: Chain) -> list[str]:
    return [str(each) for each in chain.sets]


@pytest.fixture
def lab() -> Lab:
    return Lab()


def test_a_chain_is_put_in_order_whatever_the_order_of_its_files(lab: Lab) -> None:
    full = lab.full(100, 110)
    files = [full, lab.differential(full, 200, 210), lab.log(205, 300), lab.log(300, 400)]
    for order in ([3, 1, 0, 2], [2, 3, 1, 0], [0, 1, 2, 3]):
        chain = one(*(files[number] for number in order))
        assert shown(chain) == ["full 100-110", "differential 200-210", "log 205-300", "log 300-400"]
        assert (chain.problems, chain.notes, chain.end) == ((), (), 400)


def test_the_newest_state_wins(lab: Lab) -> None:
    old, new = lab.full(100, 110), lab.full(500, 510)
    chain = one(old, lab.differential(old, 200, 210), new)
    assert shown(chain) == ["full 500-510"]
    assert len(chain.notes) == 2
    assert not chain.problems


def test_logs_lead_on_from_a_full_backup_that_a_newer_one_lies_between(lab: Lab) -> None:
    """The newest full backup is one like any other for the log; with it, fewer logs are needed."""
    chain = one(lab.full(100, 110), lab.log(100, 300), lab.full(200, 210), lab.log(300, 400))
    assert shown(chain) == ["full 200-210", "log 100-300", "log 300-400"]
    assert not chain.problems


def test_a_copy_only_backup_is_no_base(lab: Lab) -> None:
    base, copy = lab.full(100, 110), lab.full(150, 160)
    chain = one(copy, lab.differential(base, 200, 210))
    assert shown(chain) == ["full 150-160"]
    (problem,) = chain.problems
    assert "needs the full backup with checkpoint LSN 100" in problem
    assert shown(one(copy, base, lab.differential(base, 200, 210))) == ["full 100-110", "differential 200-210"]


def test_a_gap_between_logs_says_where(lab: Lab) -> None:
    chain = one(lab.full(100, 110), lab.log(100, 200), lab.log(250, 300), lab.log(300, 400))
    assert shown(chain) == ["full 100-110", "log 100-200"]
    assert "log 250-300 begins at LSN 250, and the backups before it end at 200" in chain.problems[0]
    assert "log 300-400 cannot be used before log 250-300" in chain.problems[1]


def test_a_log_of_another_fork_does_not_fit(lab: Lab) -> None:
    full = lab.full(100, 110)
    strange = lab.log(100, 200, recovery_fork=OTHER_FORK)
    (problem,) = one(full, strange).problems
    assert "another fork" in problem
    forking = lab.log(100, 200, recovery_fork=OTHER_FORK, first_recovery_fork=FORK)
    assert one(full, forking, lab.log(200, 300, recovery_fork=OTHER_FORK)).end == 300


def test_logs_alone_say_what_they_need(lab: Lab) -> None:
    (problem,) = one(lab.log(100, 200, database_backup_lsn=90)).problems
    assert "needs a full or differential backup to go on from (its full backup has checkpoint LSN 90)" in problem


def test_stripes_are_joined_and_a_missing_one_is_named(lab: Lab) -> None:
    first = lab.full(100, 110, stripes=3)
    whole = one(stripe(first, 3), first, stripe(first, 2))
    assert not whole.problems
    assert [share.media.family_sequence for share in whole.sets[0].stripes] == [1, 2, 3]
    assert one(first, stripe(first, 3)).problems == (
        "The full backup full 100-110, full 100-110, share 3 is striped over 3 files, and file 2 of 3 is missing.",
    )


def test_the_same_file_twice_is_used_once(lab: Lab) -> None:
    full = lab.full(100, 110)
    chain = one(full, in_one_file(full))
    assert shown(chain) == ["full 100-110"]
    assert len(chain.sets[0].stripes) == 1


def test_each_database_has_a_chain_of_its_own(lab: Lab) -> None:
    other = Lab("Other", UUID(int=9))
    found = chains([lab.full(100, 110), other.full(100, 120), other.log(120, 130)])
    assert [(chain.database, len(chain.sets)) for chain in found] == [("Other", 2), ("Shop", 1)]


def test_a_set_is_chosen_by_its_position(lab: Lab) -> None:
    full = lab.full(100, 110)
    file = in_one_file(full, lab.log(100, 200), lab.differential(full, 300, 310), lab.log(200, 400))
    assert one(file).end == 400
    assert shown(one(file, set_number=1)) == ["full 100-110"]
    assert [each.position for each in one(file, set_number=2).sets] == [1, 2]
    assert [each.position for each in one(file, set_number=3).sets] == [1, 3]
    assert chains([file], 5) == ()
    assert not one(file, set_number=2).problems


def test_a_position_concerns_files_with_several_sets_alone(lab: Lab) -> None:
    full = lab.full(100, 110)
    differentials = in_one_file(lab.differential(full, 200, 210), lab.differential(full, 300, 310))
    assert shown(one(full, differentials, set_number=1))[1:] == ["differential 200-210"]
    assert one(full, differentials, set_number=2).end == 310
    assert one(full, set_number=1).end == 110
    assert chains([full], 2) == ()


def test_what_only_sql_server_restores_is_said(lab: Lab) -> None:
    full = lab.full(100, 110)
    assert "logged in bulk" in one(full, lab.log(100, 200, flags=1)).problems[0]
    assert "damaged database" in one(lab.full(100, 110, flags=0x20)).problems[0]
    cut = replace(full, sets=(replace(full.sets[0], complete=False),))
    assert "incomplete" in one(cut).problems[0]


def test_a_log_of_a_quiet_time_is_empty_and_fits(lab: Lab) -> None:
    chain = one(lab.full(100, 110), lab.log(100, 200), lab.log(200, 200), lab.log(200, 300))
    assert chain.end == 300
    assert not chain.problems
