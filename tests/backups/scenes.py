"""Tables of many kinds that the fixtures are made of."""

import uuid
from decimal import Decimal

from tests.backups import clr
from tests.backups.describe import (
    CYRILLIC,
    JAPANESE,
    POLISH,
    UTF8,
    Check,
    Col,
    Default,
    ForeignKey,
    Identity,
    Index,
    Module,
    Put,
    Raw,
    Row,
    Tbl,
    Value,
    Variant,
)


def shop() -> list[Tbl]:
    """Customers and orders with every constraint, comment and index that a table can have."""
    customers = Tbl(
        "sales",
        "Customers",
        [
            Col("Id", "int", nullable=False, identity=Identity(1, 1, 4), comment="the customer's number"),
            Col("Name", "nvarchar(80)", nullable=False),
            Col("Kind", "char(3)", default=Default("DF_Customers_Kind", "('new')")),
            Col("Since", "datetime", default=Default("DF_Customers_Since", "(getdate())")),
            Col("Credit", "money"),
        ],
        [
            (1, "Alfreds Futterkiste", "old", "1996-07-04 00:00:00.000", Decimal("1234.5678")),
            (2, "tab\tand\\slash", "new", "2024-02-29 23:59:59.997", Decimal("-0.0001")),
            (3, "line\nbreak", None, None, None),
            (4, "Ærøskøbing 東京 😀", "x", "1753-01-01 00:00:00.003", Decimal("922337203685477.5807")),
        ],
        [
            Index("PK_Customers", ["Id"], primary=True, clustered=True, unique=True),
            Index("UQ_Customers_Name", ["Name"], unique=True, constraint=True),
        ],
        checks=[Check("CK_Customers_Credit", "([Credit]>(-1000))", "Credit")],
        comment="Who buys",
    )
    orders = Tbl(
        "dbo",
        "Orders",
        [
            Col("OrderId", "bigint", nullable=False, identity=Identity(100, 10, 130)),
            Col("Customer", "int"),
            Col("Total", "decimal(12,3)", nullable=False),
            Col("Shipped", "bit", nullable=False, default=Default("DF_Orders_Shipped", "((0))")),
            Col("Paid", "bit"),
            Col("Twice", "decimal(13,3)", computed="([Total]*(2))"),
            Col("Ref", "uniqueidentifier"),
        ],
        [
            (100, 1, Decimal("10.500"), True, None, "6F9619FF-8B86-D011-B42D-00C04FC964FF"),
            (110, 4, Decimal("-999999999.999"), False, True, None),
            (120, None, Decimal("0.000"), True, False, "00000000-0000-0000-0000-000000000000"),
            (130, 2, Decimal("0.001"), False, False, "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF"),
        ],
        [
            Index("PK_Orders", ["OrderId"], primary=True, clustered=True, unique=True),
            Index("IX_Orders_Customer", ["Customer"], include=["Total"], predicate="([Customer] IS NOT NULL)"),
            Index("IX_Orders_Total", ["Paid", "Total"], descending=["Total"]),
        ],
        [
            ForeignKey(
                "FK_Orders_Customers", ["Customer"], ("sales", "Customers"), ["Id"], on_delete=1, on_update=1
            )
        ],
        [Check("CK_Orders", "([Total]<(1000000000))")],
    )
    return [customers, orders]


MODULES = [
    Module("dbo", "Big", "V", "create view dbo.Big as select * from dbo.Orders where Total > 5"),
    Module("dbo", "Clean", "P", "create procedure dbo.Clean as delete dbo.Orders"),
    Module("dbo", "Twice", "FN", "create function dbo.Twice(@x int) returns int as begin return @x * 2 end"),
    Module("dbo", "Secret", "P", None, encrypted=True),
    Module("dbo", "Watch", "TR", "create trigger dbo.Watch on dbo.Orders for insert as return", ("dbo", "Orders")),
    Module("dbo", "Away", "SN", None),
    Module("dbo", "Counter", "SO", None),
    Module("dbo", "Long", "V", "create view dbo.Long as select 1 as x -- " + "very long " * 1200),
]

