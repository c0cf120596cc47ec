"""Every translation of a T-SQL expression is run on a real PostgreSQL and gives what T-SQL gives.

The expected values are those of the T-SQL reference for the functions and operators concerned.
"""

# ruff: noqa: SIM905 - lists of words are read more easily without their quotes

from collections.abc import Iterator
from contextlib import suppress

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from sterna.core.schema import Column, Kind
from sterna.engines.postgres.foreign.expressions import Translated, Translator
from sterna.engines.postgres.foreign.tsql import Untranslatable
from sterna.engines.postgres.foreign.types import type_of
from tests.effort import examples
from tests.engines.foreign_shop import column, integer, text
from tests.servers.postgres import PostgresServer, Unavailable, running

pytestmark = pytest.mark.server

COLUMNS = {
    each.name: each
    for each in (
        integer("n"),
        integer("seven"),
        column("tiny", Kind.INTEGER, "tinyint", bits=8),
        column("d", Kind.DECIMAL, "decimal(10,2)", precision=10, scale=2),
        column("f", Kind.FLOAT, "float", bits=64),
        text("t"),
        text("empty"),
        column("c", Kind.TEXT, "char(5)", length=5, fixed=True),
        column("yes", Kind.BOOLEAN, "bit"),
        column("day", Kind.DATE, "date"),
        column("m", Kind.TIMESTAMP, "datetime", scale=3),
        column("at", Kind.TIME, "time(0)", scale=0),
        column("z", Kind.TIMESTAMP_ZONED, "datetimeoffset(3)", scale=3),
        column("u", Kind.UUID, "uniqueidentifier"),
        column("bin", Kind.BINARY, "varbinary(10)", length=10),
        integer("none"),
        column("r", Kind.FLOAT, "real", bits=32),
    )
}
ROW = (
    "-3, 7, 200, 12.50, 0.5, 'Tern 7', '', 'ab', true, date '2020-02-29', timestamp '2020-03-31 13:45:59.5', "
    "time '13:45:00', "
    "timestamptz '2020-03-31 13:45:00+00', '6f9619ff-8b86-d011-b42d-00c04fc964ff', '\\x00ff', NULL, 0.1"
)
TRANSLATOR = Translator(COLUMNS)


@pytest.fixture(scope="module", params=["pg15", "pg18"])
def server(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    try:
        with running(request.param) as server:
            yield server
    except Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="module")
def line(server: PostgresServer) -> Iterator[psycopg.Connection[object]]:
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        columns = ", ".join(f'"{name}" {type_of(each.type)}' for name, each in COLUMNS.items())
        connection.execute(sql.SQL("CREATE TABLE r ({}); INSERT INTO r VALUES ({})").format(*raw(columns, ROW)))
        connection.execute("SET TimeZone = 'UTC'; SET search_path = ''")
        yield connection


def raw(*texts: str) -> list[sql.SQL]:
    return [sql.SQL(each) for each in texts]


def asked(line: psycopg.Connection[object], said: Translated) -> object:
    row = line.execute(sql.SQL("SELECT ({})::text FROM public.r").format(*raw(said.sql))).fetchone()
    assert isinstance(row, tuple)
    return row[0]


