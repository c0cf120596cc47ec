"""What is not known of T-SQL is refused with a reason, whatever it is; likewise names that cannot be kept."""

import re
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sterna.core.plan import Picked, Rename, Selection
from sterna.core.schema import Column, Kind, Type
from sterna.engines.postgres.foreign.expressions import Translator
from sterna.engines.postgres.foreign.moments import moment
from sterna.engines.postgres.foreign.naming import Taken, fitted, place
from sterna.engines.postgres.foreign.tsql import Untranslatable, parsed
from tests.effort import examples

NUMBER = Column("n", Type(Kind.INTEGER, "int", bits=32))
TEXT = Column("t", Type(Kind.TEXT, "nvarchar(10)", length=10))
BIT = Column("yes", Type(Kind.BOOLEAN, "bit"))
MOMENT = Column("m", Type(Kind.TIMESTAMP, "datetime", scale=3))
SUM = Column("sum", Type(Kind.INTEGER, "int", bits=32), computed="([n]+(1))")
XML = Column("x", Type(Kind.XML, "xml"))
TRANSLATOR = Translator({each.name: each for each in (NUMBER, TEXT, BIT, MOMENT, SUM, XML)})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "ends too early"),
        ("(", "ends too early"),
        ("([n]>(1)", "ends too early"),
        ("([n]>(1)))", "not understood"),
        ("([n]>(1) or)", "not understood"),
        ("([gone]>(1))", "no column"),
        ("([sum]>(1))", "computed column itself"),
        ("([x] is null)", "no counterpart"),
        ("([t] collate Latin1_General_CS_AS='x')", "collation"),
        ("(exists(select 1))", "a query"),
        ("([n]=(select 1))", "a query"),
        ("([dbo].[fn]([n])=(1))", "function of its own"),
        ("(fn([n])=(1))", "function fn"),
        ("([n]=@x)", "not understood"),
        ("([t]=(1))", "compares a whole number with a text"),
        ("([yes]=[n])", "compares"),
        ("([yes]<(2))", "what no bit is"),
        ("([yes]>(-1))", "what no bit is"),
        ("([n]=NULL)", "compares with NULL"),
        ("([n])", "condition is wanted"),
        ("(([n]>(1))=(1))", "value is wanted"),
        ("([m]>'1/2/2020')", "depends on the language"),
        ("([m]>'2020-02-30')", "no date"),
        ("([m]>'yesterday')", "not understood"),
        ("([m]-[m]>(1))", "a date and time - a date and time"),
        ("([t] like [t])", "a LIKE"),
        ("([t] like '[')", "a set"),
        ("([t] like '[z-a]')", "empty"),
        ("(datepart(week,[m])=(1))", "depends on the server"),
        ("(datediff(hour,[m],[m])=(1))", "DATEDIFF"),
        ("(substring([t],[n],(1))='a')", "not written out"),
        ("(left([t],(-1))='a')", "not written out"),
        ("(datalength([t])=(1))", "bytes of a text"),
        ("(convert(sql_variant,[n])=(1))", "the type sql_variant"),
        ("(convert(varchar(10),[m])='a')", "of style 0"),
        ("([m]>convert(datetime,convert(varchar(5),[m],101),101))", "stands where"),
        ("([m]>convert(datetime,convert(varchar(10),[m],1),1))", "style 1"),
        ("(convert(dbo.own,[n])=(1))", "type of its own"),
        ("(try_convert(int,[t])=(1))", "try_convert"),
        ("(isnumeric([t])=(1))", "isnumeric"),
        ("(next value for [s]=(1))", "a sequence"),
        ("(contains([t],'a'))", "full-text"),
        ("('\0'=[t])", "letters"),
        ("('\ud800'=[t])", "letters"),
        ("(" * 100 + "1=1" + ")" * 100, "too deep"),
        ("+".join(["[n]"] * 5000) + "=(1)", "too deep"),
        ("[n]=" + "9" * 100, "too long"),
        ("x" * 100_000, "too long"),
    ],
)
def test_a_condition_that_is_not_known_is_refused_and_says_why(text: str, why: str) -> None:
    with pytest.raises(Untranslatable, match=why):
        TRANSLATOR.condition(text)


@pytest.mark.parametrize(
    ("text", "of"),
    [
        ("([n]/[n])", NUMBER),  # an error for nought
        ("([n]%[n])", NUMBER),
        ("((1.5)/(3))", NUMBER),  # with other digits
        ("(CONVERT([int],[t]))", NUMBER),
        ("([t]+[n])", TEXT),
    ],
)
def test_what_may_fail_or_be_inexact_computes_no_column(text: str, of: Column) -> None:
    with pytest.raises(Untranslatable):
        TRANSLATOR.computed(text, of)


@pytest.mark.parametrize(("text", "of"), [("(getdate())", TEXT), ("(0x01)", NUMBER), ("('abc')", NUMBER)])
def test_a_default_of_another_kind_is_refused(text: str, of: Column) -> None:
    with pytest.raises(Untranslatable):
        TRANSLATOR.value(text, of)


