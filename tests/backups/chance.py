"""Databases by chance: any mixture of types, layouts, compressions, versions and containers, from a number."""

import datetime as clock
import random
import string
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from tests.backups.clr import GEOGRAPHY, GEOMETRY, XML
from tests.backups.describe import (
    CYRILLIC,
    JAPANESE,
    LATIN,
    POLISH,
    UTF8,
    Col,
    Collation,
    Db,
    Index,
    Put,
    Row,
    Tbl,
    Value,
    Variant,
)
from tests.backups.kinds import Kind, kind_of
from tests.backups.writer import Media

LETTERS = {
    LATIN.number: string.printable + "äöüßéñ€™",
    POLISH.number: string.ascii_letters + "zażółćgęśląjaźń €",
    CYRILLIC.number: string.ascii_letters + "Привет мир ёЁ№",
    JAPANESE.number: string.ascii_letters + "日本語テキストｶﾅ漢字",
    UTF8.number: string.printable + "äж東😀€",
}
WIDE = string.printable + "äöü ñ ПриветЖ 日本語 ｶﾅ 😀 €™ ﬀ ‰ ‾ \u0600\u0900\u3042\uff01"
VERSIONS = (2005, 2008, 2008.5, 2012, 2014, 2016, 2017, 2019, 2022)
PLAIN = (
    "bit", "bit", "bit", "tinyint", "smallint", "int", "int", "bigint", "real", "float", "money", "smallmoney",
    "datetime", "smalldatetime", "date", "uniqueidentifier", "rowversion", "text", "ntext", "image", "sql_variant",
    "varchar(max)", "nvarchar(max)", "varbinary(max)", "xml", "geometry", "geography",
)  # fmt: skip
SINCE_2008 = ("date", "geometry", "geography", "time", "datetime2", "datetimeoffset")
KEYS = ("tinyint", "smallint", "int", "bigint", "date", "money", "uniqueidentifier", "datetime", "decimal(9,2)")


