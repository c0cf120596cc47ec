"""Translates expressions of T-SQL into PostgreSQL's language, those alone whose counterpart was proven.

Each part of an expression has a family (a number, a text, a date …), because the languages differ by it: ``+``
joins texts in T-SQL, a bit is compared with a number, a number may stand for a date. What mixes families in a way
that was not proven is refused, and so is every function that is not listed.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum

from sterna.core.schema import Column, Kind
from sterna.engines.postgres.foreign.likes import like
from sterna.engines.postgres.foreign.moments import moment, of_days
from sterna.engines.postgres.foreign.tsql import (
    Between,
    Binary,
    Call,
    Case,
    In,
    IsNull,
    Like,
    Literal,
    Named,
    Node,
    TypeName,
    Unary,
    Untranslatable,
    parsed,
)
from sterna.engines.postgres.foreign.types import type_of
from sterna.engines.postgres.names import literal, quoted


class Family(StrEnum):
    INTEGER = "a whole number"
    DECIMAL = "a decimal"
    FLOAT = "a floating-point number"
    TEXT = "a text"
    PADDED = "a padded text"
    BIT = "a bit"
    DATE = "a date"
    TIME = "a time of day"
    TIMESTAMP = "a date and time"
    INSTANT = "an instant"
    UUID = "a uniqueidentifier"
    BINARY = "bytes"
    NULL = "NULL"
    CONDITION = "a condition"


_NUMBERS = (Family.INTEGER, Family.DECIMAL, Family.FLOAT)
_TEXTS = (Family.TEXT, Family.PADDED)
_DATES = (Family.DATE, Family.TIMESTAMP)
_OF_KIND = {
    Kind.BOOLEAN: Family.BIT,
    Kind.INTEGER: Family.INTEGER,
    Kind.DECIMAL: Family.DECIMAL,
    Kind.FLOAT: Family.FLOAT,
    Kind.BINARY: Family.BINARY,
    Kind.DATE: Family.DATE,
    Kind.TIME: Family.TIME,
    Kind.TIMESTAMP: Family.TIMESTAMP,
    Kind.TIMESTAMP_ZONED: Family.INSTANT,
    Kind.UUID: Family.UUID,
}


@dataclass(frozen=True, slots=True)
class Said:
    """A part of an expression in PostgreSQL's language."""

    sql: str
    family: Family
    literal: Literal | None = None
    """Where it is one."""
    width: int = 0
    """Of a padded text."""


@dataclass
class Notes:
    """What a person, or the maker of a table, should know of a translation."""

    compares_text: bool = False
    """The source may compare without regard to case, accents or blanks at the end."""
    may_fail: bool = False
    """There are values for which it is an error."""
    inexact: bool = False
    """It may give other digits."""


@dataclass(frozen=True, slots=True)
class Translated:
    sql: str
    notes: Notes


@dataclass(frozen=True)
class Translator:
    """Translates the expressions of one table. ``names``: what the target calls each of its columns."""

    columns: Mapping[str, Column] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)

    def condition(self, text: str) -> Translated:
        """Of a check or a filter. Raises Untranslatable."""
        work = _Work(self)
        with _bounded():
            return Translated(work.condition(parsed(text)), work.notes)

    def value(self, text: str, column: Column) -> Translated:
        """Of a default, in the column's family. Raises Untranslatable."""
        work = _Work(self)
        with _bounded():
            return Translated(work.to(work.value(parsed(text)), _family(column)), work.notes)

    def computed(self, text: str, column: Column) -> Translated:
        """Of a computed column, with its type. Raises Untranslatable, also for what may fail or be inexact."""
        work = _Work(self, exact=True)
        with _bounded():
            sql = work.to(work.value(parsed(text)), _family(column))
        if work.notes.may_fail or work.notes.inexact:
            raise Untranslatable("its value may be another one, or an error, in PostgreSQL")
        return Translated(f"({sql})::{type_of(column.type)}", work.notes)


@contextmanager
def _bounded() -> Iterator[None]:
    try:
        yield
    except RecursionError:
        raise Untranslatable("it is nested too deep") from None


def _family(column: Column) -> Family:
    if column.type.kind is Kind.TEXT:
        return Family.PADDED if type_of(column.type).startswith("char(") else Family.TEXT
    if column.type.kind not in _OF_KIND:
        raise Untranslatable(f"{column.type.native} has no counterpart that expressions know")
    return _OF_KIND[column.type.kind]