PIECES = st.sampled_from(
    [
        *("[n]", "[t]", "[m]", "[yes]", "1", "0x0", "1e", "$", "'a'", "N'b'", "'20200101'", "'", "[", "]", "."),
        *(
            "(",
            ")",
            ",",
            "=",
            "<>",
            "+",
            "-",
            "--",
            "/*",
            "*",
            "%",
            "\\",
            "and",
            "or",
            "not",
            "in",
            "between",
            "like",
        ),
        *("is", "null", "case", "when", "then", "else", "end", "convert(", "int", "getdate()", "isnull("),
        *("dateadd(day", "datepart(", "year(", "concat(", "substring("),
    ]
)


@settings(max_examples=examples(500), deadline=None)
@given(st.one_of(st.text(max_size=200), st.lists(PIECES, max_size=25).map(" ".join)))
def test_any_text_is_an_expression_or_is_refused(text: str) -> None:
    for work in (TRANSLATOR.condition, lambda each: TRANSLATOR.value(each, TEXT)):
        with suppress(Untranslatable):
            assert work(text).sql.encode()


def test_precedence_is_that_of_t_sql() -> None:
    assert parsed("1+2*3") == parsed("1+(2*3)")
    assert parsed("a=1 or b=2 and not c=3") == parsed("a=1 or (b=2 and (not c=3))")
    assert parsed("1|2+3") == parsed("(1|2)+3")


def test_dates_are_read_as_the_style_of_a_convert_says() -> None:
    assert moment("01/02/2020", 101) == "2020-01-02"
    assert moment("01/02/2020", 103) == "2020-02-01"
    assert moment("20200229 10:00") == "2020-02-29 10:00"
    assert moment("2020-02-29T10:00:00.123") == "2020-02-29 10:00:00.123"


# Names


def test_a_long_name_is_cut_the_same_way_every_time_and_two_long_ones_differ() -> None:
    long = "ü" * 100
    assert fitted(long) == fitted(long) != fitted(long + "x")
    assert len(fitted(long).encode()) <= 63
    assert fitted("x" * 63) == "x" * 63


@given(st.text(st.characters(codec=None), max_size=200))
def test_every_name_becomes_one_that_postgresql_keeps(name: str) -> None:
    found = fitted(name).encode()
    assert len(found) <= 63
    assert b"\0" not in found


def test_names_that_postgresql_has_for_itself_get_an_underscore() -> None:
    assert place(Selection(), ("d", "pg_x", "t")) == ("d", "_pg_x", "t")
    assert place(Selection(), ("template1", "sterna", "T")) == ("_template1", "_sterna", "T")


def test_a_database_goes_where_it_is_renamed_to_and_only_what_is_wanted_goes() -> None:
    renamed = Selection(only=("a", "b"), renames=(Rename("a", "new"),))
    assert place(renamed, ("a", "dbo", "T")) == ("new", "dbo", "T")
    assert place(renamed, ("b", "dbo", "T")) == ("b", "dbo", "T")
    assert place(renamed, ("c", "dbo", "T")) is None
    every = Selection(renames=(Rename("*", "one"),), without=(("a", "dbo", "T"),))
    assert place(every, ("a", "dbo", "U")) == ("one", "dbo", "U")
    assert place(every, ("a", "dbo", "T")) is None
    picked = Selection(objects=(Picked(("a", "dbo"), ("z", "public")),))
    assert place(picked, ("a", "dbo", "U")) == ("z", "public", "U")
    assert place(picked, ("a", "other", "U")) is None


def test_databases_are_the_same_in_whatever_case_they_are_typed() -> None:
    typed = Selection(only=("SHOP",), renames=(Rename("shop", "store"),))
    assert place(typed, ("Shop", "dbo", "T")) == ("store", "dbo", "T")
    assert place(typed, ("Other", "dbo", "T")) is None


def test_an_index_whose_name_is_taken_gets_its_table_in_front() -> None:
    taken = Taken({"T", "IX"})
    assert [taken.give("IX", "T"), taken.give("IX", "T"), taken.give("IX2", "T")] == ["T_IX", "T_IX_2", "IX2"]


_PIECES = st.sampled_from(
    ["'; DROP TABLE x; --", "/* ", " */", "--", "$$", "\\", "''", '"; x "', "E'", "U&'", "a", "1", "%s", "%"]
)
_HOSTILE = st.lists(_PIECES, max_size=4).map("".join)
_SHAPES = st.sampled_from(
    [
        "([t]=N'{}')",
        "([t] like '{}')",
        "([t] like '[{}]' )",
        "([t] like 'a' escape '{}')",
        "(len([t]+'{}')>(1))",
        "([{}]>(1))",
        "({})",
        "([n]>{})",
        "(case when [n]=(1) then '{}' else [t] end='x')",
        "([m]>'{}')",
        "(isnull([t],'{}')='')",
        "([n]=convert(int,'{}'))",
        "(replace([t],'{}','')='')",
        "([yes]='{}')",
        "([n] in ('{}',(2)))",
    ]
)
_OUTSIDE = re.compile(r"""E'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|"(?:[^"]|"")*"|(.)""", re.DOTALL)


