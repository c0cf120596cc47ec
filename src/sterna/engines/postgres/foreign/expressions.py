"""Translates expressions of T-SQL into PostgreSQL's language, those alone whose counterpart was proven.

Whatever is not known is refused: functions that are not listed, and what mixes values in an unknown way.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from sterna.core.schema import Column, Kind
from sterna.engines.postgres.foreign.families import (
    DATES,
    NUMBERS,
    SHORT_STYLES,
    STYLES,
    TEXTS,
    TOO_SHORT,
    Family,
    Notes,
    Said,
    converted,
    family_of,
    literal_said,
    named_type,
    styled,
    unpadded,
    written,
)
from sterna.engines.postgres.foreign.functions import FUNCTIONS, PLAIN, STEADY, Functions
from sterna.engines.postgres.foreign.likes import like
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
from sterna.engines.postgres.names import quoted


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
            return Translated(work.to(_filled(work.value(parsed(text)), column), family_of(column)), work.notes)

    def computed(self, text: str, column: Column) -> Translated:
        """Of a computed column, with its type. Raises Untranslatable, also for what may fail or be inexact."""
        work = _Work(self, exact=True)
        with _bounded():
            sql = work.to(work.value(parsed(text)), family_of(column))
        widest = column.type.kind is Kind.DECIMAL and column.type.precision >= _WIDEST
        if work.notes.may_fail or work.notes.inexact or (widest and work.notes.reckons):
            raise Untranslatable("its value may be another one, or an error, in PostgreSQL")
        return Translated(f"({sql})::{type_of(column.type)}", work.notes)


def _filled(value: Said, column: Column) -> Said:
    """Bytes that are written out, with the zeros that a column of fixed length puts behind them."""
    known = value.literal
    if column.type.kind is not Kind.BINARY or not column.type.fixed or known is None or known.kind != "binary":
        return value
    return literal_said(Literal("binary", known.text.ljust(2 * column.type.length, "0")))


def _is_bit(number: Literal) -> bool:
    """Whether a bit can be that number. Compared with 2 it is less; as a bit itself, 2 would be true."""
    return number.kind not in ("integer", "decimal", "float", "money") or float(number.text) in (0, 1)


def _is_long(number: Said) -> bool:
    """Whether it is written out and no ``int``."""
    return number.literal is not None and abs(int(number.literal.text)) >= _INT


_LONG_NUMBER = 10
"""Digits of the longest ``int``."""
_INT = 1 << 31
"""From here on, a number that is written out is a decimal in T-SQL."""
_WIDEST = 38
"""Digits of the widest decimal: T-SQL rounds a result that would need more."""
_NATIVES = {"real": "real", "money": "money", "smallmoney": "money", "tinyint": "tinyint"}


@contextmanager
def _bounded() -> Iterator[None]:
    try:
        yield
    except RecursionError:
        raise Untranslatable("it is nested too deep") from None


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
        one, other = self.together([left, right])
        return f"({one} {sign} {other})"

    def _in(self, value: Said, among: Sequence[Said], *, negated: bool) -> str:
        one, *others = self.together([value, *among])
        return f"({one} {'NOT IN' if negated else 'IN'} ({', '.join(others)}))"

    def _like(self, node: Like) -> str:
        value, pattern = self.value(node.of), self.value(node.pattern)
        if value.family not in TEXTS or pattern.literal is None or pattern.literal.kind != "text":
            raise Untranslatable("a LIKE of something else than a text and a pattern that is written out")
        self.notes.compares_text = True
        text = pattern.literal.text
        sql = f"{value.sql}::text" if value.family is Family.PADDED else value.sql
        said = like(sql, text, node.escape, negated=node.negated)
        if value.family is not Family.PADDED or not value.width or text.endswith("%"):
            return said
        # The blanks at the end of a padded text may be matched, and need not be.
        padded = like(unpadded(value), text, node.escape, negated=node.negated)
        return f"({said} {'AND' if node.negated else 'OR'} {padded})"

    # Values.

    def value(self, node: Node) -> Said:
        match node:
            case Literal():
                return literal_said(node)
            case Named(name):
                return self._column(name)
            case Unary(("-" | "+" | "~") as sign, of):
                return self._signed(sign, self.value(of))
            case Binary(("+" | "-" | "*" | "/" | "%" | "&" | "|" | "^") as sign, left, right):
                return self._reckoned(sign, self.value(left), self.value(right))
            case Case(base, whens, default):
                return self.case(base, whens, default)
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
        width = max(0, column.type.length) if column.type.kind is Kind.TEXT else 0
        sql = quoted(self._translator.names.get(found[0], found[0]))
        return Said(sql, family_of(column), width=width, native=_NATIVES.get(column.type.native.lower(), ""))

    def _signed(self, sign: str, of: Said) -> Said:
        if of.family not in NUMBERS or (sign == "~" and of.family is not Family.INTEGER):
            raise Untranslatable(f"{sign} before {of.family}")
        number = of.literal
        if sign == "-" and number:
            number = Literal(number.kind, number.text[1:] if number.text.startswith("-") else f"-{number.text}")
        if sign == "~" and of.native == "tinyint":
            return Said(f"(255 - {of.sql})", of.family, native=of.native)
        sql = of.sql if sign == "+" else f"({sign} {of.sql})"
        native = "" if sign == "-" and of.native == "tinyint" else of.native
        return Said(sql, of.family, None if sign == "~" else number, native=native)

    def _reckoned(self, sign: str, left: Said, right: Said) -> Said:
        families = {left.family, right.family}
        if sign == "+" and families <= {*TEXTS, Family.NULL} and families != {Family.NULL}:
            return Said(f"({unpadded(left)} || {unpadded(right)})", Family.TEXT)
        if sign in "+-" and left.family is Family.TIMESTAMP and right.family in NUMBERS:
            # A part of a day is rounded to a three-hundredth of a second in T-SQL.
            self.notes.inexact |= right.family is not Family.INTEGER
            return Said(f"({left.sql} {sign} {right.sql} * interval '1 day')", Family.TIMESTAMP)
        if not families <= set(NUMBERS):
            raise Untranslatable(f"{left.family} {sign} {right.family}")
        family = max(families, key=NUMBERS.index)
        if sign in "&|^":
            if family is not Family.INTEGER:
                raise Untranslatable(f"{sign} of numbers that are not whole")
            native = self._native(sign, left, right, family)
            return Said(f"({left.sql} {'#' if sign == '^' else sign} {right.sql})", family, native=native)
        self.notes.reckons |= family is Family.DECIMAL
        if sign in "/%":
            self._divided(sign, left, right, family)
        return Said(f"({left.sql} {sign} {right.sql})", family, native=self._native(sign, left, right, family))

    def _native(self, sign: str, left: Said, right: Said, family: Family) -> str:
        """How the result reckons on.

        A real stays one beside whole numbers and decimals in T-SQL and does not in PostgreSQL; a product of
        amounts of money has four digits there, and all of them here.
        """
        natives = {left.native, right.native}
        if family is Family.FLOAT and "real" in natives:
            alone = natives == {"real"}
            others = {each.family for each in (left, right) if each.native != "real"}
            self.notes.inexact |= not alone and others != {Family.FLOAT}
            return "real" if others != {Family.FLOAT} else ""
        if natives == {"money"}:
            self.notes.inexact |= sign == "*"
            return "money"
        if natives == {"tinyint"}:
            return "tinyint"
        return "money" if "money" in natives and Family.INTEGER in (left.family, right.family) else ""

    def _divided(self, sign: str, of: Said, by: Said, family: Family) -> None:
        if sign == "/" and family is Family.INTEGER and any(_is_long(each) for each in (of, by)):
            raise Untranslatable("the division of a number that T-SQL takes for a decimal")
        if by.literal is None or not float(by.literal.text):
            self.notes.may_fail = True
        if sign == "/" and family is not Family.INTEGER:
            self.notes.inexact = True
        if sign == "%" and family is Family.FLOAT:
            raise Untranslatable("the rest of a division of floating-point numbers")

    def case(self, base: Node | None, whens: Sequence[tuple[Node, Node]], default: Node | None) -> Said:
        of = self.value(base) if base else None
        conditions = [
            self._compared("=", of, self.value(when)) if of else self.condition(when) for when, _ in whens
        ]
        values = [self.value(then) for _, then in whens]
        values += [self.value(default)] if default else []
        texts, family = self.same(values)
        parts = [f"WHEN {when} THEN {then}" for when, then in zip(conditions, texts, strict=False)]
        otherwise = f" ELSE {texts[-1]}" if default else ""
        return Said(f"(CASE {' '.join(parts)}{otherwise} END)", family)

    def same(self, values: Sequence[Said]) -> tuple[list[str], Family]:
        """All in one family, which they must nearly have."""
        families = {each.family for each in values if each.family is not Family.NULL}
        if self.exact and Family.PADDED in families:
            raise Untranslatable("it chooses between padded texts")
        if len(families) == 1:
            family = families.pop()
        elif families <= set(NUMBERS) and families:
            family = max(families, key=NUMBERS.index)
        elif families == set(TEXTS):
            family = Family.TEXT
        elif families == {Family.BIT, Family.INTEGER}:
            family = Family.INTEGER
        else:
            raise Untranslatable("it chooses between values of different kinds")
        return [self.to(each, family) for each in values], Family.TEXT if family is Family.PADDED else family

    def together(self, values: Sequence[Said]) -> list[str]:
        """As they can be compared with the first one."""
        if any(each.family in (Family.NULL, Family.CONDITION) for each in values):
            raise Untranslatable("it compares with NULL")
        known = next((each for each in values if each.literal is None), values[0])
        if any(each.family in TEXTS for each in values) and known.family in TEXTS:
            self.notes.compares_text = True
        return [self._comparable(each, known) for each in values]

    def _comparable(self, value: Said, known: Said) -> str:
        pair = {value.family, known.family}
        if known.native == "real" and value.family is Family.DECIMAL:
            return f"({value.sql})::real"
        if len(pair) == 1 or pair <= set(NUMBERS) or pair <= set(TEXTS) or pair <= set(DATES):
            return value.sql
        numbers_as_text = known.family in TEXTS and value.family in NUMBERS
        if value.literal and known.family is Family.BIT and not _is_bit(value.literal):
            raise Untranslatable("it compares a bit with what no bit is")
        if value.literal and not numbers_as_text:
            return self.to(value, known.family)
        if value.family is Family.BIT and known.family is Family.INTEGER:
            return self.to(value, known.family)
        if value.family in DATES and known.family is Family.INSTANT:
            return self.to(value, known.family)
        raise Untranslatable(f"it compares {value.family} with {known.family}")

    # From one family to another.

    def to(self, value: Said, family: Family, style: int = 0) -> str:
        """SQL for the value as one of that family. Raises Untranslatable."""
        if value.family in (family, Family.NULL) or (value.family in TEXTS and family in TEXTS):
            return value.sql
        if value.literal:
            if found := written(value.literal, family, style):
                return found
        elif found := converted(value, family):
            return found
        raise Untranslatable(f"{value.family} stands where {family} is wanted")

    # Functions.

    def _call(self, node: Call) -> Said:
        if node.name == "convert" and node.type:
            return self._convert(node.type, node.arguments)
        plain = PLAIN.get(node.name)
        if plain and not node.arguments:
            if self.exact and node.name not in STEADY:
                raise Untranslatable(f"{node.name} gives another value at another time")
            return Said(*plain)
        known = FUNCTIONS.get(node.name)
        if known is None or len(node.arguments) not in known:
            raise Untranslatable(f"the function {node.name[:128]} is not translated")
        return Functions(self).call(node.name, node.arguments)

    def _convert(self, type_name: TypeName, arguments: Sequence[Node]) -> Said:
        style = self._style(arguments[1:])
        family, target, width = named_type(type_name)
        if family in DATES and (day := self._day(arguments[0], style)):
            return Said(f"({day})::{target}", family)
        value = self.value(arguments[0])
        if family in TEXTS and value.family in DATES:
            if self.exact:
                raise Untranslatable("PostgreSQL computes no column with a date as a text")
            return Said(f"{styled(value, style)}::{target}", family, width=width)
        # A number that is too long for a text becomes a star in T-SQL, and is cut in PostgreSQL.
        self.notes.inexact |= value.family is Family.INTEGER and family in TEXTS and 0 < width < _LONG_NUMBER
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
        family, target, _ = named_type(node.type)
        inner, of = node.arguments[0], self.value(node.arguments[0])
        today = isinstance(inner, Call) and inner.name in ("getdate", "current_timestamp", "sysdatetime")
        whole = style in STYLES and target not in TOO_SHORT and style != 108
        if "HH24" in STYLES.get(style, ""):
            whole = whole and target in ("char(10)", "varchar(10)")
        short = style in SHORT_STYLES and today and target not in TOO_SHORT
        same = family in TEXTS and of.family in DATES and style == self._style(node.arguments[1:])
        return f"({of.sql})::date" if same and (whole or short) else ""
