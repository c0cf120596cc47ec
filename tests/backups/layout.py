"""Where the columns of a table lie in its records."""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.backups.describe import Col, Tbl
from tests.backups.kinds import Kind, kind_of

UNIQUIFIER = Col("uniquifier", "int")


@dataclass(frozen=True)
class Spot:
    """A column's place: ``offset`` > 0 in the fixed part, < 0 the number of a variable column, 0 sparse.

    ``nullbit`` counts from 1, ``source`` is the value's place in a row, None for the uniquifier.
    """

    col: Col
    kind: Kind
    colid: int
    offset: int
    nullbit: int
    bitpos: int
    ordkey: int
    source: int | None


@dataclass(frozen=True)
class Layout:
    """The places of all columns, by null bit."""

    spots: tuple[Spot, ...]

    def until(self, columns: int | None) -> "Layout":
        """The layout as it was when the table had only the first ``columns`` physical columns."""
        return self if columns is None else Layout(self.spots[:columns])

    @property
    def fixed(self) -> int:
        """Where the fixed part ends."""
        return max([4, *(spot.offset + spot.kind.length for spot in self.spots if spot.offset > 0)])

    @property
    def variable(self) -> int:
        """How many variable columns there are."""
        return -min([0, *(spot.offset for spot in self.spots)])


def clustering(table: Tbl) -> tuple[Sequence[str], bool] | None:
    """The columns of the clustered index and whether it is unique; None for a heap."""
    for index in table.indexes:
        if index.clustered and index.form == "btree" and not index.hypothetical:
            return index.columns, index.unique or index.primary
    return None


def kept(col: Col) -> bool:
    """Whether a column has a place in records."""
    return col.computed is None or col.persisted


def layout_of(table: Tbl) -> Layout:
    """Key columns first, then the others in their order."""
    key = clustering(table)
    stored = [(number, col) for number, col in enumerate(table.columns, 1) if kept(col)]
    source = {col.name: place for place, (_, col) in enumerate(stored)}
    first = [pair for name in (key[0] if key else ()) for pair in stored if pair[1].name == name]
    order = first + ([(0, UNIQUIFIER)] if key and not key[1] else []) + [p for p in stored if p not in first]
    keys = {id(col): place for place, (_, col) in enumerate(order[: len(order) - len(stored) + len(first)], 1)}
    return Layout(tuple(places(order, source, keys)))


def places(order: list[tuple[int, Col]], source: dict[str, int], keys: dict[int, int]) -> list[Spot]:
    """Offsets, null bits and bit positions, in the order of the columns."""
    spots: list[Spot] = []
    fixed, variable, null, bits = 4, 0, 0, (0, 8)
    for colid, col in order:
        kind = kind_of(col.kind)
        where = source.get(col.name) if colid else None
        if col.sparse:
            spots.append(Spot(col, kind, colid, 0, 0, 0, 0, where))
            continue
        null += 1
        bitpos = 0
        if not kind.fixed or not colid:
            variable += 1
            offset = -variable
        elif kind.xtype == 104 and bits[1] < 8:
            offset, bitpos = bits
            bits = (offset, bitpos + 1)
        else:
            offset = fixed
            fixed += kind.length
            bits = (offset, 1) if kind.xtype == 104 else bits
        spots.append(Spot(col, kind, colid, offset, null, bitpos, keys.get(id(col), 0), where))
    return [spot for spot in spots if spot.nullbit] + [spot for spot in spots if not spot.nullbit]