class _Work:
    """One translation. ``exact``: its value is stored, so that blanks at a text's end count too."""

    def __init__(self, translator: Translator, *, exact: bool = False) -> None:
        self._translator = translator
        self.exact = exact
        self.notes = Notes()

    # Conditions.

    def condition(self, node: Node) -> str:
        match node:
            case Binary(("and" | "or") as word, left, right):
                return f"({self.condition(left)} {word.upper()} {self.condition(right)})"
            case Unary("not", of):
                return f"(NOT {self.condition(of)})"
            case Binary(("=" | "<>" | "<" | "<=" | ">" | ">=") as sign, left, right):
                return self._compared(sign, self.value(left), self.value(right))
            case IsNull(of, negated):
                return f"({self.value(of).sql} IS {'NOT ' if negated else ''}NULL)"
            case In(of, among, negated):
                return self._in(self.value(of), [self.value(each) for each in among], negated=negated)
            case Between(of, low, high, negated):
                value = self.value(of)
                above = self._compared(">=", value, self.value(low))
                below = self._compared("<=", value, self.value(high))
                return f"({'NOT ' if negated else ''}({above} AND {below}))"
            case Like():
                return self._like(node)
        raise Untranslatable("a value stands where a condition is wanted")

    def _compared(self, sign: str, left: Said, right: Said) -> str:
        one, other = self._together([left, right])
        return f"({one} {sign} {other})"

    def _in(self, value: Said, among: Sequence[Said], *, negated: bool) -> str:
        one, *others = self._together([value, *among])
        return f"({one} {'NOT IN' if negated else 'IN'} ({', '.join(others)}))"

    def _like(self, node: Like) -> str:
        value, pattern = self.value(node.of), self.value(node.pattern)
        if value.family not in _TEXTS or pattern.literal is None or pattern.literal.kind != "text":
            raise Untranslatable("a LIKE of something else than a text and a pattern that is written out")
        self.notes.compares_text = True
        sql = f"{value.sql}::text" if value.family is Family.PADDED else value.sql
        return like(sql, pattern.literal.text, node.escape, negated=node.negated)

    # Values.

    def value(self, node: Node) -> Said:
        match node:
            case Literal():
                return _literal(node)
            case Named(name):
                return self._column(name)
            case Unary(("-" | "+" | "~") as sign, of):
                return self._signed(sign, self.value(of))
            case Binary(("+" | "-" | "*" | "/" | "%" | "&" | "|" | "^") as sign, left, right):
                return self._reckoned(sign, self.value(left), self.value(right))
            case Case(base, whens, default):
                return self._case(base, whens, default)
            case Call():
                return self._call(node)
        raise Untranslatable("a condition stands where a value is wanted")

    def _column(self, name: str) -> Said:
        columns = self._translator.columns
        found = [name] if name in columns else [each for each in columns if each.lower() == name.lower()]
        if len(found) != 1:
            raise Untranslatable(f"{name[:128]} is no column of the table")
        column = columns[found[0]]
        if column.computed:
            raise Untranslatable(f"{name[:128]} is a computed column itself")
        width = column.type.length if column.type.fixed else 0
        return Said(quoted(self._translator.names.get(found[0], found[0])), _family(column), width=width)

    def _signed(self, sign: str, of: Said) -> Said:
        if of.family not in _NUMBERS or (sign == "~" and of.family is not Family.INTEGER):
            raise Untranslatable(f"{sign} before {of.family}")
        number = of.literal
        if sign == "-" and number:
            number = Literal(number.kind, number.text[1:] if number.text.startswith("-") else f"-{number.text}")
        return Said(of.sql if sign == "+" else f"({sign} {of.sql})", of.family, None if sign == "~" else number)

    def _reckoned(self, sign: str, left: Said, right: Said) -> Said:
        families = {left.family, right.family}
        if sign == "+" and families <= {*_TEXTS, Family.NULL} and families != {Family.NULL}:
            return Said(f"({_unpadded(left)} || {_unpadded(right)})", Family.TEXT)
        if sign in "+-" and left.family is Family.TIMESTAMP and right.family in _NUMBERS:
            return Said(f"({left.sql} {sign} {right.sql} * interval '1 day')", Family.TIMESTAMP)
        if not families <= set(_NUMBERS):
            raise Untranslatable(f"{left.family} {sign} {right.family}")
        family = max(families, key=_NUMBERS.index)
        if sign in "&|^":
            if family is not Family.INTEGER:
                raise Untranslatable(f"{sign} of numbers that are not whole")
            return Said(f"({left.sql} {'#' if sign == '^' else sign} {right.sql})", family)
        if sign in "/%":
            self._divided(sign, right, family)
        return Said(f"({left.sql} {sign} {right.sql})", family)

    def _divided(self, sign: str, by: Said, family: Family) -> None:
        if by.literal is None or not float(by.literal.text):
            self.notes.may_fail = True
        if sign == "/" and family is not Family.INTEGER:
            self.notes.inexact = True
        if sign == "%" and family is Family.FLOAT:
            raise Untranslatable("the rest of a division of floating-point numbers")

    def _case(self, base: Node | None, whens: Sequence[tuple[Node, Node]], default: Node | None) -> Said:
        of = self.value(base) if base else None
        conditions = [
            self._compared("=", of, self.value(when)) if of else self.condition(when) for when, _ in whens
        ]
        values = [self.value(then) for _, then in whens]
        values += [self.value(default)] if default else []
        texts, family = self._same(values)
        parts = [f"WHEN {when} THEN {then}" for when, then in zip(conditions, texts, strict=False)]
        otherwise = f" ELSE {texts[-1]}" if default else ""
        return Said(f"(CASE {' '.join(parts)}{otherwise} END)", family)

    def _same(self, values: Sequence[Said]) -> tuple[list[str], Family]:
        """All in one family, which they must nearly have."""
        families = {each.family for each in values if each.family is not Family.NULL}
        if len(families) == 1:
            family = families.pop()
        elif families <= set(_NUMBERS) and families:
            family = max(families, key=_NUMBERS.index)
        elif families == set(_TEXTS):
            family = Family.TEXT
        elif families == {Family.BIT, Family.INTEGER}:
            family = Family.INTEGER
        else:
            raise Untranslatable("it chooses between values of different kinds")
        return [self.to(each, family) for each in values], Family.TEXT if family is Family.PADDED else family

    def _together(self, values: Sequence[Said]) -> list[str]:
        """As they can be compared with the first one."""
        if any(each.family in (Family.NULL, Family.CONDITION) for each in values):
            raise Untranslatable("it compares with NULL")
        known = next((each for each in values if each.literal is None), values[0])
        if any(each.family in _TEXTS for each in values) and known.family in _TEXTS:
            self.notes.compares_text = True
        return [self._comparable(each, known) for each in values]

    def _comparable(self, value: Said, known: Said) -> str:
        pair = {value.family, known.family}
        if len(pair) == 1 or pair <= set(_NUMBERS) or pair <= set(_TEXTS) or pair <= set(_DATES):
            return value.sql
        numbers_as_text = known.family in _TEXTS and value.family in _NUMBERS
        if value.literal and not numbers_as_text:
            return self.to(value, known.family)
        if value.family is Family.BIT and known.family is Family.INTEGER:
            return self.to(value, known.family)
        if value.family in _DATES and known.family is Family.INSTANT:
            return self.to(value, known.family)
        raise Untranslatable(f"it compares {value.family} with {known.family}")

    # From one family to another.

    def to(self, value: Said, family: Family, style: int = 0) -> str:
        """SQL for the value as one of that family. Raises Untranslatable."""
        if value.family in (family, Family.NULL) or (value.family in _TEXTS and family in _TEXTS):
            return value.sql
        if value.literal:
            if found := _written(value.literal, family, style):
                return found
        elif found := _converted(value, family):
            return found
        raise Untranslatable(f"{value.family} stands where {family} is wanted")

    # Functions.

    def _call(self, node: Call) -> Said:
        if node.name == "convert" and node.type:
            return self._convert(node.type, node.arguments)
        plain = _PLAIN.get(node.name)
        if plain and not node.arguments:
            return Said(*plain)
        known = _FUNCTIONS.get(node.name)
        if known is None or len(node.arguments) not in known:
            raise Untranslatable(f"the function {node.name[:128]} is not translated")
        return _Functions(self).call(node.name, node.arguments)

    def _convert(self, type_name: TypeName, arguments: Sequence[Node]) -> Said:
        style = self._style(arguments[1:])
        family, target, width = _named_type(type_name)
        if family in _DATES and (day := self._day(arguments[0], style)):
            return Said(f"({day})::{target}", family)
        value = self.value(arguments[0])
        if family in _TEXTS and value.family in _DATES:
            return Said(f"{_styled(value, style)}::{target}", family, width=width)
        minutes = type_name.name == "smalldatetime" and value.family is Family.TIMESTAMP and not value.literal
        sql = f"date_trunc('minute', {value.sql} + interval '30 s')" if minutes else self.to(value, family, style)
        return Said(f"({sql})::{target}", family, width=width)

    def _style(self, arguments: Sequence[Node]) -> int:
        """The number that a CONVERT ends with; 0: none."""
        if not arguments:
            return 0
        number = self.value(arguments[0]).literal
        if len(arguments) > 1 or number is None or not number.text.isdecimal():
            raise Untranslatable("a CONVERT whose style is not written out")
        return int(number.text)

    def _day(self, node: Node, style: int) -> str:
        """The day of what is made a text and then a date again, in the same style; empty: it is something else.

        So the time of day was taken off before there was a type for days. Two digits of a year are enough for
        today alone.
        """
        if not isinstance(node, Call) or node.name != "convert" or not node.type or len(node.arguments) != 2:
            return ""
        family, target, _ = _named_type(node.type)
        inner, of = node.arguments[0], self.value(node.arguments[0])
        today = isinstance(inner, Call) and inner.name in ("getdate", "current_timestamp", "sysdatetime")
        whole = style in _STYLES and target not in _TOO_SHORT and style != 108
        if "HH24" in _STYLES.get(style, ""):
            whole = whole and target in ("char(10)", "varchar(10)")
        short = style in _SHORT_STYLES and today and target not in _TOO_SHORT
        same = family in _TEXTS and of.family in _DATES and style == self._style(node.arguments[1:])
        return f"({of.sql})::date" if same and (whole or short) else ""


