"""Big backups for measuring: ``python -m tests.backups.big OUT --rows 1000000 [--compressed] [--columns 10]``.

One table of mixed types whose rows follow from their numbers. Pages are made while they are written: memory stays
flat.
"""

import argparse
import struct
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from decimal import Decimal
from multiprocessing import get_context
from pathlib import Path

from tests.backups.container import CHUNK, Container
from tests.backups.database import build
from tests.backups.describe import Col, Db, Row, Tbl, Value
from tests.backups.headers import START
from tests.backups.layout import Layout, layout_of
from tests.backups.mtf import Sink
from tests.backups.pages import DATA, Page, Place, rotate
from tests.backups.records import plain
from tests.backups.writer import Media, Set, write_backup, write_family
from tests.backups.xpress import encode_quick

KINDS = (
    "int", "nvarchar(40)", "decimal(12,2)", "datetime2(3)", "bit",
    "bigint", "money", "varchar(60)", "date", "float",
)  # fmt: skip
VARIANTS = 8
MISSING = {3: (1, 2), 5: (7,)}
"""Columns (of ten) that are NULL, by the row of eight."""
Patch = Callable[[bytearray, int, int], None]
"""Writes a row's value: the page, the offset, the row's number."""


def values(number: int, columns: int) -> list[Value]:
    """A row; what it says follows from its number alone. Some are NULL."""
    makers: tuple[Callable[[int], Value], ...] = (
        lambda n: n,
        lambda n: f"name {n:010} ü",
        lambda n: Decimal(n * 7 % 10**9).scaleb(-2),
        lambda n: f"2021-08-05 {n // 3600000 % 24:02}:{n // 60000 % 60:02}:{n // 1000 % 60:02}.{n % 1000:03}",
        lambda n: bool(n % 8 & 1),
        lambda n: n * 1_000_003,
        lambda n: Decimal(n * 13).scaleb(-4),
        lambda n: f"note {n:010} of a row that is neither short nor long"[: 20 + 5 * (n % 8)],
        lambda n: "2024-02-29",
        lambda n: n / 4,
    )
    out: list[Value] = []
    for place in range(columns):
        missing = place % 10 in MISSING.get(number % VARIANTS, ())
        out.append(None if missing else makers[place % 10](number))
    return out


def table(columns: int, rows: int = 0) -> Tbl:
    """The table, without its rows unless they are asked for."""
    names = [Col(f"c{place}", KINDS[place % 10], nullable=place > 0) for place in range(columns)]
    data: list[Row] = [values(number, columns) for number in range(rows)]
    return Tbl("dbo", "big", names, data)


def _packed(form: str, make: Callable[[int], int | float]) -> Patch:
    put = struct.Struct(form).pack_into
    return lambda page, at, n: put(page, at, make(n))


def _decimal(page: bytearray, at: int, number: int) -> None:
    page[at + 1 : at + 9] = (number * 7 % 10**9).to_bytes(8, "little")


def _datetime(page: bytearray, at: int, number: int) -> None:
    page[at : at + 4] = (number % 86_400_000).to_bytes(4, "little")


def _digits(page: bytearray, at: int, number: int) -> None:
    page[at + 5 : at + 15] = b"%010d" % number


def _wide_digits(page: bytearray, at: int, number: int) -> None:
    page[at + 10 : at + 30 : 2] = b"%010d" % number


PATCHES: tuple[Patch | None, ...] = (
    _packed("<i", lambda n: n),
    _wide_digits,
    _decimal,
    _datetime,
    None,
    _packed("<q", lambda n: n * 1_000_003),
    _packed("<q", lambda n: n * 13),
    _digits,
    None,
    _packed("<d", lambda n: n / 4),
)