TYPES: list[tuple[str, list[Value]]] = [
    ("bit", [True, False]),
    ("tinyint", [0, 255]),
    ("smallint", [-32768, 32767]),
    ("int", [-2147483648, 2147483647]),
    ("bigint", [-9223372036854775808, 9223372036854775807]),
    ("real", [0.1, -3.4028234663852886e38]),
    ("float", [0.1, 1e20]),
    ("float", [-1.7976931348623157e308, 5e-324]),
    ("decimal(1,0)", [Decimal(-9), Decimal(0)]),
    ("decimal(9,4)", [Decimal("12345.6789"), Decimal("-0.0001")]),
    ("decimal(19,0)", [Decimal(9999999999999999999), Decimal(-1)]),
    ("decimal(28,10)", [Decimal("123456789012345678.0123456789"), Decimal("-0.0000000001")]),
    ("numeric(38,38)", [Decimal("0.12345678901234567890123456789012345678"), Decimal(0)]),
    ("decimal(38,0)", [Decimal("99999999999999999999999999999999999999"), Decimal("-1")]),
    ("money", [Decimal("-922337203685477.5808"), Decimal("0.0100")]),
    ("smallmoney", [Decimal("214748.3647"), Decimal("-214748.3648")]),
    ("datetime", ["1753-01-01 00:00:00.000", "9999-12-31 23:59:59.997"]),
    ("smalldatetime", ["1900-01-01 00:00:00", "2079-06-06 23:59:00"]),
    ("date", ["0001-01-01", "9999-12-31"]),
    ("time(0)", ["00:00:00", "23:59:59"]),
    ("time(3)", ["12:00:00.5", "23:59:59.999"]),
    ("time(7)", ["12:34:56.1234567", "00:00:00.0000001"]),
    ("datetime2(0)", ["2024-02-29 13:00:00", "0001-01-01 00:00:00"]),
    ("datetime2(4)", ["2024-02-29 13:00:00.1234", "1899-12-31 23:59:59.9999"]),
    ("datetime2(7)", ["9999-12-31 23:59:59.9999999", "1582-10-15 12:00:00.1000000"]),
    ("datetimeoffset(7)", ["2024-02-29 00:30:00.1234567 +01:00", "2024-12-31 23:30:00.0000000 -08:30"]),
    ("datetimeoffset(0)", ["1999-12-31 23:59:59 +14:00", "2000-01-01 00:00:00 +00:00"]),
    ("char(10)", ["blank", "ten chars!"]),
    ("varchar(30)", ["", "naïve café €"]),
    ("varchar(max)", ["short", "m" * 7000]),
    ("text", ["old text", ""]),
    ("nchar(5)", ["äé", "12345"]),
    ("nvarchar(40)", ["", "日本 \U0001f600 \\N"]),
    ("nvarchar(max)", ["wide", "ж" * 300]),
    ("ntext", ["wide ñ", ""]),
    ("binary(6)", [b"\0\1\2", b"\xff" * 6]),
    ("varbinary(20)", [b"", b"\0\xff\\x"]),
    ("varbinary(max)", [b"\0", bytes(range(256)) * 4]),
    ("image", [b"GIF89a", b""]),
    ("uniqueidentifier", [str(uuid.UUID(int=1)), "6f9619ff-8b86-d011-b42d-00c04fc964ff"]),
    ("rowversion", [b"\0\0\0\0\0\0\x07\xd1", b"\xff" * 8]),
    ("sql_variant", [Variant("int", 7), Variant("nvarchar(20)", "väri")]),
    ("sql_variant", [Variant("decimal(9,2)", Decimal("1.50")), Variant("bit", True)]),
    ("sql_variant", [Variant("datetime2(3)", "2020-01-02 03:04:05.678"), Variant("varchar(9)", "a\tb")]),
    ("sql_variant", [Variant("bigint", -5), Variant("uniqueidentifier", str(uuid.UUID(int=2)))]),
    ("sql_variant", [Variant("money", Decimal("1.2345")), Variant("varbinary(4)", b"\1\2")]),
    ("hierarchyid", [Raw(b"", "/"), Raw(b"\x58", "/1/")]),
    ("hierarchyid", [Raw(bytes.fromhex("5ac0"), "/1/1/"), Raw(b"\x68", "/2/")]),
    ("geography", [
        Raw(bytes.fromhex("e6100000010c") + bytes.fromhex("00000000008047400000000000002840"),
            "SRID=4326;POINT (12 47)"),
        None,
    ]),
]  # fmt: skip