# Literals.


def _literal(node: Literal) -> Said:
    match node.kind:
        case "text":
            return Said(literal(node.text), Family.TEXT, node)
        case "integer":
            return Said(node.text, Family.INTEGER if abs(int(node.text)) < 1 << 63 else Family.DECIMAL, node)
        case "decimal":
            return Said(node.text, Family.DECIMAL, node)
        case "float":
            return Said(f"{node.text}::double precision", Family.FLOAT, node)
        case "money":
            return Said(f"{node.text}::numeric(19,4)", Family.DECIMAL, node)
        case "binary":
            return Said(f"{literal(chr(92) + 'x' + node.text)}::bytea", Family.BINARY, node)
    return Said("NULL", Family.NULL)


def _written(node: Literal, family: Family, style: int) -> str:
    """A literal as one of another family; empty: that is not known."""
    text = node.text.strip() if node.kind == "text" else node.text
    number = node.kind in ("integer", "decimal", "float", "money") or _is_number(text)
    if family in _TEXTS and node.kind == "integer":
        return literal(node.text)
    if family in _NUMBERS and number and node.kind != "binary":
        whole = family is Family.INTEGER and ("." in text or "e" in text.lower())
        return f"trunc({text}::numeric)::bigint" if whole else text
    if family is Family.BIT and node.kind != "binary":
        if text.lower() in ("true", "false"):
            return text.lower()
        return ("true" if float(text) else "false") if number else ""
    if family in (*_DATES, Family.TIME, Family.INSTANT):
        return _written_moment(node, family, style)
    if family is Family.UUID and node.kind == "text" and len(text) in (36, 38):
        return f"{literal(text)}::uuid"
    return ""