CONDITIONS: dict[str, bool | None] = {
    "([n]>=(-3) AND [n]<=(100))": True,
    "([n]!<(-3) and not [n]!>(-4))": True,
    "([n]<>(-3) OR [n] IS NULL)": False,
    "([none]>(1))": None,
    "(NOT ([none] IS NOT NULL))": True,
    "([t] in ('Tern 7',N'other'))": True,
    "([t] not in ('a','b'))": True,
    "([n] between (-3) and [seven])": True,
    "([n] not between (-3) and (7))": False,
    "([t] like 'Tern%')": True,
    "([t] like '_ern [0-9]')": True,
    "([t] like '[A-T]ern [^0-6]')": True,
    "([t] not like '%[^0-9]%')": False,
    "([t] like '%\\%')": False,
    "([t] like 'T!ern%' escape '!')": True,
    "([t] like 'Tern[ ]7')": True,
    "('50%' like '50!%' escape '!')": True,
    "('a.b' like '[a].b')": True,
    "('axb' like '[a].b')": False,
    "('a]' like '[a]]')": True,
    "('[x' like '[[]x')": True,
    "([c]='ab')": True,
    "([c]+'|'='ab   |')": True,
    "([c] like 'a[a-c]%')": True,
    "([c] like 'ab')": True,
    "([c] like '_b___')": True,
    "([c] like '[a-z][a-z][ ][ ][ ]')": True,
    "([c] like '____')": False,
    "([c] not like 'ab___')": False,
    "([c] not like 'b')": True,
    "(len([c])=(2) and len([t]+'  ')=(6))": True,
    "([yes]=(1))": True,
    "([yes]<>(0) and [yes]='true')": True,
    "([n]/(2)=(-1) and [n]%(2)=(-1))": True,
    "([tiny]+(100)=(300))": True,
    "(~[tiny]=(55) and ~([tiny]|[tiny])=(55) and ~([tiny]+(0))=(-201))": True,
    "([r]=(0.1) and [r]<=(0.1) and [r] between (0.1) and (0.2) and [r] in ((1),(0.1)))": True,
    "((2)+(3)*(4)-(1)=(13))": True,
    "((7)&(3)=(3) and (8)|(3)=(11) and (5)^(1)=(4) and ~(1)=(-2))": True,
    "(-[n]=(3) and - -[n]=(-3))": True,
    "([d]=(12.5) and [d]*(2)=(25.00))": True,
    "([d]>$12.49)": True,
    "([f]=(5e-1))": True,
    "([day]>='20200229' and [day]<'2020-03-01')": True,
    "([m]>'2020-03-31 13:00')": True,
    "([m]<getdate() and [m]<sysdatetime() and [m]<getutcdate() and [m]<current_timestamp)": True,
    "([z]<sysdatetimeoffset() and [z]>'20200101')": True,
    "([at]>'12:00')": True,
    "([u]='6F9619FF-8B86-D011-B42D-00C04FC964FF')": True,
    "([bin]=0x00FF)": True,
    "(datalength([bin])=(2))": True,
    "(upper([t])='TERN 7' and lower([t])='tern 7')": True,
    "(ltrim('  a ')='a ' and rtrim(' a  ')=' a' and trim('  a  ')='a')": True,
    "(left([t],4)='Tern' and right([t],1)='7' and substring([t],6,1)='7')": True,
    "(substring([t],6,100)='7' and left([t],0)='')": True,
    "(charindex('7',[t])=(6) and charindex('x',[t])=(0))": True,
    "(replace([t],'Tern','Gull')='Gull 7')": True,
    "(replicate('ab',2)='abab' and reverse('abc')='cba' and 'a'+space(2)+'b'='a  b')": True,
    "(concat([t],[none],'x',[n])='Tern 7x-3')": True,
    "(isnull([none],(5))=(5) and coalesce([none],[n],(1))=(-3))": True,
    "(nullif([seven],(7)) is null)": True,
    "(nullif([empty],'') is null)": True,
    "(iif([n]<(0),'neg','pos')='neg')": True,
    "(case when [n]<(0) then 'neg' else 'pos' end='neg')": True,
    "(case [t] when 'x' then (1) when 'Tern 7' then (2) end=(2))": True,
    "(case when [n]>(0) then (1) end is null)": True,
    "(abs([n])=(3) and sign([n])=(-1) and sign([d])=(1))": True,
    "(ceiling([d])=(13) and floor([d])=(12) and ceiling([n])=(-3) and round([d],1)=(12.5))": True,
    "(year([day])=(2020) and month([day])=(2) and day([day])=(29))": True,
    "(datepart(quarter,[m])=(1) and datepart(dayofyear,[m])=(91) and datepart(iso_week,[m])=(14))": True,
    "(datepart(hour,[m])=(13) and datepart(minute,[m])=(45) and datepart(second,[m])=(59))": True,
    "(dateadd(month,(-1),[m])='2020-02-29 13:45:59.500')": True,
    "(dateadd(year,(1),[day])='20210228')": True,
    "(dateadd(day,[seven],[day])='20200307')": True,
    "(dateadd(hour,(1),[m])>[m] and [m]+(1)='2020-04-01 13:45:59.5' and [m]-0.5<[m])": True,
    "(datediff(year,'20191231','20200101')=(1) and datediff(month,'20191231','20200101')=(1))": True,
    "(datediff(day,'2019-12-31 23:59','2020-01-01 00:01')=(1) and datediff(day,[m],[day])=(-31))": True,
    "(convert(date,[m])='20200331' and cast([m] as time(0))>'13:00')": True,
    "(convert(int,[d])=(12) and convert(int,(-1.9))=(-1) and cast([d] as float)=(12.5))": True,
    "(convert([bit],[n])=(1) and cast([yes] as int)=(1))": True,
    "(convert(varchar(3),[t])='Ter' and cast([n] as varchar(10))='-3')": True,
    "(convert(varchar(10),[m],112)='20200331' and convert(char(10),[m],101)='03/31/2020')": True,
    "(convert(varchar(10),[m],103)='31/03/2020' and convert(varchar(10),[m],104)='31.03.2020')": True,
    "(convert(varchar(19),[m],120)='2020-03-31 13:45:59' and convert(varchar(10),[day],23)='2020-02-29')": True,
    "(convert(varchar(8),[m],108)='13:45:59' and convert(varchar(23),[m],121)='2020-03-31 13:45:59.500')": True,
    "(convert(varchar(10),[m],102)='2020.03.31' and convert(varchar(10),[m],111)='2020/03/31')": True,
    "(convert(varchar(10),[m],105)='31-03-2020' and convert(varchar(10),[m],110)='03-31-2020')": True,
    "(convert(smalldatetime,[m])='2020-03-31 13:46')": True,
    "(convert(datetime2(3),[day])='20200229' and convert(decimal(10,1),[d])=(12.5))": True,
    "(convert(money,[n])=(-3) and convert(bigint,[seven])=(7) and convert(smallint,'12')=(12))": True,
    "(convert(uniqueidentifier,'6F9619FF-8B86-D011-B42D-00C04FC964FF')=[u])": True,
    "(cast([u] as char(36))='6F9619FF-8B86-D011-B42D-00C04FC964FF')": True,
    "(convert(datetime,'31/12/1999',103)<'20000101')": True,
    "(convert(datetime,convert(varchar,[m],101),101)='20200331')": True,
    "(convert(date,convert(char(10),[m],120),120)='20200331')": True,
    "([m]<convert(datetime,convert(varchar,getdate(),1),1))": True,
    "(user_name()<>'' and suser_sname()<>'' and db_name()='postgres' and app_name()=app_name())": True,
    "(pi()>(3.14) and pi()<(3.15))": True,
    '([N]=(-3) AND "Seven"=7 /* of any case */)': True,
}