def types() -> list[Tbl]:
    """A table per dozen types, with extreme values, a row of NULLs and a row that mixes both."""
    tables = []
    for start in range(0, len(TYPES), 12):
        group = TYPES[start : start + 12]
        columns = [Col("id", "int", nullable=False)]
        columns += [Col(f"c{n} {kind}", kind) for n, (kind, _) in enumerate(group, start)]
        first = [values[0] for _, values in group]
        second = [values[1] for _, values in group]
        mixed = [value if n % 2 else None for n, value in enumerate(first)]
        rows: list[Row] = [(1, *first), (2, *second), (3, *(None for _ in group)), (4, *mixed)]
        index = [Index(f"PK{start}", ["id"], primary=True, clustered=True)]
        tables.append(Tbl("dbo", f"types {start}", columns, rows, index if start else []))
    return tables


def shapes() -> list[Tbl]:
    """Spatial values and XML."""
    return [
        Tbl("dbo", "plane", [Col("g", "geometry")], [(value,) for value in clr.GEOMETRY]),
        Tbl("dbo", "globe", [Col("g", "geography")], [(value,) for value in clr.GEOGRAPHY]),
        Tbl("dbo", "papers", [Col("x", "xml")], [(value,) for value in [*clr.XML, None]]),
    ]


def code_pages() -> Tbl:
    """Columns in several code pages."""
    return Tbl(
        "dbo",
        "pages",
        [
            Col("pl", "varchar(40)", collation=POLISH, default=Default("DF_pl", "('zażółć')")),
            Col("ru", "char(12)", collation=CYRILLIC, default=Default("DF_ru", "(N'Джеймс')")),
            Col("ja", "varchar(40)", collation=JAPANESE),
            Col("utf8", "varchar(60)", collation=UTF8),
            Col("old", "text", collation=CYRILLIC),
        ],
        [
            ("zażółć gęślą jaźń", "Джеймс", "日本語ｶﾅ", "ünïcödé 😀", "Старый текст"),
            ("", "", "", "", ""),
            (None, None, None, None, None),
        ],
    )


def many() -> list[Tbl]:
    """So many tables that the catalogue has several levels; some with odd names, one with many columns."""
    tables = [
        Tbl(
            "dbo",
            f"table {n}",
            [Col("a", "int"), Col("b", f"varchar({n + 1})"), Col("c", "bit")],
            [(n, "x", True)],
        )
        for n in range(110)
    ]
    names = ['quo"te', "dot.ted", "brack]et", "Größe 東京", "tab\tname", "'; drop", "x" * 128]
    tables += [Tbl(f"schema {n}", name, [Col(name, "int")], [(n,)]) for n, name in enumerate(names)]
    wide = [Col(f"column number {n}", ("int", "varchar(5)", "bit", "smallint")[n % 4]) for n in range(700)]
    cells: list[Value] = [(n, str(n), n % 3 == 0, n)[n % 4] if n % 5 else None for n in range(700)]
    return [*tables, Tbl("dbo", "wide", wide, [cells, [None] * 700])]