def _written_moment(node: Literal, family: Family, style: int) -> str:
    if node.kind == "binary":
        return ""
    shown = moment(node.text, style) if node.kind == "text" else of_days(node.text)
    if family is Family.TIME:
        return f"{literal(shown.partition(' ')[2] or '00:00:00')}::time"
    if family is Family.DATE:
        return f"{literal(shown.partition(' ')[0])}::date"
    sql = f"{literal(shown)}::timestamp"
    return f"({sql} AT TIME ZONE 'UTC')" if family is Family.INSTANT else sql


def _is_number(text: str) -> bool:
    """Whether a text is one that T-SQL turns into a number."""
    return text.isascii() and text.removeprefix("-").replace(".", "", 1).isdecimal()


def _converted(value: Said, family: Family) -> str:
    """A value as one of another family; empty: that is not known."""
    sql = value.sql
    match value.family, family:
        case Family.BIT, Family.INTEGER | Family.DECIMAL | Family.FLOAT:
            return f"({sql})::integer"
        case Family.INTEGER | Family.DECIMAL | Family.FLOAT, Family.BIT:
            return f"({sql} <> 0)"
        case Family.INTEGER, Family.DECIMAL | Family.FLOAT:
            return sql
        case Family.DECIMAL, Family.FLOAT:
            return f"({sql})::double precision"
        case Family.DECIMAL | Family.FLOAT, Family.INTEGER:
            return f"trunc({sql})::bigint"
        case Family.TIMESTAMP, Family.DATE:
            return f"({sql})::date"
        case Family.TIMESTAMP, Family.TIME:
            return f"({sql})::time"
        case Family.DATE, Family.TIMESTAMP:
            return f"({sql})::timestamp"
        case Family.TIMESTAMP | Family.DATE, Family.INSTANT:
            return f"(({sql})::timestamp AT TIME ZONE 'UTC')"
        case Family.INTEGER, Family.TEXT | Family.PADDED:
            return f"({sql})::text"
        case Family.UUID, Family.TEXT | Family.PADDED:
            return f"upper(({sql})::text)"
    return ""


