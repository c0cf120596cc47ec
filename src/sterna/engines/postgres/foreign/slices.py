"""Reads rows with very long values back in slices: a COPY sends each row whole, and its reader has to hold it."""

# ruff: noqa: S608 - names in statements are quoted

import asyncio
from binascii import hexlify
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sterna.core.digest import Running
from sterna.core.plan import Path
from sterna.engines.postgres.names import literal, quoted

if TYPE_CHECKING:
    import asyncpg

LONG = 4 << 20
"""Bytes of all text and binary values of a row, from which on it is read in slices."""
SLICE = 4 << 20
"""Bytes that are asked for at once."""
_FIELD = LONG // 64
"""Bytes, from which on a value of such a row is read by itself; a row has at most 1600."""

_BYTEA, _TEXTS = 17, (25, 1042, 1043)
_ESCAPES = (
    (b"\\", rb"\\"),
    (b"\b", rb"\b"),
    (b"\f", rb"\f"),
    (b"\n", rb"\n"),
    (b"\r", rb"\r"),
    (b"\t", rb"\t"),
    (b"\v", rb"\v"),
)
"""What a COPY writes otherwise; the backslash is the first, since the others bring new ones."""


@dataclass(frozen=True)
class Slices:
    """The long rows of a table. ``kinds``: the oids of those of its columns that may be long."""

    connection: "asyncpg.Connection[Any]"
    table: str
    columns: Sequence[str]
    kinds: Mapping[str, int]

    @classmethod
    async def of(cls, connection: "asyncpg.Connection[Any]", to: Path, columns: Sequence[str]) -> "Slices":
        """Of a table that may be missing: then nothing of it is long.

        Nor is anything where no value lies outside its row: packed as tightly as can be, 8 KB hold half a LONG.
        """
        name = quoted(*to[1:])
        rows = await connection.fetch(
            "SELECT a.attname::text AS name, a.atttypid::int8 AS kind FROM pg_attribute a "
            "JOIN pg_class c ON c.oid = a.attrelid AND c.reltoastrelid <> 0 "
            f"WHERE a.attrelid = to_regclass({literal(name)}) AND a.attnum > 0 AND NOT a.attisdropped "
            f"AND a.atttypmod NOT BETWEEN 0 AND {_FIELD} AND pg_relation_size(c.reltoastrelid) > 0"
        )
        kinds = {row["name"]: row["kind"] for row in rows if row["kind"] in (_BYTEA, *_TEXTS)}
        return cls(connection, name, columns, {name: kinds[name] for name in columns if name in kinds})

    @property
    def where(self) -> str:
        """The condition for a long row. Sizes are known without the values."""
        sizes = [f"coalesce(octet_length({quoted(name)}), 0)::int8" for name in self.kinds]
        return f"{' + '.join(sizes)} >= {LONG}"

    async def rows(self, within: Sequence[str] = ()) -> Sequence[str]:
        """Where the long rows are, as ``ctid``; ``within``: of those that meet these conditions."""
        if not self.kinds:
            return []
        query = f"SELECT ctid::text AS at FROM ONLY {self.table} WHERE {' AND '.join([*within, self.where])}"
        return [row["at"] for row in await self.connection.fetch(query)]

    async def take(self, at: str, running: Running) -> None:
        """Add one of them, as a COPY would give it."""
        own = [f"octet_length({quoted(name)})" for name in self.kinds]
        row = await self.connection.fetchrow(f"SELECT {', '.join(own)} {self._of(at)}")
        if row is None:
            return
        sizes = dict(zip(self.kinds, row.values(), strict=True))
        long = {name for name, size in sizes.items() if size and size >= _FIELD}
        fields = await self._short(at, long)
        for number, (name, field) in enumerate(zip(self.columns, fields, strict=True)):
            if number:
                running.take(b"\t")
            if name not in long:
                running.take(field)
                continue
            async for piece in self._pieces(at, name):
                await asyncio.to_thread(running.take, piece)
        running.take(b"\n")

    async def _short(self, at: str, long: Collection[str]) -> Sequence[bytes]:
        """The fields of the row, the long ones left empty."""
        line = b""

        async def take(data: bytes) -> None:
            nonlocal line
            line += data

        wanted = ", ".join("NULL" if name in long else quoted(name) for name in self.columns)
        await self.connection.copy_from_query(f"SELECT {wanted} {self._of(at)}", output=take, format="text")
        return line.removesuffix(b"\n").split(b"\t")

    async def _pieces(self, at: str, name: str) -> AsyncIterator[bytes]:
        """The server unpacks the value once: OFFSET keeps it from being asked for anew with each piece."""
        binary = self.kinds[name] == _BYTEA
        value = f"{quoted(name)} || ''::bytea" if binary else f"convert_to({quoted(name)}, 'UTF8')"
        query = (
            f"SELECT substr(v.whole, s.number * {SLICE} + 1, {SLICE}) AS piece "
            f"FROM (SELECT {value} AS whole {self._of(at)} OFFSET 0) v "
            f"CROSS JOIN LATERAL generate_series(0, octet_length(v.whole) / {SLICE}) AS s(number)"
        )
        if binary:
            yield rb"\\x"
        async with self.connection.transaction(readonly=True):
            async for row in self.connection.cursor(query, prefetch=1):
                yield hexlify(row["piece"]) if binary else _escaped(row["piece"])

    def _of(self, at: str) -> str:
        return f"FROM ONLY {self.table} WHERE ctid = {literal(at)}::tid"


def _escaped(text: bytes) -> bytes:
    """As a COPY writes it; in UTF-8 these bytes stand for themselves alone."""
    for plain, written in _ESCAPES:
        text = text.replace(plain, written)
    return text