def numbered() -> list[Tbl]:
    """Identities of all kinds of numbers."""
    kinds = [
        ("tinyint", Identity(1, 1, 200)),
        ("smallint", Identity(-5, -1, -7)),
        ("int", Identity(10, 5, None)),
        ("bigint", Identity(1 << 40, 1000, (1 << 40) + 5000)),
        ("decimal(18,0)", Identity(1, 1, 9)),
        ("numeric(38,0)", Identity(10**30, 1, 10**30 + 4)),
    ]
    return [Tbl("dbo", f"id {kind}", [Col("id", kind, False, identity=how)]) for kind, how in kinds]


def odd_rows() -> Tbl:
    """A heap with forwarded, ghost and versioned records."""
    rows: list[Row] = []
    for number in range(60):
        values = (number, f"row {number}", "x" * (number * 5))
        rows.append(
            Put(
                values,
                forwarded=number % 7 == 3 and number % 10 != 9,
                ghost=number % 10 == 9,
                versioned=number % 4 == 1,
            )
        )
    return Tbl("dbo", "odd", [Col("n", "int"), Col("t", "nvarchar(20)"), Col("v", "varchar(400)")], rows)


def altered() -> Tbl:
    """Columns were dropped and added; rows of several ages."""
    columns = [
        Col("id", "int", nullable=False),
        Col("gone fixed", "datetime", dropped=True),
        Col("kept", "varchar(20)"),
        Col("gone text", "varchar(20)", dropped=True),
        Col("flag", "bit"),
        Col("added number", "bigint"),
        Col("added text", "nvarchar(20)"),
        Col("added flag", "bit"),
    ]
    rows: list[Row] = [
        Put((1, "2001-01-01 00:00:00.000", "first", "away", True, None, None, None), columns=5),
        Put((2, None, None, "away", False, None, None, None), columns=5),
        Put((3, None, "third", None, None, 3, None, None), columns=6),
        (4, None, "fourth", None, True, -4, "new", False),
        (5, None, "fifth", None, False, None, "", True),
    ]
    return Tbl("dbo", "altered", columns, rows)


def sparse() -> Tbl:
    """Sparse columns with and without values."""
    columns = [Col("id", "int", nullable=False), Col("name", "nvarchar(20)")]
    columns += [Col(f"s{n}", kind, sparse=True) for n, kind in enumerate(("int", "nvarchar(30)", "date", "bit"))]
    rows: list[Row] = [
        (1, "none", None, None, None, None),
        (2, "one", 7, None, None, None),
        (3, None, None, "sparse ü", "2020-02-02", None),
        (4, "all", -1, "", "0001-01-01", True),
    ]
    return Tbl("dbo", "sparse", columns, rows)


def lobs() -> list[Tbl]:
    """Large values: pointers, inline roots, trees of three levels and more, rows that overflow."""
    big = "".join(f"{n:07} " for n in range(6000))
    columns = [Col("id", "int"), Col("t", "text"), Col("n", "ntext"), Col("i", "image")]
    old: list[Row] = [
        (1, "tiny", "tiny ü", b"\0\1"),
        (2, "x" * 65, "y" * 64, bytes(range(256))),
        (3, big, big[:30000], big.encode()),
        (4, None, "", b""),
    ]
    new = [Col("id", "int"), Col("v", "varchar(max)"), Col("w", "nvarchar(max)"), Col("b", "varbinary(max)")]
    rows: list[Row] = [
        (1, "in row", "in row ü", b"\0"),
        (2, "a" * 8000, None, None),
        (3, big, big, None),
        (4, "b" * 5000, "c" * 2000, b"d" * 3000),
        (5, "", "", b""),
        (6, None, None, big.encode() * 3),
    ]
    short: list[Row] = [
        (1, "sixteen letters!", "eight ü!", bytes(range(16))),
        (2, "fifteen letters", None, bytes(17)),
        (3, big, "more than there is room for", b""),
    ]
    wide = [Col("id", "int"), *(Col(f"v{n}", "varchar(4000)") for n in range(5))]
    long: list[Row] = [
        (1, "a" * 4000, "b" * 4000, "c" * 4000, None, "e" * 10),
        (2, "short", None, "", "d" * 3999, "e" * 4000),
        (3, *("z" * 1500 for _ in range(5))),
    ]
    return [
        Tbl("dbo", "old large", columns, old),
        Tbl("dbo", "in their rows", columns, short, text_in_row=48),
        Tbl("dbo", "in rows of a key", columns, short, [Index("CX", ["id"], clustered=True)], text_in_row=48),
        Tbl("dbo", "new large", new, rows),
        Tbl("dbo", "deep", new, rows[2:4], lob_leaf=500, lob_fan=3, root_links=2),
        Tbl("dbo", "overflow", wide, long),
    ]