@pytest.mark.parametrize("condition", CONDITIONS)
def test_a_condition_means_the_same(line: psycopg.Connection[object], condition: str) -> None:
    said = TRANSLATOR.condition(condition)
    expected = CONDITIONS[condition]
    assert asked(line, said) == (None if expected is None else str(expected).lower())


VALUES: list[tuple[str, Column, str | None]] = [
    ("((0))", COLUMNS["yes"], "false"),
    ("('True')", COLUMNS["yes"], "true"),
    ("((5))", COLUMNS["t"], "5"),
    ("(N'it''s \\ so')", COLUMNS["t"], "it's \\ so"),
    ("('')", COLUMNS["t"], ""),
    ("(NULL)", COLUMNS["n"], None),
    ("((-1))", COLUMNS["n"], "-1"),
    ("('12')", COLUMNS["n"], "12"),
    ("((2.9))", COLUMNS["n"], "2"),
    ("((1)/(2))", COLUMNS["n"], "0"),
    ("($1.5)", COLUMNS["d"], "1.5000"),
    ("(1e2)", COLUMNS["f"], "100"),
    ("((0))", COLUMNS["m"], "1900-01-01 00:00:00"),
    ("((1.5))", COLUMNS["m"], "1900-01-02 12:00:00"),
    ("('')", COLUMNS["day"], "1900-01-01"),
    ("('12/31/9999')", COLUMNS["day"], "9999-12-31"),
    ("(CONVERT([datetime],'19000101',(112)))", COLUMNS["m"], "1900-01-01 00:00:00"),
    ("('20200101 10:00:00')", COLUMNS["z"], "2020-01-01 10:00:00+00"),
    ("('10:30')", COLUMNS["at"], "10:30:00"),
    ("(0x)", COLUMNS["bin"], "\\x"),
    ("(0xC0FFEE)", COLUMNS["bin"], "\\xc0ffee"),
    ("('6F9619FF-8B86-D011-B42D-00C04FC964FF')", COLUMNS["u"], "6f9619ff-8b86-d011-b42d-00c04fc964ff"),
    ("('{6F9619FF-8B86-D011-B42D-00C04FC964FF}')", COLUMNS["u"], "6f9619ff-8b86-d011-b42d-00c04fc964ff"),
]