def _unpadded(value: Said) -> str:
    """A text as ``||`` takes it: a padded one would lose its blanks."""
    return f"rpad({value.sql}, {value.width})" if value.family is Family.PADDED and value.width else value.sql


_STYLES = {
    101: "MM/DD/YYYY",
    102: "YYYY.MM.DD",
    103: "DD/MM/YYYY",
    104: "DD.MM.YYYY",
    105: "DD-MM-YYYY",
    108: "HH24:MI:SS",
    110: "MM-DD-YYYY",
    111: "YYYY/MM/DD",
    112: "YYYYMMDD",
    120: "YYYY-MM-DD HH24:MI:SS",
    121: "YYYY-MM-DD HH24:MI:SS.MS",
    23: "YYYY-MM-DD",
}


_SHORT_STYLES = (1, 2, 3, 4, 5, 10, 11, 12)
"""The same days with two digits of the year."""
_TOO_SHORT = [f"{kind}({length})" for kind in ("char", "varchar") for length in range(10)]
"""Texts that might hold a part of a day alone."""


def _styled(value: Said, style: int) -> str:
    if value.literal or style not in _STYLES or (value.family is Family.DATE and "HH24" in _STYLES[style]):
        raise Untranslatable(f"a date as a text of style {style}")
    return f"to_char({value.sql}, '{_STYLES[style]}')"


_TYPES = {
    "tinyint": (Family.INTEGER, "smallint"),
    "smallint": (Family.INTEGER, "smallint"),
    "int": (Family.INTEGER, "integer"),
    "integer": (Family.INTEGER, "integer"),
    "bigint": (Family.INTEGER, "bigint"),
    "bit": (Family.BIT, "boolean"),
    "money": (Family.DECIMAL, "numeric(19,4)"),
    "smallmoney": (Family.DECIMAL, "numeric(10,4)"),
    "float": (Family.FLOAT, "double precision"),
    "real": (Family.FLOAT, "real"),
    "date": (Family.DATE, "date"),
    "datetime": (Family.TIMESTAMP, "timestamp(3)"),
    "smalldatetime": (Family.TIMESTAMP, "timestamp(0)"),
    "uniqueidentifier": (Family.UUID, "uuid"),
}
_LONG = {"varchar": "varchar", "nvarchar": "varchar", "char": "char", "nchar": "char"}
_FRACTIONS = {"datetime2": (Family.TIMESTAMP, "timestamp"), "time": (Family.TIME, "time")}


