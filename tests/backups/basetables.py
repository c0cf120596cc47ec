"""The base tables of the catalogue: their columns by version, as the tables describe themselves."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from tests.backups.pages import Place
from tests.backups.records import Piece, assemble

Cell = None | int | str | bytes | Place

SIZES = {"i8": 8, "i4": 4, "i2": 2, "u1": 1, "dt": 8, "p6": 6, "c2": 2, "b16": 16, "b10": 10}
XTYPES = {
    "i8": (127, 8, 19), "i4": (56, 4, 10), "i2": (52, 2, 5), "u1": (48, 1, 3), "dt": (61, 8, 23),
    "p6": (173, 6, 0), "c2": (175, 2, 0), "b16": (36, 16, 0), "b10": (173, 10, 0), "nv": (231, 256, 0),
    "vb": (165, 64, 0), "sv": (98, 8016, 0), "lob": (165, -1, 0),
}  # fmt: skip


@dataclass(frozen=True)
class Base:
    """A base table: id, name and ``(column, type)`` in record order; a ``?`` in the description: nullable."""

    id: int
    name: str
    columns: tuple[tuple[str, str], ...]

    @property
    def fixed(self) -> int:
        """Where the fixed part of its records ends."""
        return 4 + sum(SIZES.get(kind, 0) for _, kind in self.columns)


def _base(number: int, name: str, text: str) -> Base:
    return Base(number, name, tuple((part.split()[0], part.split()[1]) for part in text.split(",")))


COMMON = """
34 sysschobjs: id i4, name nv, nsid i4, nsclass u1, status i4, type c2, pid i4, pclass u1, intprop i4, created dt, modified dt
41 syscolpars: id i4, number i2, colid i4, name nv, xtype u1, utype i4, length i2, prec u1, scale u1, collationid i4, status i4, maxinrow i2, xmlns i4, dflt i4, chk i4, idtval vb
49 sysxprops: class u1, id i4, subid i4, name nv, value sv
50 sysscalartypes: id i4, schid i4, name nv, xtype u1, length i2, prec u1, scale u1, collationid i4, status i4, created dt, modified dt, dflt i4, chk i4
54 sysidxstats: id i4, indid i4, name nv, status i4, intprop i4, fillfact u1, type u1, tinyprop u1, dataspace i4, lobds i4, rowset i8
55 sysiscols: idmajor i4, idminor i4, subid i4, status i4, intprop i4, tinyprop1 u1, tinyprop2 u1
60 sysobjvalues: valclass u1, objid i4, subobjid i4, valnum i4, value sv, imageval lob
64 sysclsobjs: class u1, id i4, name nv, status i4, type c2, intprop i4, created dt, modified dt
74 syssingleobjrefs: class u1, depid i4, depsubid i4, indepid i4, indepsubid i4, status i4
"""  # noqa: E501
ROWSETS = "rowsetid i8, ownertype u1, idmajor i4, idminor i4, numpart i4, status i4, fgidfs i2, rcrows i8"
UNITS = (
    "auid i8, type u1, ownerid i8, status i4, fgid i2, pgfirst p6, pgroot p6, pgfirstiam p6, "
    "pcused i8, pcdata i8, pcreserved i8"
)
OLD = f"""
4 sysrowsetcolumns: rowsetid i8, rowsetcolid i4, hobtcolid i4, status i4, rcmodified i8, maxinrowlen i2
5 sysrowsets: {ROWSETS}
7 sysallocunits: {UNITS}
13 syshobtcolumns: hobtid i8, hobtcolumnid i4, status i4, ordkey i2, xtype u1, length i2, prec u1, scale u1, collationid i4, offsetleaf i2, offsetint i2, bitposleaf u1, bitposint u1, nullbitleaf i2, nullbitint i2
76 sysdbfiles: dbid i4, fileid i4, grpid i4, status i4, size i4, maxsize i4, growth i4, lname nv, pname nv
"""  # noqa: E501
COLUMNS = (
    "rsid i8, rscolid i4, hbcolid i4, rcmodified i8, ti i4, cid i4, ordkey i2, maxinrowlen i2, status i4, "
    "offset i4, nullbit i4, bitpos i2, colguid vb"
)
ROWSETS_NEW = (
    f"{ROWSETS}, cmprlevel u1, fillfact u1, maxnullbit i2, maxleaf i4, maxint i2, minleaf i2, minint i2, "
    "rsguid vb, lockres vb"
)
NEW = f"""
3 sysrscols: {COLUMNS}{{columns}}
5 sysrowsets: {ROWSETS_NEW}{{rowsets}}
7 sysallocunits: {UNITS}{{units}}
23 sysphfg: dbfragid i4, phfgid i4, fgid i4, type c2, fgguid b16, lgfgid i4, status i4, name nv
24 sysprufiles: dbfragid i4, fileid i4, grpid i4, status i4, filetype u1, filestate u1, size i4, maxsize i4, growth i4, lname nv, pname nv
"""  # noqa: E501
APPENDED = {34: ", status2 i4", 55: ", tinyprop3 u1, tinyprop4 u1"}


def tables_of(version: int) -> dict[int, Base]:
    """The base tables of a product version (2005 ... 2022); later versions append columns."""
    fragment = ", dbfragid i4" if version == 2008 else ""
    scope = ", scope_id i4" if version >= 2016 else fragment
    text = COMMON + (OLD if version == 2005 else NEW.format(columns=fragment, rowsets=scope, units=fragment))
    out = {}
    for line in filter(None, text.splitlines()):
        head, _, columns = line.partition(":")
        number = int(head.split()[0])
        out[number] = _base(
            number, head.split()[1], columns + (APPENDED.get(number, "") if version >= 2012 else "")
        )
    return dict(sorted(out.items()))


def fixed_cell(kind: str, value: Cell) -> bytes:
    """A cell of the fixed part."""
    size = SIZES[kind]
    if value is None:
        return bytes(size)
    if isinstance(value, int):
        return (value & (1 << 8 * size) - 1).to_bytes(size, "little")
    if isinstance(value, tuple):
        return struct.pack("<IH", value[1], value[0])
    if isinstance(value, str):
        return value.encode("latin-1").ljust(size, b" ")
    return value.ljust(size, b"\0")


def row_bytes(base: Base, cells: Sequence[Cell], pieces: dict[str, Piece] | None = None) -> bytes:
    """A row of a base table; ``pieces``: columns that are given as they lie in the row."""
    fixed = b""
    variable: list[Piece | None] = []
    for (name, kind), value in zip(base.columns, cells, strict=True):
        if kind in SIZES:
            fixed += fixed_cell(kind, value)
        elif pieces and name in pieces:
            variable.append(pieces[name])
        elif value is None:
            variable.append(None)
        else:
            raw = value.encode("utf-16-le") if isinstance(value, str) else value
            assert isinstance(raw, bytes)
            variable.append((raw, False))
    return assemble(fixed, [value is None for value in cells], variable)
