"""What many changes of one table come to: each row as it is in the end, however often it changed.

Rows that have a key are followed by it. Rows without one are told apart by nothing but their contents: of them it
is counted how many of each there are more or fewer in the end.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sterna.engines.postgres.shape import Field, Shape
from sterna.engines.postgres.wire.pgoutput import UNCHANGED, Cell, Cells, Row

UPSERT, GONE = "u", "d"
"""Kinds of change beside ``I``, ``U`` and ``D``, where nobody knows whether the target has the row: update it or
insert it; delete it if it is there."""


@dataclass(slots=True)
class Net:
    """What is to be done to a table, in this order."""

    deletes: list[Cells] = field(default_factory=list)
    """Rows that are there."""
    gone: list[Cells] = field(default_factory=list)
    """Rows that may be there."""
    images: dict[tuple[Cell, ...], int] = field(default_factory=dict)
    """Rows of a table without key, as the fields' values, and how many of each are to be deleted."""
    updates: dict[tuple[Field, ...], list[Cells]] = field(default_factory=dict)
    """By the columns that are set."""
    inserts: list[Cells] = field(default_factory=list)


def net(shape: Shape, rows: Sequence[Row]) -> Net | None:
    """Net the changes of one table, given in order. None: only one by one, in their order, are they right."""
    if not shape.key:
        return _counted(shape, rows)
    return _followed(shape, rows)


def filled(shape: Shape, row: Row) -> Row:
    """The change with what is known of values that were not sent again because they did not change."""
    new, old = row.new, row.old
    if new is None or old is None or UNCHANGED not in new:
        return row
    known = range(len(new)) if row.whole else shape.key_at
    cells = new.copy()
    for at in known:
        if cells[at] is UNCHANGED:
            cells[at] = old[at]
    return row._replace(new=cells)


def complete(shape: Shape, cells: Cells) -> bool:
    """Whether every value that is written is known."""
    return UNCHANGED not in cells or all(cells[each.at] is not UNCHANGED for each in shape.fields)


def settable(shape: Shape, cells: Cells) -> tuple[Field, ...]:
    """What an update that keeps the key sets."""
    if UNCHANGED not in cells:
        return shape.plain
    return tuple(each for each in shape.plain if cells[each.at] is not UNCHANGED)


# -- rows with a key ----------------------------------------------------------------------------------------------

_THERE, _ABSENT, _MAYBE = 1, 2, 3


class _Track:
    """One key: whether its row was there before, what it is now, and whether it was ever away between."""

    __slots__ = ("before", "now", "replaced")

    def __init__(self, before: int, now: Cells | None, replaced: bool = False) -> None:
        self.before = before
        self.now = now
        self.replaced = replaced


def _followed(shape: Shape, rows: Iterable[Row]) -> Net | None:
    tracks: dict[object, _Track] = {}
    single = shape.key_at[0] if len(shape.key_at) == 1 else -1
    at = shape.key_at
    for row in rows:
        kind, _, old, _, new = row
        if old is not None and new is not None:
            new = filled(shape, row).new
            assert new is not None
        key: object = None
        if new is not None:
            key = new[single] if single >= 0 else tuple([new[place] for place in at])
        if kind == "I":
            if not _enter(tracks, key, new, _ABSENT):
                return None
            continue
        before = key
        if old is not None:
            before = old[single] if single >= 0 else tuple([old[place] for place in at])
        track = tracks.get(before)
        if track is None:
            track = tracks[before] = _Track(_THERE if kind in "UD" else _MAYBE, [])
        elif track.now is None:
            if kind != GONE:
                return None
            continue
        if new is None:
            track.now = None
            continue
        if track.now and UNCHANGED in new:
            new = [was if cell is UNCHANGED else cell for cell, was in zip(new, track.now, strict=True)]
        if before == key:
            track.now = new
        elif not complete(shape, new):
            return None
        else:
            track.now = None
            if not _enter(tracks, key, new, _ABSENT):
                return None
    return _sorted(shape, tracks)


def _enter(tracks: dict[object, _Track], key: object, new: Cells | None, before: int) -> bool:
    """A row comes to be. False: there already is one."""
    track = tracks.get(key)
    if track is None:
        tracks[key] = _Track(before, new)
    elif track.now is None:
        track.now, track.replaced = new, True
    else:
        return False
    return True


def _sorted(shape: Shape, tracks: dict[object, _Track]) -> Net | None:
    found = Net()
    plain: list[Cells] = []
    for key, track in tracks.items():
        now = track.now
        if track.before == _THERE and now is not None and not track.replaced:
            fields = settable(shape, now)
            if not fields and shape.fixed:
                return None
            if fields:
                (plain if fields is shape.plain else found.updates.setdefault(fields, [])).append(now)
            continue
        if track.before == _MAYBE and now is not None and not complete(shape, now):
            return None
        if track.before != _ABSENT:
            (found.deletes if track.before == _THERE else found.gone).append(_keyed(shape, key))
        if now is not None:
            found.inserts.append(now)
    if plain:
        found.updates[shape.plain] = plain
    return found


def _keyed(shape: Shape, key: object) -> Cells:
    """A row of which only the key is known."""
    cells: Cells = [None] * len(shape.relation.columns)
    values = key if isinstance(key, tuple) else (key,)
    for at, value in zip(shape.key_at, values, strict=True):
        cells[at] = value
    return cells


# -- rows without a key -------------------------------------------------------------------------------------------


def _counted(shape: Shape, rows: Sequence[Row]) -> Net | None:
    if all(row.kind == "I" for row in rows):
        return Net(inserts=[row.new for row in rows if row.new is not None])
    more: Counter[tuple[Cell, ...]] = Counter()
    for row in rows:
        if row.kind not in "IUD" or (row.kind != "I" and not row.whole):
            return None
        if row.old is not None:
            more[_image(shape, row.old)] -= 1
        if row.new is not None:
            new = filled(shape, row).new
            assert new is not None
            more[_image(shape, new)] += 1
    found = Net(images={image: -count for image, count in more.items() if count < 0})
    for image, count in more.items():
        found.inserts += [spread(shape, image)] * max(0, count)
    return found


def _image(shape: Shape, cells: Cells) -> tuple[Cell, ...]:
    return tuple([cells[each.at] for each in shape.fields])


def spread(shape: Shape, image: tuple[Cell, ...]) -> Cells:
    """The reverse of ``_image``."""
    cells: Cells = [None] * len(shape.relation.columns)
    for each, value in zip(shape.fields, image, strict=True):
        cells[each.at] = value
    return cells