def _named_type(named: TypeName) -> tuple[Family, str, int]:
    """Its family, its name in PostgreSQL, and the width of a padded text. Raises Untranslatable."""
    if named.name in _TYPES and (not named.numbers or named.name == "float"):
        return *_TYPES[named.name], 0
    if named.name in ("decimal", "numeric", "dec"):
        precision, scale = (*named.numbers, 0)[:2] if named.numbers else (18, 0)
        return Family.DECIMAL, f"numeric({precision},{scale})", 0
    if named.name in _LONG:
        length = named.numbers[0] if named.numbers else 30
        kind = _LONG[named.name]
        padded = kind == "char"
        return Family.PADDED if padded else Family.TEXT, "text" if length < 0 else f"{kind}({length})", length
    if named.name in _FRACTIONS:
        family, name = _FRACTIONS[named.name]
        return family, f"{name}({min(named.numbers[0] if named.numbers else 7, 6)})", 0
    raise Untranslatable(f"the type {named.name[:128]} in an expression")


# Functions.

_NOW, _UTC = "localtimestamp({})", "(now() AT TIME ZONE 'UTC')"
_PLAIN: Mapping[str, tuple[str, Family]] = {
    "getdate": (_NOW.format(3), Family.TIMESTAMP),
    "current_timestamp": (_NOW.format(3), Family.TIMESTAMP),
    "sysdatetime": (_NOW.format(6), Family.TIMESTAMP),
    "getutcdate": (f"{_UTC}::timestamp(3)", Family.TIMESTAMP),
    "sysutcdatetime": (_UTC, Family.TIMESTAMP),
    "sysdatetimeoffset": ("now()", Family.INSTANT),
    "newid": ("gen_random_uuid()", Family.UUID),
    "newsequentialid": ("gen_random_uuid()", Family.UUID),
    "user_name": ("current_user::text", Family.TEXT),
    "user": ("current_user::text", Family.TEXT),
    "current_user": ("current_user::text", Family.TEXT),
    "session_user": ("current_user::text", Family.TEXT),
    "suser_sname": ("session_user::text", Family.TEXT),
    "suser_name": ("session_user::text", Family.TEXT),
    "original_login": ("session_user::text", Family.TEXT),
    "system_user": ("session_user::text", Family.TEXT),
    "db_name": ("current_database()::text", Family.TEXT),
    "app_name": ("current_setting('application_name')", Family.TEXT),
    "pi": ("pi()", Family.FLOAT),
}
"""Functions without arguments. The moment is that of the transaction's begin, not of the statement's."""

_FUNCTIONS: Mapping[str, Sequence[int]] = {
    "isnull": (2,), "coalesce": range(2, 100), "nullif": (2,), "iif": (3,), "concat": range(2, 100),
    "len": (1,), "datalength": (1,), "upper": (1,), "lower": (1,), "ltrim": (1,), "rtrim": (1,), "trim": (1,),
    "left": (2,), "right": (2,), "substring": (3,), "replace": (3,), "charindex": (2,), "replicate": (2,),
    "reverse": (1,), "space": (1,), "abs": (1,), "ceiling": (1,), "floor": (1,), "sign": (1,), "round": (2,),
    "year": (1,), "month": (1,), "day": (1,), "datepart": (2,), "dateadd": (3,), "datediff": (3,),
}  # fmt: skip
"""Functions with arguments: how many each may have."""

_UNITS = {
    "year": "year", "yy": "year", "yyyy": "year", "quarter": "quarter", "qq": "quarter", "q": "quarter",
    "month": "month", "mm": "month", "m": "month", "dayofyear": "doy", "dy": "doy", "y": "doy",
    "day": "day", "dd": "day", "d": "day", "week": "week", "wk": "week", "ww": "week",
    "hour": "hour", "hh": "hour", "minute": "minute", "mi": "minute", "n": "minute",
    "second": "second", "ss": "second", "s": "second",
    "iso_week": "isoweek", "isowk": "isoweek", "isoww": "isoweek",
}  # fmt: skip
_OF_TIMES = ("hour", "minute", "second")
_INTERVALS = {
    "year": "1 year", "quarter": "3 months", "month": "1 month", "day": "1 day", "doy": "1 day", "week": "7 days",
    "hour": "1 hour", "minute": "1 minute", "second": "1 second",
}  # fmt: skip