@pytest.mark.parametrize(("default", "of", "expected"), VALUES)
def test_a_default_gives_the_same_value(
    line: psycopg.Connection[object], default: str, of: Column, expected: str | None
) -> None:
    assert asked(line, TRANSLATOR.value(default, of)) == expected


@pytest.mark.parametrize(
    ("default", "name"),
    [
        ("(getdate())", "m"), ("(getdate())", "day"), ("(getdate())", "at"), ("(getdate())", "z"),
        ("(sysdatetime())", "m"), ("(sysutcdatetime())", "m"), ("(getutcdate())", "m"),
        ("(sysdatetimeoffset())", "z"), ("(newid())", "u"), ("(newsequentialid())", "u"), ("(user_name())", "t"),
        ("(system_user)", "t"), ("(original_login())", "t"), ("(suser_name())", "t"), ("(session_user)", "t"),
        ("(getdate()+(7))", "m"), ("(dateadd(year,(1),getdate()))", "day"), ("(datepart(year,getdate()))", "n"),
        ("(CONVERT([varchar](8),getdate(),(112)))", "t"), ("(CONVERT([nvarchar](36),newid()))", "t"),
    ],
)  # fmt: skip
def test_a_default_of_the_moment_can_be_a_column_s_default(
    line: psycopg.Connection[object], default: str, name: str
) -> None:
    said = TRANSLATOR.value(default, COLUMNS[name])
    words = raw(type_of(COLUMNS[name].type), said.sql)
    line.execute(sql.SQL("CREATE TEMPORARY TABLE d (a int, b {} DEFAULT ({}))").format(*words))
    try:
        row = line.execute("INSERT INTO pg_temp.d VALUES (1) RETURNING b IS NOT NULL").fetchone()
        assert row == (True,)
    finally:
        line.execute("DROP TABLE pg_temp.d")