@dataclass
class Chance:
    """Values by chance."""

    dice: random.Random
    squeezed: bool = False

    def kind(self, version: float) -> str:
        """A type that the version knows."""
        kind = self._any()
        while version < 2008 and kind.split("(")[0] in SINCE_2008:
            kind = self._any()
        return kind

    def _any(self) -> str:
        most = 60 if self.squeezed else self.dice.choice((10, 100, 2000))
        scale, prec = self.dice.randrange(8), self.dice.randrange(1, 39)
        return self.dice.choice(
            (
                *PLAIN,
                f"decimal({prec},{self.dice.randrange(prec + 1)})",
                f"numeric({prec},{self.dice.randrange(prec + 1)})",
                f"time({scale})",
                f"datetime2({scale})",
                f"datetimeoffset({scale})",
                f"char({self.dice.randrange(1, 60)})",
                f"nchar({self.dice.randrange(1, 40)})",
                f"binary({self.dice.randrange(1, 60)})",
                *(f"{name}({self.dice.randrange(1, most)})" for name in ("varchar", "nvarchar", "varbinary") * 3),
            )
        )

    def text(self, letters: str, most: int, codec: str, room: int) -> str:
        """Text that fits so many bytes."""
        size = self.dice.choice((0, 1, 2, self.dice.randrange(most + 1), self.dice.randrange(min(most, 12) + 1)))
        text = "".join(self.dice.choice(letters) for _ in range(size))
        if self.dice.random() < 0.3:
            text = text[:1] * len(text)
        while len(text.encode(codec)) > room:
            text = text[:-1]
        return text

    def value(self, kind: Kind, collation: Collation) -> Value:
        """A value of a type; None now and then."""
        if self.dice.random() < 0.15:
            return None
        made = self._simple(kind)
        return made if made is not None else self._sized(kind, collation)

    def _simple(self, kind: Kind) -> Value:
        dice = self.dice
        makers: dict[int, Callable[[], Value]] = {
            104: lambda: dice.random() < 0.5,
            48: lambda: dice.choice((0, 1, 255, dice.randrange(256))),
            52: lambda: self.whole(16),
            56: lambda: self.whole(32),
            127: lambda: self.whole(64),
            59: lambda: dice.choice((0.0, 1.5, -0.25, dice.randrange(1 << 20) / 1024)),
            62: lambda: dice.choice((0.0, -0.0, 1e300, 1e-7, dice.random(), dice.uniform(-1e6, 1e6))),
            60: lambda: Decimal(self.whole(64)).scaleb(-4),
            122: lambda: Decimal(self.whole(32)).scaleb(-4),
            61: lambda: f"{self.day(1753)} {self.time(3, dice.choice('037'))}",
            58: lambda: f"{self.day(1900, 2079)} {self.time(0)[:5]}:00",
            40: lambda: self.day(),
            41: lambda: self.time(kind.scale),
            42: lambda: f"{self.day()} {self.time(kind.scale)}",
            43: lambda: (
                f"{self.day(2, 9998)} {self.time(kind.scale)} {dice.choice('+-')}{dice.randrange(14):02}:30"
            ),
            36: lambda: str(uuid.UUID(int=dice.getrandbits(128))),
            189: lambda: dice.randbytes(8),
            106: lambda: self.decimal(kind),
            108: lambda: self.decimal(kind),
            241: lambda: dice.choice(XML),
            98: lambda: self.variant(),
        }
        if kind.xtype == 240:
            return dice.choice(GEOMETRY if kind.name == "geometry" else GEOGRAPHY)
        return makers[kind.xtype]() if kind.xtype in makers else None

    def _sized(self, kind: Kind, collation: Collation) -> Value:
        long = self.dice.choice((20, 200, 9000 if self.squeezed else 30000)) if kind.large else kind.length
        if kind.xtype in (34, 165, 173):
            return self.dice.randbytes(self.dice.choice((0, long, self.dice.randrange(long + 1)))) if long else b""
        if kind.xtype in (99, 231, 239):
            return self.text(WIDE, max(long // 2, 1), "utf-16-le", long)
        return self.text(LETTERS[collation.number], long, collation.codec, long)

    def whole(self, bits: int) -> int:
        """A number of up to so many bits, often a small one."""
        width = self.dice.choice((1, 8, 9, bits, self.dice.randrange(1, bits + 1)))
        width = min(width, bits)
        return self.dice.choice((0, self.dice.getrandbits(width) - (1 << width - 1)))

    def decimal(self, kind: Kind) -> Decimal:
        """A decimal with as many digits as there may be."""
        digits = self.dice.randrange(10 ** self.dice.randrange(kind.prec + 1))
        return Decimal(self.dice.choice((1, -1)) * digits).scaleb(-kind.scale, None)

    def day(self, first: int = 1, last: int = 9999) -> str:
        """A date."""
        low, high = clock.date(first, 1, 1).toordinal(), clock.date(last, 5, 31).toordinal()
        return clock.date.fromordinal(self.dice.randrange(low, high)).isoformat()

    def time(self, scale: int, last: str = "") -> str:
        """A time of day with so many digits of a second."""
        seconds = self.dice.choice((0, 86399, self.dice.randrange(86400)))
        part = f"{self.dice.choice((0, 10**scale - 1, self.dice.randrange(10**scale))):0{scale}}" if scale else ""
        part = part[:-1] + last if last else part
        text = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
        return f"{text}.{part}" if part else text

    def variant(self) -> Variant:
        """A sql_variant."""
        kind = self.dice.choice(
            ("int", "bigint", "nvarchar(20)", "varchar(20)", "money", "datetime", "decimal(18,6)")
        )
        value = None
        while value is None:
            value = self.value(kind_of(kind), LATIN)
        return Variant(kind, value)


def columns_of(chance: Chance, version: float) -> list[Col]:
    """Columns that fit a page with their fixed parts and pointers."""
    columns: list[Col] = []
    room, dice = 7000, chance.dice
    for place in range(dice.choice((1, 3, 8, 20, 35))):
        kind = chance.kind(version)
        made = kind_of(kind)
        room -= made.length if made.fixed else 24
        if room < 0:
            break
        collation = dice.choice((LATIN, LATIN, POLISH, CYRILLIC, JAPANESE, UTF8 if version >= 2019 else LATIN))
        gone = place > 0 and dice.random() < 0.08
        columns.append(Col(f"c{place} {kind}", kind, collation=collation, dropped=gone))
    return columns


def table(dice: random.Random, number: int, version: float) -> Tbl:
    """A table."""
    how = dice.choice(("none", "none", "row", "page")) if version >= 2008 else "none"
    chance = Chance(dice, how != "none")
    columns = columns_of(chance, version)
    key: list[str] = []
    if dice.random() < 0.5:
        columns.insert(dice.randrange(len(columns) + 1), Col("key", dice.choice(KEYS)))
        key = ["key"]
    unique = dice.random() < 0.6
    rows = [row(chance, columns, dice, bool(key) and not unique) for _ in range(dice.choice((0, 1, 5, 60, 200)))]
    indexes = [Index(f"I{number}", key, clustered=True, unique=unique)] if key else []
    parts = dice.choice((1, 1, 1, 3))
    return Tbl("dbo", f"t{number}", columns, rows, indexes, compression=how, partitions=parts,
               lob_leaf=dice.choice((8040, 1000)), lob_fan=dice.choice((400, 3)))  # fmt: skip


def row(chance: Chance, columns: list[Col], dice: random.Random, repeated: bool) -> Row:
    """A row, often an ordinary one."""
    values = [chance.value(kind_of(col.kind), col.collation) for col in columns]
    plain = not chance.squeezed
    return Put(
        values,
        forwarded=plain and dice.random() < 0.02,
        ghost=dice.random() < 0.02,
        versioned=dice.random() < 0.05,
        uniquifier=dice.choice((None, 1, 70000)) if repeated else None,
    )


def database(seed: int) -> tuple[Db, float, Media, str]:
    """A database, its version, its container and the protection of its pages."""
    dice = random.Random(seed)
    version = dice.choice(VERSIONS)
    tables = [fixed(table(dice, number, version)) for number in range(dice.choice((1, 2, 4)))]
    form = 1 if version < 2012 else 2
    media = Media(
        dice.choice((512, 4096)), compressed=version >= 2008 and dice.random() < 0.2, form=form, seed=seed
    )
    how = dice.choice(("none", "checksum", "torn"))
    return Db(f"Chance {seed}", tables, uniform=dice.random() < 0.3), version, media, how


def fixed(table: Tbl) -> Tbl:
    """Rows that are both a ghost and forwarded are neither; only heaps forward."""
    heap = not table.indexes
    rows: list[Row] = []
    for one in table.rows:
        assert isinstance(one, Put)
        forwarded = one.forwarded and heap and not one.ghost
        rows.append(Put(one.values, forwarded, one.ghost, one.versioned, one.columns, one.uniquifier))
    return Tbl(
        table.schema, table.name, table.columns, rows, table.indexes, compression=table.compression,
        partitions=table.partitions, lob_leaf=table.lob_leaf, lob_fan=table.lob_fan,
    )  # fmt: skip