@dataclass
class BigTable:
    """The pages of the table: a template for a page of rows, in which numbers are put."""

    rows: int
    columns: int
    hint: int = 0
    pages: int = field(init=False)
    per: int = field(init=False)

    def __post_init__(self) -> None:
        """Lay out eight rows, and as many of such groups as a page holds."""
        layout = layout_of(table(self.columns))
        records = [plain(layout, values(n, self.columns), lambda spot, raw: None) for n in range(VARIANTS)]
        groups = 8096 // (sum(map(len, records)) + 2 * VARIANTS)
        if not groups:
            raise ValueError("rows too wide for this table")
        self.per = groups * VARIANTS
        self.pages = -(-self.rows // self.per)
        self._template = Page((1, 1), DATA, fixed=layout.fixed)
        self._patches: list[list[tuple[Patch, int]]] = []
        at = 96
        for number in range(self.per):
            record = records[number % VARIANTS]
            self._template.add(record)
            self._patches.append(list(patches(layout, record, at, values(number, self.columns))))
            at += len(record)
        self._made: bytearray | None = None

    def page(self, number: int, place: Place) -> bytes:
        """A page full of rows, the last one with what is left."""
        if self._made is None:
            self._template.unit = self.hint
            self._made = bytearray(self._template.bytes())
        page = bytearray(self._made)
        struct.pack_into("<IH", page, 32, place[1], place[0])
        first = number * self.per
        count = min(self.per, self.rows - first)
        for row, patch in enumerate(self._patches[:count], first):
            for put, at in patch:
                put(page, at, row)
        if count < self.per:
            struct.pack_into("<H", page, 22, count)
        return bytes(page)


def patches(layout: Layout, record: bytes, start: int, row: list[Value]) -> Iterator[tuple[Patch, int]]:
    """Where the values of a record lie that depend on the row's number."""
    end = struct.unpack_from("<H", record, 2)[0]
    count = struct.unpack_from("<H", record, end)[0]
    at = end + 2 + (count + 7) // 8
    variable = struct.unpack_from("<H", record, at)[0] if record[0] & 0x20 else 0
    ends = [at + 2 + 2 * variable, *struct.unpack_from(f"<{variable}H", record, at + 2)] if variable else []
    for place, spot in enumerate(layout.spots):
        patch = PATCHES[place % 10]
        if patch is None or row[place] is None:
            continue
        yield patch, start + (spot.offset if spot.offset > 0 else ends[-spot.offset - 1])


def fast_sum(packed: bytes) -> int:
    """The checksum of a record's data, word by word."""
    total = 0
    for word in struct.unpack(f"<{(len(packed) + 3) // 4}I", packed + bytes(-len(packed) % 4)):
        total = rotate(total) ^ word
    return total


def packed_record(chunk: bytes) -> bytes:
    """A whole record, in a process of its own."""
    packed = encode_quick(chunk)
    head = struct.pack("<BBH20xI", 0x21, len(chunk) // 512, len(packed), fast_sum(packed))
    return head + packed


@dataclass
class PooledContainer(Container):
    """A container whose records are packed by several processes."""

    pool: ProcessPoolExecutor | None = None
    waiting: list[Future[bytes]] = field(default_factory=list)

    def write(self, data: bytes) -> None:
        """More of the tape; whole chunks go to the pool."""
        if self.raw or not self.pool:
            self.drain(0)
            super().write(data)
            return
        self.held += data
        while len(self.held) >= CHUNK:
            self.waiting.append(self.pool.submit(packed_record, bytes(self.held[:CHUNK])))
            del self.held[:CHUNK]
            self.drain(64)

    def drain(self, most: int) -> None:
        """Write what is ready, until so many are under way."""
        while len(self.waiting) > most:
            self._out(self.waiting.pop(0).result())

    def cut(self, position: int, raw: bool) -> None:
        """All records before a cut are written before it."""
        self.drain(0)
        super().cut(position, raw)


def big_backup(path: Path, rows: int, columns: int = 10, compressed: bool = False, version: float = 2016) -> Path:
    """Write a full backup of a table of so many rows."""
    maker = BigTable(rows, columns)
    whole = table(columns)
    db = Db("Big", [Tbl(whole.schema, whole.name, whole.columns, maker=maker)])
    one = Set(build(db, version), name="big", start=START)
    if not compressed:
        write_backup(path, [one])
        return path
    with path.open("wb", buffering=1 << 20) as file, ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        write_family(file.write, [one], Media(compressed=True), 1, 1, pooled(pool))
    return path


def pooled(pool: ProcessPoolExecutor) -> Callable[[Sink], Container]:
    """Containers that share a pool."""
    return lambda sink: PooledContainer(sink, pack=encode_quick, pool=pool)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Write a big SQL Server backup.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=10)
    parser.add_argument("--compressed", action="store_true")
    given = parser.parse_args()
    began = time.monotonic()
    path = big_backup(given.out, given.rows, given.columns, given.compressed)
    took = time.monotonic() - began
    print(f"{path}: {given.rows} rows, {path.stat().st_size} bytes, {took:.1f} s")


if __name__ == "__main__":
    main()