@given(_SHAPES, _HOSTILE)
@settings(max_examples=examples(600))
def test_no_expression_leaves_the_place_that_it_is_put_into(shape: str, inside: str) -> None:
    odd = "a" + inside
    columns = {each.name: each for each in (NUMBER, TEXT, BIT, MOMENT, Column(odd, NUMBER.type))}
    try:
        sql = Translator(columns).condition(shape.replace("{}", inside)).sql
    except Untranslatable:
        return
    outside = "".join(letter for letter in _OUTSIDE.findall(sql))
    assert not set(outside) & {";", "'", '"', "\\", "$"}, sql
    assert "--" not in outside
    assert "/*" not in outside
    depth = [outside[: at + 1].count("(") - outside[: at + 1].count(")") for at in range(len(outside))]
    assert min(depth) >= 0
    assert depth[-1] == 0


COMPUTED = {
    each.name: each
    for each in (
        NUMBER,
        TEXT,
        MOMENT,
        Column("r", Type(Kind.FLOAT, "real", bits=32)),
        Column("f", Type(Kind.FLOAT, "float", bits=64)),
        Column("m$", Type(Kind.DECIMAL, "money", precision=19, scale=4)),
        Column("v3", Type(Kind.TEXT, "varchar(3)", length=3)),
        Column("c5", Type(Kind.TEXT, "char(5)", length=5, fixed=True)),
    )
}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("(datediff(year,[m],getdate()))", "another time"),
        ("(user_name())", "another time"),
        ("('N'+convert(varchar(3),[n]))", "another one"),
        ("(convert(varchar(10),[m],(120)))", "a date as a text"),
        ("([m$]*((1)-[r]))", "another one"),
        ("([r]*(1.1))", "another one"),
        ("([m$]*[m$])", "another one"),
        ("(isnull([v3],'unknown')+'x')", "cuts"),
        ("(isnull([v3],[t])+'x')", "cuts"),
        ("(isnull([c5],'')+'|')", "padded"),
        ("(case when [n]>(1) then [c5] else '' end+'|')", "padded"),
        ("([n]/(3000000000))", "takes for a decimal"),
        ("((3000000000)/[n])", "takes for a decimal"),
    ],
)
def test_a_computed_column_that_might_have_other_values_is_refused(text: str, why: str) -> None:
    column = Column("x", Type(Kind.TEXT, "varchar(50)", length=50))
    with pytest.raises(Untranslatable, match=why):
        Translator(COMPUTED).computed(
            text, Column("x", Type(Kind.FLOAT, "float", bits=64)) if "*" in text else column
        )


def test_parts_of_days_and_decimals_of_all_digits_are_rounded_otherwise_and_refused() -> None:
    """T-SQL keeps a datetime in three-hundredths of a second, and cuts the scale of a product of 38 digits."""
    decimal = Column("d", Type(Kind.DECIMAL, "decimal(38,10)", precision=38, scale=10))
    translator = Translator({"d": decimal, **COMPUTED})
    product = Column("x", Type(Kind.DECIMAL, "numeric(38,6)", precision=38, scale=6))
    for text, column in (("([m]+[f])", MOMENT), ("([m]-(0.5))", MOMENT), ("([d]*[d])", product)):
        with pytest.raises(Untranslatable, match="another one"):
            translator.computed(text, column)
    assert translator.computed("([m]+[n])", MOMENT).sql
    assert translator.computed("(isnull([d],(0)))", decimal).sql


def test_a_number_becomes_a_text_that_has_room_for_it() -> None:
    column = Column("x", Type(Kind.TEXT, "varchar(50)", length=50))
    assert Translator(COMPUTED).computed("('N'+convert(varchar(10),[n]))", column).sql


@pytest.mark.parametrize("text", ["([r]*[r])", "([f]*(1.1))", "([m$]*[n])", "([r]*[f])", "(pi()*[f])"])
def test_a_product_that_is_the_same_is_computed(text: str) -> None:
    assert Translator(COMPUTED).computed(text, Column("x", Type(Kind.FLOAT, "float", bits=64))).sql


def test_bytes_that_are_written_out_are_as_long_as_their_column() -> None:
    fixed = Column("b", Type(Kind.BINARY, "binary(4)", length=4, fixed=True))
    assert "x01000000'" in TRANSLATOR.value("(0x01)", fixed).sql
    free = Column("b", Type(Kind.BINARY, "varbinary(4)", length=4))
    assert "x01'" in TRANSLATOR.value("(0x01)", free).sql
