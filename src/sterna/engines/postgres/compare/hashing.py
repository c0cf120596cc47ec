"""How both servers boil a row down to the same 64 bits.

Three ways, the fastest that both servers agree on: PostgreSQL's own hash of a record (14 and later), its hash of
a text (11 and later), MD5. None is promised to be the same across versions and architectures, so each pair of
servers is asked to hash samples first.

A row's hash must differ wherever anything that a client can read differs. So only types whose hash tells apart
all that their text does go into the record as they are; numeric (1.0 is 1.00 there), floats (-0 is 0), enums
(hashed by OID) and all others go in as text.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sterna.engines.postgres.compare.asking import ask
from sterna.engines.postgres.connection import Connection
from sterna.engines.postgres.names import quoted

_AS_IT_IS = {
    "bigint", "boolean", "bytea", "date", "integer", "name", "oid", "smallint", "time without time zone",
    "timestamp with time zone", "timestamp without time zone", "uuid",
}  # fmt: skip
_MODIFIER = re.compile(r"\(\d+(,-?\d+)?\)")
_BINARY = {
    "real": "float4send",
    "double precision": "float8send",
    "point": "point_send",
    "lseg": "lseg_send",
    "path": "path_send",
    "box": "box_send",
    "polygon": "poly_send",
    "line": "line_send",
    "circle": "circle_send",
    "real[]": "array_send",
    "double precision[]": "array_send",
}
"""Numbers that servers before 12 write with other digits than later ones: their binary form is the same."""

_TEXT_SAMPLES = ("''", "'a'", "repeat('sterna paradisaea ', 20)", "U&'\\00fc\\6f22'")
_RECORD_SAMPLE = (
    "hash_record_extended(ROW(1::int8, NULL::int4, true, '\\x00ff'::bytea, date '2020-02-29', -7::int4, "
    "'a'::name, 5::oid, 3::int2, time '12:34:56.7', timestamptz '2001-01-01 00:00:00.5+00', "
    "timestamp '1969-07-20 20:17', "
    "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid, 'text'::text COLLATE \"C\", false, ''::text COLLATE \"C\"), 0)"
)


@dataclass(frozen=True, slots=True)
class Hashing:
    """A way to hash that two servers have in common."""

    record: bool
    """Whether both know the same hash of a record; else the row is hashed as one text."""
    of_text: str
    """The hash of a text, ``{}`` being the text."""
    binary_floats: bool
    """Whether the servers write floats differently."""

    def row(self, columns: Sequence[tuple[str, str]]) -> str:
        """SQL for the hash, a bigint, of columns, each given by its name and its type's name."""
        if self.record:
            return f"hash_record_extended(ROW({', '.join(_member(*column) for column in columns)}), 0)"
        return self.of_text.format(f"ROW({', '.join(self.text(*column) for column in columns)})::text")

    def text(self, name: str, type_name: str) -> str:
        """SQL for a value whose text is the same on both servers."""
        send = _BINARY.get(type_name) if self.binary_floats else None
        return f"{send}({quoted(name)})" if send else quoted(name)


def _member(name: str, type_name: str) -> str:
    plain = _MODIFIER.sub("", type_name)
    if plain in _AS_IT_IS:
        return quoted(name)
    if plain in ("character", "bpchar"):
        return f'ROW({quoted(name)})::text COLLATE "C"'  # the cast to text would drop blanks
    return f'{quoted(name)}::text COLLATE "C"'


async def choose(source: Connection, target: Connection) -> Hashing:
    """The fastest way that gives the same on both servers. Raises what their queries raise."""
    versions = source.info.server_version, target.info.server_version
    floats = min(versions) < 120000 <= max(versions)
    encodings = [str((await ask(side, _ENCODING))[0][0]) for side in (source, target)]
    if encodings[0] != encodings[1] and "SQL_ASCII" not in encodings:
        return Hashing(False, _MD5.format("convert_to({}, 'UTF8')"), floats)
    if min(versions) >= 110000 and await _agree(
        source, target, [_OF_TEXT.format(each) for each in _samples(encodings[0])]
    ):
        record = min(versions) >= 140000 and await _agree(source, target, [_RECORD_SAMPLE])
        return Hashing(record, _OF_TEXT, floats)
    return Hashing(False, _MD5.format("{}"), floats)


def _samples(encoding: str) -> Sequence[str]:
    """The last one cannot be written in every encoding."""
    return _TEXT_SAMPLES if encoding == "UTF8" else _TEXT_SAMPLES[:3]


async def _agree(source: Connection, target: Connection, expressions: Sequence[str]) -> bool:
    query = f"SELECT {', '.join(expressions)}"
    return await ask(source, query) == await ask(target, query)


_ENCODING = "SHOW server_encoding"
_OF_TEXT = 'hashtextextended({} COLLATE "C", 0)'
_MD5 = "('x' || substr(md5({}), 1, 16))::bit(64)::bigint"
