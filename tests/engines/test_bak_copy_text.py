"""COPY text made from pages goes through a real PostgreSQL and comes out the same, byte for byte."""

import random
import struct
from collections.abc import Iterator

import psycopg
import pytest

from sterna.engines.sqlserver.wire.records import Physical
from sterna.engines.sqlserver.wire.rows import Rows
from tests.backups.reading import in_bytes
from tests.servers.fixtures import StartPostgres
from tests.unit.bak_pages import fixed_var, layout, page

pytestmark = [pytest.mark.server, pytest.mark.long]

_COLUMNS = (
    ("r", "real", Physical("r", 59, offset=4, nullbit=1)),
    ("d", "double precision", Physical("d", 62, offset=8, nullbit=2)),
    ("m", "numeric(19,4)", Physical("m", 60, offset=16, nullbit=3)),
    ("n", "numeric(20,7)", Physical("n", 106, precision=20, scale=7, offset=24, nullbit=4)),
    ("t", "timestamp(3)", Physical("t", 61, offset=37, nullbit=5)),
    ("t2", "timestamp", Physical("t2", 42, scale=6, offset=45, nullbit=6)),
    ("z", "timestamptz", Physical("z", 43, scale=3, offset=53, nullbit=7)),
    ("u", "uuid", Physical("u", 36, offset=62, nullbit=8)),
    ("c", "char(5)", Physical("c", 239, 10, offset=78, nullbit=9)),
    ("da", "date", Physical("da", 40, offset=88, nullbit=10)),
    ("ti", "time", Physical("ti", 41, scale=5, offset=91, nullbit=11)),
    ("b", "boolean", Physical("b", 104, offset=96, nullbit=12, bitpos=2)),
    ("s", "text", Physical("s", 231, 200, offset=-1, nullbit=13)),
    ("v", "bytea", Physical("v", 165, 200, offset=-2, nullbit=14)),
    ("k", "text", Physical("k", 167, 200, offset=-3, nullbit=15)),
)


def _record(chance: random.Random) -> bytes:
    word = "".join(chance.choice("aé\t\n\\\r\b\f\v😀中'\"") for _ in range(chance.randrange(20)))
    fixed = struct.pack("<fd", _number(chance, "<f"), _number(chance, "<d"))
    fixed += struct.pack("<q", chance.randrange(-(2**63), 2**63) >> chance.randrange(63))
    fixed += bytes([chance.randrange(2)]) + chance.randrange(10 ** chance.randrange(1, 21)).to_bytes(12, "little")
    fixed += struct.pack("<Ii", chance.randrange(25_920_000), chance.randrange(-53_690, 2_958_464))
    fixed += chance.randrange(86_400_000_000).to_bytes(5, "little") + chance.randrange(3_652_059).to_bytes(
        3, "little"
    )
    fixed += chance.randrange(86_400_000).to_bytes(4, "little") + chance.randrange(3_652_059).to_bytes(3, "little")
    fixed += struct.pack("<h", chance.randrange(-840, 841)) + chance.randbytes(16)
    fixed += "".join(chance.choice("aé ") for _ in range(5)).encode("utf-16-le")
    fixed += chance.randrange(3_652_059).to_bytes(3, "little")
    fixed += chance.randrange(8_640_000_000).to_bytes(5, "little") + chance.randbytes(1)
    narrow = bytes(chance.randrange(1, 256) for _ in range(chance.randrange(20)))
    varying = [word.encode("utf-16-le"), chance.randbytes(chance.randrange(20)), narrow]
    nulls = [bit for bit in range(1, 16) if not chance.randrange(9)]
    return fixed_var(fixed, varying, columns=15, nulls=nulls)


def _number(chance: random.Random, form: str) -> float:
    """Any bits, or what people write, or a power of two and its neighbours."""
    kind = chance.randrange(3)
    if kind == 0:
        value: float = struct.unpack(form, chance.randbytes(struct.calcsize(form)))[0]
        return value if value - value == 0 else 0.0
    if kind == 1:
        return round(chance.uniform(-1e6, 1e6), chance.randrange(5)) * 10.0 ** chance.randrange(-20, 20)
    bits = struct.pack(form, 2.0 ** chance.randrange(-100, 120))
    beside = int.from_bytes(bits, "little") + chance.randrange(-3, 4)
    return float(struct.unpack(form, beside.to_bytes(len(bits), "little"))[0])


def _pages(count: int) -> Iterator[bytes]:
    chance = random.Random(20)
    for _ in range(count):
        yield page([_record(chance) for _ in range(20)])


@pytest.mark.parametrize("python", [False, True], ids=["compiled", "python"])
def test_text_from_pages_comes_out_of_postgresql_unchanged(postgres_server: StartPostgres, python: bool) -> None:
    rows = Rows(layout(*(column for _, _, column in _COLUMNS)))
    rows._plan = None if python else rows._plan
    text = b"".join(each for one in _pages(1000) for each in in_bytes(rows.copy_text(one)[0]))
    with psycopg.connect(postgres_server().dsn()) as connection, connection.cursor() as cursor:
        cursor.execute("SET timezone = 'UTC'; SET datestyle = 'ISO, MDY'; SET extra_float_digits = 1")
        # Numbers are stored without a limit of digits: the tests make more than the columns could have held.
        wide = {"numeric(20,7)": "numeric(28,7)"}
        cursor.execute(
            f"CREATE TABLE x ({', '.join(f'{name} {wide.get(kind, kind)}' for name, kind, _ in _COLUMNS)})"
        )
        with cursor.copy("COPY x FROM STDIN") as copy:
            copy.write(text)
        with cursor.copy("COPY x TO STDOUT") as copy:
            back = b"".join(bytes(piece) for piece in copy)
    differing = [pair for pair in zip(text.split(b"\n"), back.split(b"\n"), strict=True) if pair[0] != pair[1]]
    apart = [
        (a, b) for one, two in differing for a, b in zip(one.split(b"\t"), two.split(b"\t"), strict=True) if a != b
    ]
    assert apart[:10] == []