def tall(count: int = 3000, name: str = "tall", **more: object) -> Tbl:
    """Many rows of an ordinary table."""
    rows: list[Row] = [
        (n, f"name {n % 50}", Decimal(n * 37 % 100000).scaleb(-2),
         f"{n:08} " * (n % 9) if n % 11 else None, n % 3 == 0)
        for n in range(count)
    ]  # fmt: skip
    columns = [
        Col("id", "int", nullable=False),
        Col("name", "nvarchar(40)"),
        Col("price", "decimal(10,2)"),
        Col("note", "varchar(200)"),
        Col("flag", "bit"),
    ]
    index = [Index(f"PK_{name}", ["id"], primary=True, clustered=True)]
    return Tbl("dbo", name, columns, rows, index, **more)  # type: ignore[arg-type]


def uniquified() -> Tbl:
    """A clustered index that is not unique."""
    rows: list[Row] = [Put((n // 3, f"value {n}", n), uniquifier=n % 3 or None) for n in range(30)]
    columns = [Col("k", "int", nullable=False), Col("v", "varchar(20)"), Col("n", "bigint")]
    return Tbl("dbo", "uniquified", columns, rows, [Index("CX", ["k"], clustered=True)])


def squeezed(how: str) -> list[Tbl]:
    """Tables under row or page compression: short and long values, many columns, large values."""
    texts = [
        "",
        "a",
        "abcdefgh",
        "abcdefghi",
        "Ünïcode wïndow",
        "Привет, мир",
        "日本語",
        "odd",
        "evens!",
        "tab\tquote",
    ]
    rows: list[Row] = []
    for n in range(400):
        rows.append(
            (
                n - 200, (n - 200) * 10**12, n % 256, n % 2 == 0, Decimal(n - 200).scaleb(-2) * 3,
                Decimal(n).scaleb(-4),
                float(n - 200) / 8, texts[n % 10], "prefix common " + texts[n % 9], f"code {n // 40}",
                f"{2000 + n % 20}-03-04 05:06:07.100", "2024-02-29", None if n % 5 else "x" * (n % 60),
            )
        )  # fmt: skip
    columns = [
        Col("i", "int", nullable=False), Col("b", "bigint"), Col("t", "tinyint"), Col("f", "bit"),
        Col("d", "decimal(10,2)"), Col("m", "money"), Col("r", "float"), Col("n", "nvarchar(40)"),
        Col("p", "nvarchar(60)"), Col("c", "char(12)"), Col("w", "datetime"), Col("day", "date"),
        Col("v", "varchar(80)"),
    ]  # fmt: skip
    many = [Col(f"c{n}", "int" if n % 3 else "varchar(40)") for n in range(140)]
    wide: list[Row] = [
        tuple(
            (None if (n + r) % 7 == 0 else r * n if n % 3 else f"long value {r} of {n}"[: 5 + n % 30])
            for n in range(140)
        )
        for r in range(12)
    ]
    large = [Col("id", "int"), Col("big", "nvarchar(max)"), Col("old", "text")]
    return [
        Tbl("dbo", "squeezed", columns, rows, compression=how),
        Tbl("dbo", "wide", many, wide, compression=how),
        Tbl("dbo", "large", large, [(1, "wide ü" * 3000, "old"), (2, "short", None)], compression=how),
    ]