@pytest.mark.parametrize(
    ("computed", "of", "expected"),
    [
        ("(([t]+' ')+[empty])", text("x", 101), "Tern 7 "),
        ("([c]+'|')", text("x", 10), "ab   |"),
        ("(upper([c]))", text("x", 5), "AB   "),
        ("([n]*[seven])", integer("x"), "-21"),
        ("([seven]/(2))", integer("x"), "3"),
        ("([d]*(2))", column("x", Kind.DECIMAL, "numeric(13,2)", precision=13, scale=2), "25.00"),
        ("(year([m]))", integer("x"), "2020"),
        ("(datediff(day,[day],[m]))", integer("x"), "31"),
        ("(case when [n]>(0) then 'plus' else 'minus' end)", text("x", 5), "minus"),
        ("(isnull([none],(0))+(1))", integer("x"), "1"),
        ("(CONVERT([bit],case when [n] IS NULL then (1) else (0) end))", column("x", Kind.BOOLEAN), "false"),
        ("(CONVERT([date],[m]))", column("x", Kind.DATE), "2020-03-31"),
        ("(concat([t],'-',[none]))", text("x", 60), "Tern 7-"),
        ("(CONVERT([varchar](11),[n]))", text("x", 11), "-3"),
        ("(len([t]))", integer("x"), "6"),
    ],
)
def test_a_computed_column_computes_the_same(
    line: psycopg.Connection[object], computed: str, of: Column, expected: str
) -> None:
    said = TRANSLATOR.computed(computed, of)
    words = raw(type_of(of.type), said.sql)
    added = sql.SQL("ALTER TABLE public.r ADD COLUMN x {} GENERATED ALWAYS AS ({}) STORED").format(*words)
    line.execute(added)
    try:
        assert line.execute("SELECT x::text FROM public.r").fetchone() == (expected,)
    finally:
        line.execute("ALTER TABLE public.r DROP COLUMN x")


# Made-up expressions: whatever is taken on has to be one that PostgreSQL understands

_LEAVES = (
    *(f"[{name}]" for name in COLUMNS),
    *"(1) (0) (-7) 2.50 1e3 $4 'a' N'7' '20200229' '2020-01-01T10:00' NULL 0x00ff getdate() newid()".split(),
    *("user_name()", "sysdatetimeoffset()", "'6F9619FF-8B86-D011-B42D-00C04FC964FF'"),
)
_WITH_ONE = (
    *"len({}) upper({}) ltrim({}) abs({}) sign({}) floor({}) year({}) -({}) ~({}) left({},2) right({},2)".split(),
    *"convert(int,{}) convert(bit,{}) convert(date,{}) convert(datetime,{}) convert(char(8),{},112)".split(),
    *"datepart(month,{}) dateadd(day,1,{}) dateadd(year,[n],{}) replicate({},2) reverse({}) round({},1)".split(),
    *("cast({} as varchar(10))", "cast({} as decimal(10,2))", "cast({} as time(0))", "cast({} as float)"),
    *("convert(money,{})", "cast({} as uniqueidentifier)"),
)
_WITH_TWO = (
    *"{}+{} {}-{} {}*{} {}/(2+{}) {}%{} {}&{} {}^{} isnull({},{}) coalesce({},{}) nullif({},{})".split(),
    *"concat({},{}) datediff(day,{},{}) charindex({},{}) replace({},'a',{}) iif({}={},(1),NULL)".split(),
    *("case when {} is null then {} end", "case {} when {} then 1 else 0 end"),
)
_CONDITIONS = (
    *"{}={} {}<>{} {}<{} {}>={}".split(),
    *("{} in ({},(1))", "{} between {} and (9)", "not {}={}", "{} is null or {} is not null"),
    *("{}='a' and {}=(1)", "{} like 'a[b-d]%' or {}=(1)"),
)
_VALUES = st.recursive(
    st.sampled_from(_LEAVES),
    lambda inner: st.one_of(
        st.builds(str.format, st.sampled_from(_WITH_ONE), inner),
        st.builds(str.format, st.sampled_from(_WITH_TWO), inner, inner),
    ),
    max_leaves=5,
)
_REFUSED_LATE = ("22", "54")
"""What depends on the values: a number that is too large, a text that is no date."""


@settings(max_examples=examples(300), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.builds(str.format, st.sampled_from(_CONDITIONS), _VALUES, _VALUES))
def test_whatever_is_translated_is_understood(line: psycopg.Connection[object], condition: str) -> None:
    with suppress(Untranslatable):
        said = TRANSLATOR.condition(condition)
        try:
            line.execute(sql.SQL("SELECT FROM public.r WHERE {}").format(*raw(said.sql)))
        except psycopg.Error as error:
            assert str(error.sqlstate)[:2] in _REFUSED_LATE, (condition, said.sql)  # noqa: PT017
