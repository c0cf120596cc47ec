"""Sequences are not in the log: at the end they are set to where the source's stand, and some way ahead."""

# ruff: noqa: S608 - every name goes through ``quoted``, every text through ``literal``

from collections.abc import Iterable, Mapping

from sterna.core.event import Level
from sterna.core.plan import Path
from sterna.core.ports import Teller
from sterna.engines.postgres.connection import Connection
from sterna.engines.postgres.names import literal, quoted, shown
from sterna.engines.postgres.schema.things import Sequence

MARGIN = 1000
"""Option ``sequence_margin``: how many values are passed over, for those that are drawn from the source between
the reading and the cutover. 0: none, the target goes on exactly where the source stands."""

Stand = tuple[int, bool]
"""last_value and is_called."""

_TOGETHER = 200


async def set_sequences(
    source: Connection | None,
    target: Connection,
    sequences: Iterable[Sequence],
    margin: int,
    tell: Teller,
) -> int:
    """Set the target's sequences from what the source's stand at now; gives how many were set.

    ``sequences`` are those of the blueprint; where the source is None, or one cannot be read there, what it stood
    at when the blueprint was drawn counts, and that is told. A sequence that was used is set ``margin`` steps
    ahead, never past its end; none is ever set back. Raises the driver's errors.
    """
    known = list(sequences)
    now = await _stands(source, [each.source for each in known]) if source else {}
    there = await _stands(target, [each.target for each in known])
    wanted = {}
    for each in known:
        stand = now.get(each.source) or _as_drawn(each, tell)
        new = ahead(each, stand, margin) if stand else None
        old = there.get(each.target)
        if new and old and _further(each, new, old):
            wanted[each.target] = new
    await _set(target, wanted)
    return len(wanted)


def ahead(sequence: Sequence, stand: Stand, margin: int) -> Stand:
    """Where to set it: ``margin`` steps on, but no more than half of the steps that are left."""
    last, called = stand
    if not called or not margin:
        return stand
    end = sequence.largest if sequence.increment > 0 else sequence.smallest
    left = max(0, (end - last) // sequence.increment)
    return last + min(margin, left // 2) * sequence.increment, True


def _further(sequence: Sequence, new: Stand, old: Stand) -> bool:
    """Whether ``new`` gives later values than ``old``. What was never drawn from may be set anywhere."""
    if not old[1]:
        return new != old and (new[1] or _steps(sequence, old[0], new[0]) > 0 or old[0] == sequence.start)
    return _steps(sequence, old[0], new[0]) > 0


def _steps(sequence: Sequence, old: int, new: int) -> int:
    return new - old if sequence.increment > 0 else old - new


def _as_drawn(sequence: Sequence, tell: Teller) -> Stand | None:
    if sequence.last is None:
        why = "the source's user may not read it"
        message = f"Not moved: the value of the sequence {shown(sequence.source)}: {why}"
        tell(Level.WARN, "postgres.left_out", message, kind="sequence", name=shown(sequence.source), why=why)
        return None
    message = f"The sequence {shown(sequence.source)} is set from what it stood at when the schema was read"
    tell(Level.WARN, "postgres.sequence_old", message, name=shown(sequence.source))
    return sequence.last, sequence.called


async def _stands(connection: Connection, paths: Iterable[Path]) -> Mapping[Path, Stand]:
    """What sequences stand at; those that are gone or may not be read are left out."""
    rows = await (await connection.execute(_READABLE)).fetchall()
    readable = {(schema, name) for schema, name in rows}
    found: dict[Path, Stand] = {}
    wanted = [path for path in paths if path in readable]
    for first in range(0, len(wanted), _TOGETHER):
        some = wanted[first : first + _TOGETHER]
        selects = (
            f"SELECT {place}, last_value, is_called FROM {quoted(*path)}" for place, path in enumerate(some)
        )
        for place, last, called in await (
            await connection.execute(" UNION ALL ".join(selects).encode())
        ).fetchall():
            found[some[place]] = (last, called)
    return found


_READABLE = """
    SELECT n.nspname::text, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE CASE WHEN c.relkind = 'S'
                THEN has_schema_privilege(n.oid, 'USAGE') AND has_sequence_privilege(c.oid, 'SELECT') END"""


async def _set(target: Connection, wanted: Mapping[Path, Stand]) -> None:
    paths = list(wanted)
    for first in range(0, len(paths), _TOGETHER):
        calls = (
            f"setval({literal(quoted(*path))}::regclass, {wanted[path][0]}, {str(wanted[path][1]).lower()})"
            for path in paths[first : first + _TOGETHER]
        )
        await target.execute(f"SELECT {', '.join(calls)}".encode())
