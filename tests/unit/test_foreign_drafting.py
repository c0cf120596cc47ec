"""Statements for PostgreSQL from what another kind of source describes, without a server."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sterna.core.change import Chunk, Format, Position
from sterna.core.digest import Digest
from sterna.core.errors import BadData, Unsupported
from sterna.core.event import Level
from sterna.core.plan import Picked, Rename, Selection
from sterna.core.schema import Column, ForeignKey, Identity, Index, Key, Kind, Schema, Table, Type
from sterna.engines.postgres.checkpoint import BEGINNING
from sterna.engines.postgres.foreign import building
from sterna.engines.postgres.foreign.building import tell_left
from sterna.engines.postgres.foreign.drafting import draft
from sterna.engines.postgres.foreign.drafts import Draft, Drafted, Left
from sterna.engines.postgres.foreign.loading import Sent, table_of, without
from sterna.engines.postgres.foreign.naming import place
from sterna.engines.postgres.foreign.types import changed, type_of

NUMBER = Type(Kind.INTEGER, "int", bits=32)
LONG = Type(Kind.TEXT, "nvarchar(max)")
PATH = ("d", "dbo", "T")


def drafted(table: Table, version: int = 180000, dialect: str = "tsql") -> tuple[Drafted, Draft]:
    found = draft(Schema(dialect, (table,)), Selection(), version)
    return found.tables[table.path], found


def kinds(found: Draft) -> list[str]:
    return [each.kind for each in found.left]


def test_databases_are_taken_and_renamed_whatever_the_case_of_their_names() -> None:
    selection = Selection(only=("SHOP",), renames=(Rename("shop", "store"), Rename("*", "rest")))
    assert place(selection, ("Shop", "dbo", "T")) == ("store", "dbo", "T")
    assert place(selection, ("Other", "dbo", "T")) is None
    assert place(Selection(renames=selection.renames), ("Other",)) == ("rest",)
    moved = Selection(renames=selection.renames, objects=(Picked(("Shop",), ("kept",)),))
    assert place(moved, ("Shop", "dbo", "T")) == ("kept", "dbo", "T")


def test_a_name_with_quotes_and_a_reserved_one_are_quoted() -> None:
    table = Table(('d"b', 'sch"ema', 'ta"ble'), (Column('co"l', NUMBER), Column("select", NUMBER)))
    made, _ = drafted(table)
    assert made.create == 'CREATE TABLE "sch""ema"."ta""ble" ("co""l" integer, "select" integer)'


def test_a_language_that_is_not_known_leaves_every_expression_out() -> None:
    table = Table(PATH, (Column("a", NUMBER, default="1"),))
    made, found = drafted(table, dialect="oracle")
    assert made.defaults == ()
    assert kinds(found) == ["default"]


def test_before_version_12_a_persisted_computed_column_is_an_ordinary_one() -> None:
    columns = Column("a", NUMBER), Column("b", NUMBER, nullable=False, computed="([a]+(1))")
    table = Table(PATH, (*columns, Column("c", NUMBER, computed="([a]+(1))", stored=False)))
    made, found = drafted(table, 110000)
    assert made.create == 'CREATE TABLE "dbo"."T" ("a" integer, "b" integer)'
    assert made.columns == ("a", "b")
    assert kinds(found) == ["computed column", "computed column"]
    assert "GENERATED ALWAYS AS" in drafted(table)[0].create


def test_a_key_that_takes_one_null_is_told_of_where_the_server_takes_any_number() -> None:
    table = Table(PATH, (Column("a", NUMBER),), uniques=(Key("U", ("a",)),))
    made, found = drafted(table, 140000)
    assert made.indexes[0].sql == 'ALTER TABLE "dbo"."T" ADD CONSTRAINT "U" UNIQUE ("a")'
    assert kinds(found) == ["one NULL in a unique key"]
    assert "NULLS NOT DISTINCT" in drafted(table, 150000)[0].indexes[0].sql
    never = Table(PATH, (Column("a", NUMBER, nullable=False),), uniques=(Key("U", ("a",)),))
    assert kinds(drafted(never, 140000)[1]) == []


def test_an_index_includes_only_what_fits_into_it() -> None:
    columns = [Column(f"c{n}", NUMBER) for n in range(40)]
    wide = Index("I", (("c0", False),), include=("long", "c0", *(each.name for each in columns[1:])))
    made, found = drafted(Table(PATH, (*columns, Column("long", LONG)), indexes=(wide,)))
    assert made.indexes[0].sql.count('"c') == 32
    assert '"long"' not in made.indexes[0].sql
    assert found.left[0].text.startswith("long, c32")


def test_keys_of_what_is_left_out_are_left_out_too() -> None:
    odd = Column("odd", NUMBER, computed="(dbo.fn())", stored=False)
    table = Table(
        PATH,
        (Column("a", NUMBER), odd),
        primary=Key("PK", ("odd",)),
        uniques=(Key("U", ("a", "odd")),),
        indexes=(Index("I", (("a", False),), include=("odd",)), Index("J", (("gone", False),))),
        foreign=(
            ForeignKey("F", ("odd",), ("dbo", "T"), ("a",)),
            ForeignKey("G", ("a",), ("dbo", "elsewhere"), ("a",)),
        ),
    )
    made, found = drafted(table)
    assert made.indexes == made.constraints == ()
    assert kinds(found) == [
        *("computed column", "primary key", "unique constraint", "index", "index", "foreign key", "foreign key")
    ]


def test_an_identity_of_a_decimal_becomes_a_sequence_that_goes_on() -> None:
    decimal = Type(Kind.DECIMAL, "decimal(18,0)", precision=18)
    made, found = drafted(Table(PATH, (Column("id", decimal, nullable=False, identity=Identity(1, 1, 5)),)))
    assert made.create == 'CREATE TABLE "dbo"."T" ("id" numeric(18,0) NOT NULL)'
    assert made.identities == ()
    assert kinds(found) == []
    ((name, sql, text),) = made.defaults
    assert (name, text) == ("id", "decimal(18,0) IDENTITY(1,1), the next is 5")
    assert "START WITH 5 INCREMENT BY 1 MINVALUE -999999999999999999 MAXVALUE 999999999999999999 OWNED BY" in sql


def test_an_identity_beyond_what_a_sequence_can_give_is_told_of_and_keeps_its_values() -> None:
    decimal = Type(Kind.DECIMAL, "decimal(38,0)", precision=38)
    made, found = drafted(Table(PATH, (Column("id", decimal, identity=Identity(10**30, 7, 10**30 + 7)),)))
    assert made.defaults == ()
    assert [each.text for each in found.left] == [f"decimal(38,0) IDENTITY({10**30},7), the next is {10**30 + 7}"]


def test_an_identity_has_the_bounds_of_its_type_and_does_not_begin_anew() -> None:
    tiny = Type(Kind.INTEGER, "tinyint", bits=8)
    made, _ = drafted(Table(PATH, (Column("id", tiny, nullable=False, identity=Identity(0, 1, 256)),)))
    assert "START WITH 0 INCREMENT BY 1 MINVALUE 0 MAXVALUE 255" in made.create
    assert made.identities == (("id", """SELECT setval(pg_get_serial_sequence('"dbo"."T"', 'id'), 255)""", "256"),)
    down, _ = drafted(Table(PATH, (Column("id", NUMBER, identity=Identity(0, -7, -(2**31) - 1)),)))
    assert f"{-(2**31)})" in down.identities[0][1]


def test_the_sequence_of_an_identity_makes_room_for_a_table_of_its_name() -> None:
    numbered = Table(("d", "dbo", "A"), (Column("id", NUMBER, identity=Identity(1, 1, 5)),))
    named = Table(("d", "dbo", "A_id_seq"), (Column("x", NUMBER),))
    found = draft(Schema("tsql", (numbered, named)), Selection(), 180000)
    assert 'IDENTITY (SEQUENCE NAME "dbo"."A_id_seq_' in found.tables[numbered.path].create
    assert (
        "SEQUENCE NAME" not in draft(Schema("tsql", (numbered,)), Selection(), 180000).tables[numbered.path].create
    )


def test_an_index_does_not_carry_along_what_would_not_fit_into_a_page_later() -> None:
    texts = [Column(f"t{n}", Type(Kind.TEXT, "nvarchar(400)", length=400)) for n in range(3)]
    table = Table(
        PATH, (Column("id", NUMBER), *texts), indexes=(Index("IX", (("id", False),), ("t0", "t1", "t2")),)
    )
    made, found = drafted(table)
    assert 'INCLUDE ("t0", "t1")' in made.indexes[0].sql
    assert [(each.kind, each.text) for each in found.left] == [("included columns", "t2")]


def test_unique_keys_of_texts_are_named() -> None:
    table = Table(
        PATH,
        (Column("a", Type(Kind.TEXT, "varchar(9)", length=9), nullable=False), Column("n", NUMBER)),
        primary=Key("PK", ("a",)),
        uniques=(Key("UQ", ("n",)),),
        indexes=(Index("UX", (("n", False), ("a", True)), unique=True), Index("IX", (("a", False),))),
    )
    assert drafted(table)[1].compares_text == ["d.dbo.T.PK", "d.dbo.T.UX"]


def test_a_computed_column_that_compares_texts_is_named() -> None:
    table = Table(
        PATH,
        (
            Column("t", Type(Kind.TEXT, "varchar(9)", length=9)),
            Column("open", NUMBER, computed="(case when [t]='Open' then (1) else (0) end)", stored=False),
        ),
    )
    _, found = drafted(table)
    assert found.compares_text == ["d.dbo.T.open"]


def test_a_text_that_is_too_long_for_an_event_says_how_much_of_it_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "LONGEST_TOLD", 3)
    told: list[str] = []
    tell_left([Left("view", "v", "abcde", "why")], lambda *_, **fields: told.append(fields["text"]))
    assert told == ["abc… (2 more letters)"]


def test_a_table_whose_rows_cannot_be_read_is_told_of() -> None:
    assert kinds(drafted(Table(PATH, (Column("a", NUMBER),), trouble="it is in memory"))[1]) == ["rows of table"]


def test_two_columns_that_would_have_one_name_are_refused() -> None:
    with pytest.raises(Unsupported, match="Two columns"):
        drafted(Table(PATH, (Column("ctid", NUMBER), Column("_ctid", NUMBER))))


def test_a_row_version_may_be_null_as_nothing_gives_it() -> None:
    version = Column("v", Type(Kind.BINARY, "rowversion", length=8, fixed=True), nullable=False)
    assert drafted(Table(PATH, (version,)))[0].create == 'CREATE TABLE "dbo"."T" ("v" bytea)'
    assert "numbers changes" in changed(version)


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_has_a_type(kind: Kind) -> None:
    assert type_of(Type(kind, "native"))


def test_too_many_things_that_are_left_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "MOST_TOLD", 2)
    told: list[str] = []

    def tell(level: Level, code: str, message: str, **fields: str) -> None:
        told.append(message)

    tell_left([Left("view", f"v{n}", "text", "why") for n in range(5)], tell)
    assert told == [
        "Not moved either, besides those that are named: 3 × view",
        "Not moved: view v0: why",
        "Not moved: view v1: why",
    ]


# What is kept of a part


@given(st.integers(0, 1 << 60), st.integers(0, (1 << 128) - 1), st.text())
def test_a_lane_tells_the_table_what_was_sent_and_how_far(rows: int, total: int, position: str) -> None:
    sent = Sent(Digest(rows, total), Position(position))
    lane = sent.lane(("d", 'sch"ema', "tä:ble"))
    assert Sent.of(lane) == sent
    assert table_of(lane) == ('sch"ema', "tä:ble")


@pytest.mark.parametrize("lane", ["", "1:2", "[]", '["a", "b", "c", "d"]', '["a", "b", 1, "d"]', "{}"])
def test_a_lane_of_another_engine_is_refused(lane: str) -> None:
    with pytest.raises(BadData):
        Sent.of(Position(lane))


def test_nothing_known_is_the_beginning() -> None:
    assert Sent.of(None) == Sent.of(BEGINNING) == Sent()


def test_computed_fields_are_taken_out_of_the_rows() -> None:
    chunk = Chunk(Format("postgresql-text"), b"1\ta\t\\N\n2\tb\\tc\td\n", 2, 9, Position("p"))
    assert without(chunk, {1}).data == b"1\t\\N\n2\td\n"
    assert without(chunk, {0, 2}).data == b"a\nb\\tc\n"
    assert without(chunk, set()) is chunk


def test_a_database_that_cannot_have_its_name_is_named_once() -> None:
    tables = [Table(("template1", "dbo", name), (Column("a", NUMBER),)) for name in ("t", "u")]
    found = draft(Schema("tsql", tables), Selection(), 180000)
    assert found.renamed == [("database template1", "_template1")]
    assert draft(Schema("tsql", tables), Selection(renames=(Rename("template1", "x"),)), 180000).renamed == []
