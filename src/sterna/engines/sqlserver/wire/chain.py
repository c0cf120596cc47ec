"""Which backups belong together: files to stripes, stripes to sets, sets to the chain that gives the newest state.

The rules are those of RESTORE. A differential fits the full backup that it names; a log backup goes on where the
state so far ends; nothing may be missing between. What stands in the way is said, and what is not needed too.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from uuid import UUID

from sterna.core.errors import BadData
from sterna.engines.sqlserver.wire.headers import SetRecord
from sterna.engines.sqlserver.wire.media import MediaFile
from sterna.engines.sqlserver.wire.sets import BackupSet

FULL, DIFFERENTIAL, LOG = "full", "differential", "log"
BULK_LOGGED, DAMAGED = 0x1, 0x20
_NONE = UUID(int=0)
_MOST_SETS = 10_000


@dataclass(frozen=True, slots=True)
class LogicalSet:
    """One backup: all its stripes that are there."""

    stripes: tuple[BackupSet, ...]
    """By their place in the media set, each once."""

    @property
    def record(self) -> SetRecord:
        return self.stripes[0].record

    @property
    def kind(self) -> str:
        return self.record.kind

    @property
    def position(self) -> int:
        return self.stripes[0].position

    @property
    def guid(self) -> UUID:
        return self.stripes[0].guid

    @property
    def missing(self) -> tuple[int, ...]:
        """The places in the media set of which there is no file."""
        there = {stripe.media.family_sequence for stripe in self.stripes}
        return tuple(sorted(set(range(1, self.stripes[0].media.family_count + 1)) - there))

    @property
    def complete(self) -> bool:
        return all(stripe.complete for stripe in self.stripes)

    @property
    def files(self) -> tuple[str, ...]:
        return tuple(stripe.file for stripe in self.stripes)

    def __str__(self) -> str:
        several = self.position > 1
        return f"{', '.join(self.files)}" + (f" (set {self.position})" if several else "")

    def faults(self) -> Iterator[str]:
        """Why it cannot be used as it is."""
        count = self.stripes[0].media.family_count
        for sequence in self.missing:
            yield (
                f"The {self.kind} backup {self} is striped over {count} files, "
                f"and file {sequence} of {count} is missing."
            )
        for stripe in self.stripes:
            if not stripe.complete:
                yield f"Backup set {stripe.position} of {stripe.file} is incomplete: the file ends before it does."
        if self.kind not in (FULL, DIFFERENTIAL, LOG):
            yield f"{self} is a {self.kind} backup: only full, differential and log backups are read."
        if self.record.flags & DAMAGED:
            yield f"{self} was taken of a damaged database."


@dataclass(frozen=True, slots=True)
class Chain:
    """The backups of one database, in the order in which they are restored."""

    database: str
    full: LogicalSet | None
    differential: LogicalSet | None = None
    logs: tuple[LogicalSet, ...] = ()
    problems: tuple[str, ...] = ()
    """What stands in the way; empty: nothing does."""
    notes: tuple[str, ...] = ()
    """What an operator should know: files that are not needed, and the like."""

    @property
    def sets(self) -> tuple[LogicalSet, ...]:
        found = (self.full, self.differential, *self.logs)
        return tuple(one for one in found if one is not None)

    @property
    def end(self) -> int:
        """Up to where in the log the state comes; 0: there is none."""
        return self.sets[-1].record.last_lsn if self.sets else 0


@dataclass
class _Group:
    """All sets of one database."""

    database: str
    sets: list[LogicalSet] = field(default_factory=list)
    doubles: list[str] = field(default_factory=list)

    def of(self, kind: str) -> list[LogicalSet]:
        return [one for one in self.sets if one.kind == kind]


def logical_sets(media: Iterable[MediaFile]) -> tuple[list[LogicalSet], list[str]]:
    """Stripes joined, in any order of files; and what was there twice."""
    shares: dict[tuple[UUID, UUID, int], dict[int, BackupSet]] = defaultdict(dict)
    doubles = []
    for file in media:
        for share in file.sets:
            mine = shares[share.media.media_set, share.guid, share.position]
            known = mine.setdefault(share.media.family_sequence, share)
            if known is not share:
                doubles.append(f"{share.file} holds the same as {known.file}, and is not needed.")
    sets = [LogicalSet(tuple(found[sequence] for sequence in sorted(found))) for found in shares.values()]
    return sets, doubles


def chains(media: Sequence[MediaFile], set_number: int | None = None) -> tuple[Chain, ...]:
    """One for each database of which there are backups, by name.

    ``set_number``: of files with several sets, the state of the set at that position is wanted, not the newest.
    Without it, each chain gives the newest state that its files can give. Raises BadData for too many sets.
    """
    sets, doubles = logical_sets(media)
    if len(sets) > _MOST_SETS:
        raise BadData(f"The files hold {len(sets)} backup sets; no more than {_MOST_SETS} are looked at together.")
    several = {share.file for one in sets if one.position > 1 for share in one.stripes}
    groups: dict[tuple[str, UUID], _Group] = {}
    for one in sets:
        key = one.record.database.lower(), one.record.family_guid
        groups.setdefault(key, _Group(one.record.database, doubles=doubles)).sets.append(one)
    found = []
    for key in sorted(groups, key=lambda key: (key[0], key[1].int)):
        wanted = _wanted(groups[key], set_number, several)
        if wanted is not None:
            found.append(_chain(groups[key], wanted))
    if set_number is None:
        found = list(_with_cut_files(found, media))
    empty = tuple(_without_sets(media))
    return tuple(replace(chain, problems=(*chain.problems, *empty)) if empty else chain for chain in found)


def _without_sets(media: Sequence[MediaFile]) -> Iterator[str]:
    """A file that was named and gives nothing may have been the one that mattered."""
    for each in media:
        if not each.sets:
            ends = "the file ends before its first one says anything" if each.is_cut else "none was written yet"
            yield f"{each.name} holds no backup set: {ends}."


def _with_cut_files(found: Sequence[Chain], media: Sequence[MediaFile]) -> Iterator[Chain]:
    """The newest state of a file may be in a set that was cut before it said anything."""
    for chain in found:
        files = {file for one in chain.sets for file in one.files}
        told = tuple(
            f"{each.name} ends within a further backup set, of which nothing can be told."
            for each in media
            if each.is_cut and each.name in files
        )
        yield replace(chain, problems=(*chain.problems, *told)) if told else chain


def _wanted(group: _Group, set_number: int | None, several: set[str]) -> list[LogicalSet] | None:
    """The sets at which a chain may end; empty: any; None: the database has no set at that position."""
    if set_number is None:
        return []
    chosen = [one for one in group.sets if one.position == set_number and set(one.files) & several]
    if chosen:
        return chosen
    if any(set(one.files) & several for one in group.sets) or set_number != 1:
        return None
    return []


def _chain(group: _Group, wanted: list[LogicalSet]) -> Chain:
    """The best chain, with all that is wrong."""
    candidates = [chain for full in group.of(FULL) for chain in _from_full(group, full, wanted)]
    if not candidates:
        return Chain(
            group.database, None, problems=tuple(_without_full(group, wanted)), notes=tuple(group.doubles)
        )
    best = max(candidates, key=lambda chain: (chain.end, _rank(chain)))
    problems = [fault for one in best.sets for fault in one.faults()]
    problems += _bulk_logged(best)
    notes = list(group.doubles)
    used = {id(one) for one in best.sets}
    for one in group.sets:
        if id(one) not in used:
            (notes if wanted or _is_covered(one, best) else problems).append(_unused(one, best, group))
    return Chain(group.database, best.full, best.differential, best.logs, tuple(problems), tuple(notes))


def _rank(chain: Chain) -> tuple[int, int]:
    """Of chains that come equally far, the one with the newest pages, then with the fewest logs."""
    pages = chain.differential or chain.full
    return (pages.record.last_lsn if pages else 0), -len(chain.logs)


def _from_full(group: _Group, full: LogicalSet, wanted: list[LogicalSet]) -> Iterator[Chain]:
    fitting = [one for one in group.of(DIFFERENTIAL) if differential_fits(one, full)]
    for differential in (None, *fitting):
        start = differential or full
        logs = _logs(group.of(LOG), start)
        ends = [(start, 0)] + [(log, number + 1) for number, log in enumerate(logs)]
        for end, count in ends if wanted else ends[-1:]:
            if not wanted or any(end is one for one in wanted):
                yield Chain(group.database, full, differential, tuple(logs[:count]))


def differential_fits(differential: LogicalSet, full: LogicalSet) -> bool:
    """Whether it was made on top of that full backup."""
    base = differential.record.differential_base_guid
    if base != _NONE:
        return base == full.guid
    return differential.record.database_backup_lsn == full.record.checkpoint_lsn


def log_fits(log: LogicalSet, fork: UUID, end: int) -> bool:
    """Whether a log backup goes on from a state that ends there, on that fork of recovery."""
    first = log.record.first_recovery_fork
    begins = first if first != _NONE else log.record.recovery_fork
    return begins == fork and log.record.first_lsn <= end <= log.record.last_lsn


def _logs(logs: list[LogicalSet], start: LogicalSet) -> list[LogicalSet]:
    """The log backups that follow on each other from that state, as far as they go."""
    found: list[LogicalSet] = []
    end, fork = start.record.last_lsn, start.record.recovery_fork
    left = list(logs)
    while True:
        fitting = [
            log for log in left if log_fits(log, fork, end) and (log.record.last_lsn > end or _is_empty(log))
        ]
        if not fitting:
            return found
        best = max(
            fitting, key=lambda log: (log.record.last_lsn > end, -log.record.first_lsn, log.record.last_lsn)
        )
        found.append(best)
        left.remove(best)
        end, fork = best.record.last_lsn, best.record.recovery_fork
    return found


def _is_empty(log: LogicalSet) -> bool:
    return log.record.first_lsn == log.record.last_lsn


def _bulk_logged(chain: Chain) -> Iterator[str]:
    for log in chain.logs:
        if log.record.flags & BULK_LOGGED or any(stripe.regions for stripe in log.stripes):
            yield f"The log backup {log} holds changes that were logged in bulk: SQL Server is needed for it."


def _is_covered(one: LogicalSet, chain: Chain) -> bool:
    """Whether the chain gives all that the set would."""
    return one.record.last_lsn <= chain.end


def _unused(one: LogicalSet, chain: Chain, group: _Group) -> str:
    if _is_covered(one, chain):
        return f"The {one.kind} backup {one} is not needed: the others come as far or farther."
    if one.kind == DIFFERENTIAL:
        return _needs_full(one)
    if one.kind == LOG:
        return _gap(one, chain, group)
    return f"The {one.kind} backup {one} does not belong to the others."


def _gap(log: LogicalSet, chain: Chain, group: _Group) -> str:
    end = chain.end
    if log.record.first_lsn <= end:
        return f"The log backup {log} belongs to another fork of recovery than {chain.sets[-1]}."
    before = [one for one in group.of(LOG) if one.record.last_lsn == log.record.first_lsn]
    if before:
        return f"The log backup {log} cannot be used before {before[0]}."
    return (
        f"The log backup {log} begins at LSN {log.record.first_lsn}, and the backups before it end at {end}: "
        f"the log backup between them is missing."
    )


def _needs_full(differential: LogicalSet) -> str:
    record = differential.record
    return (
        f"The differential backup {differential} of {record.database} needs the full backup with checkpoint LSN "
        f"{record.differential_base_lsn or record.database_backup_lsn}, which is not among the files."
    )


def _without_full(group: _Group, wanted: list[LogicalSet]) -> Iterator[str]:
    """Why there is no chain at all."""
    for one in sorted(group.sets, key=lambda one: (one.record.last_lsn, one.position)):
        if wanted and not any(one is each for each in wanted):
            continue
        if one.kind == DIFFERENTIAL:
            yield _needs_full(one)
        elif one.kind == LOG:
            yield (
                f"The log backup {one} of {one.record.database} needs a full or differential backup to go on from "
                f"(its full backup has checkpoint LSN {one.record.database_backup_lsn}) and the logs between."
            )
        yield from one.faults()