class _Functions:
    """The functions that have arguments, each in a method of its own name."""

    def __init__(self, work: _Work) -> None:
        self._work = work

    def call(self, name: str, arguments: Sequence[Node]) -> Said:
        said: Said = getattr(self, f"_{name}")(*arguments)
        return said

    def _coalesce(self, *nodes: Node) -> Said:
        texts, family = self._work._same([self._work.value(node) for node in nodes])
        return Said(f"coalesce({', '.join(texts)})", family)

    def _isnull(self, value: Node, instead: Node) -> Said:
        first = self._work.value(value)
        if first.family is Family.NULL:
            raise Untranslatable("an ISNULL of NULL")
        family = Family.TEXT if first.family is Family.PADDED else first.family
        return Said(f"coalesce({first.sql}, {self._work.to(self._work.value(instead), first.family)})", family)

    def _nullif(self, value: Node, other: Node) -> Said:
        first, second = self._work.value(value), self._work.value(other)
        if first.literal:
            raise Untranslatable("a NULLIF of what is written out")
        one, two = self._work._together([first, second])
        return Said(f"nullif({one}, {two})", first.family, width=first.width)

    def _iif(self, condition: Node, then: Node, otherwise: Node) -> Said:
        return self._work._case(None, [(condition, then)], otherwise)

    def _concat(self, *nodes: Node) -> Said:
        parts = []
        for node in nodes:
            value = self._work.value(node)
            text = _unpadded(value) if value.family in _TEXTS else self._work.to(value, Family.TEXT)
            parts.append(text if value.literal else f"coalesce({text}, '')")
        return Said(f"({' || '.join(parts)})", Family.TEXT)

    def _len(self, node: Node) -> Said:
        return Said(f"length(rtrim({self._text(node)}, ' '))", Family.INTEGER)

    def _datalength(self, node: Node) -> Said:
        value = self._work.value(node)
        if value.family is not Family.BINARY:
            raise Untranslatable("the bytes of a text are others in PostgreSQL")
        return Said(f"octet_length({value.sql})", Family.INTEGER)

    def _upper(self, node: Node) -> Said:
        return Said(f"upper({self._text(node)})", Family.TEXT)

    def _lower(self, node: Node) -> Said:
        return Said(f"lower({self._text(node)})", Family.TEXT)

    def _ltrim(self, node: Node) -> Said:
        return Said(f"ltrim({self._text(node)}, ' ')", Family.TEXT)

    def _rtrim(self, node: Node) -> Said:
        return Said(f"rtrim({self._text(node)}, ' ')", Family.TEXT)

    def _trim(self, node: Node) -> Said:
        return Said(f"btrim({self._text(node)}, ' ')", Family.TEXT)

    def _left(self, node: Node, count: Node) -> Said:
        return Said(f"left({self._text(node)}, {self._count(count)})", Family.TEXT)

    def _right(self, node: Node, count: Node) -> Said:
        return Said(f"right({self._text(node, padded=True)}, {self._count(count)})", Family.TEXT)

    def _substring(self, node: Node, begin: Node, count: Node) -> Said:
        return Said(f"substr({self._text(node)}, {self._count(begin)}, {self._count(count)})", Family.TEXT)

    def _replace(self, node: Node, old: Node, new: Node) -> Said:
        self._work.notes.compares_text = True
        if self._literal_text(old) == "":
            raise Untranslatable("a REPLACE of nothing")
        return Said(f"replace({self._text(node)}, {self._text(old)}, {self._text(new)})", Family.TEXT)

    def _charindex(self, part: Node, node: Node) -> Said:
        self._work.notes.compares_text = True
        if not self._literal_text(part):
            raise Untranslatable("a CHARINDEX of nothing")
        return Said(f"strpos({self._text(node)}, {self._text(part)})", Family.INTEGER)

    def _replicate(self, node: Node, count: Node) -> Said:
        return Said(f"repeat({self._text(node, padded=True)}, {self._count(count)})", Family.TEXT)

    def _reverse(self, node: Node) -> Said:
        return Said(f"reverse({self._text(node, padded=True)})", Family.TEXT)

    def _space(self, count: Node) -> Said:
        return Said(f"repeat(' ', {self._count(count)})", Family.TEXT)

    def _abs(self, node: Node) -> Said:
        value = self._number(node)
        return Said(f"abs({value.sql})", value.family)

    def _ceiling(self, node: Node) -> Said:
        value = self._number(node)
        return value if value.family is Family.INTEGER else Said(f"ceil({value.sql})", value.family)

    def _floor(self, node: Node) -> Said:
        value = self._number(node)
        return value if value.family is Family.INTEGER else Said(f"floor({value.sql})", value.family)

    def _sign(self, node: Node) -> Said:
        value = self._number(node)
        whole = "::integer" if value.family is Family.INTEGER else ""
        return Said(f"sign({value.sql}){whole}", value.family)

    def _round(self, node: Node, digits: Node) -> Said:
        value = self._number(node)
        if value.family is not Family.DECIMAL:
            raise Untranslatable("ROUND of what is not a decimal")
        return Said(f"round({value.sql}, {self._count(digits)})", Family.DECIMAL)

    def _year(self, node: Node) -> Said:
        return self._part("year", node)

    def _month(self, node: Node) -> Said:
        return self._part("month", node)

    def _day(self, node: Node) -> Said:
        return self._part("day", node)

    def _datepart(self, unit: Node, node: Node) -> Said:
        named = self._unit(unit)
        if named == "week":
            raise Untranslatable("the number of a week depends on the server's settings")
        return self._part("week" if named == "isoweek" else named, node)

    def _part(self, unit: str, node: Node) -> Said:
        value = self._moment(node)
        of = (
            f"floor(extract(second from {value.sql}))" if unit == "second" else f"extract({unit} from {value.sql})"
        )
        if unit in _OF_TIMES and value.family is Family.DATE:
            raise Untranslatable("the time of day of a date")
        return Said(f"({of})::integer", Family.INTEGER)

    def _dateadd(self, unit: Node, count: Node, node: Node) -> Said:
        named, number, value = self._unit(unit), self._work.value(count), self._moment(node)
        if named not in _INTERVALS or number.family is not Family.INTEGER:
            raise Untranslatable("a DATEADD that is not understood")
        if value.family is Family.DATE and named in _OF_TIMES:
            raise Untranslatable("the time of day of a date")
        sql = f"({value.sql} + {number.sql} * interval '{_INTERVALS[named]}')"
        return Said(f"{sql}::date" if value.family is Family.DATE else sql, value.family)

    def _datediff(self, unit: Node, begin: Node, end: Node) -> Said:
        named = self._unit(unit)
        one, other = self._moment(begin).sql, self._moment(end).sql
        years = f"(extract(year from {other}) - extract(year from {one}))"
        match named:
            case "year":
                return Said(f"{years}::integer", Family.INTEGER)
            case "month":
                months = f"(extract(month from {other}) - extract(month from {one}))"
                return Said(f"({years} * 12 + {months})::integer", Family.INTEGER)
            case "day" | "doy":
                return Said(f"(({other})::date - ({one})::date)", Family.INTEGER)
        raise Untranslatable("a DATEDIFF of other units than years, months and days")

    # What the arguments must be.

    def _text(self, node: Node, *, padded: bool = False) -> str:
        value = self._work.value(node)
        if value.family not in _TEXTS:
            raise Untranslatable(f"{value.family} stands where a text is wanted")
        return _unpadded(value) if self._work.exact or padded else value.sql

    def _literal_text(self, node: Node) -> str | None:
        known = self._work.value(node).literal
        return known.text if known else None

    def _count(self, node: Node) -> str:
        """A number from nought, written out: others are an error in T-SQL, and something else in PostgreSQL."""
        known = self._work.value(node).literal
        if known is None or known.kind != "integer" or known.text.startswith("-"):
            raise Untranslatable("a length or a place that is not written out")
        return known.text

    def _number(self, node: Node) -> Said:
        value = self._work.value(node)
        if value.family not in _NUMBERS:
            raise Untranslatable(f"{value.family} stands where a number is wanted")
        return value

    def _moment(self, node: Node) -> Said:
        value = self._work.value(node)
        if value.literal and value.family is Family.TEXT:
            return Said(self._work.to(value, Family.TIMESTAMP), Family.TIMESTAMP)
        if value.family not in _DATES:
            raise Untranslatable(f"{value.family} stands where a date is wanted")
        return value

    def _unit(self, node: Node) -> str:
        if not isinstance(node, Named) or node.name.lower() not in _UNITS:
            raise Untranslatable("a unit of time that is not understood")
        return _UNITS[node.name.lower()]
