"""The functions of T-SQL that have a counterpart."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from sterna.engines.postgres.foreign.families import DATES, NUMBERS, TEXTS, Family, Notes, Said, unpadded
from sterna.engines.postgres.foreign.tsql import Named, Node, Untranslatable

_NOW, _UTC = "localtimestamp({})", "(now() AT TIME ZONE 'UTC')"
PLAIN: Mapping[str, tuple[str, Family]] = {
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
STEADY = ("pi",)
"""Those of them that give the same value each time: PostgreSQL computes no column with others."""

FUNCTIONS: Mapping[str, Sequence[int]] = {
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


class Work(Protocol):
    """The translation that a function is a part of."""

    notes: Notes
    exact: bool

    def value(self, node: Node) -> Said: ...

    def to(self, value: Said, family: Family, style: int = 0) -> str: ...

    def same(self, values: Sequence[Said]) -> tuple[list[str], Family]: ...

    def together(self, values: Sequence[Said]) -> list[str]: ...

    def case(self, base: Node | None, whens: Sequence[tuple[Node, Node]], default: Node | None) -> Said: ...


class Functions:
    """The functions of ``FUNCTIONS``, each in a method of its own name."""

    def __init__(self, work: Work) -> None:
        self._work = work

    def call(self, name: str, arguments: Sequence[Node]) -> Said:
        said: Said = getattr(self, f"_{name}")(*arguments)
        return said

    def _coalesce(self, *nodes: Node) -> Said:
        texts, family = self._work.same([self._work.value(node) for node in nodes])
        return Said(f"coalesce({', '.join(texts)})", family)

    def _isnull(self, value: Node, instead: Node) -> Said:
        first = self._work.value(value)
        if first.family is Family.NULL:
            raise Untranslatable("an ISNULL of NULL")
        other = self._work.value(instead)
        self._fits(first, other)
        family = Family.TEXT if first.family is Family.PADDED else first.family
        width = first.width if first.family is Family.TEXT else 0
        return Said(f"coalesce({first.sql}, {self._work.to(other, first.family)})", family, width=width)

    def _fits(self, first: Said, other: Said) -> None:
        """Raises Untranslatable where ISNULL would cut the other value, or fill it up, as COALESCE does not."""
        if first.family not in TEXTS:
            return
        if self._work.exact and first.family is Family.PADDED:
            raise Untranslatable("it chooses between padded texts")
        longest = len(other.literal.text) if other.literal else other.width
        unknown = not other.literal and not other.width and other.family is not Family.NULL
        if first.width and (longest > first.width or (unknown and self._work.exact)):
            raise Untranslatable("an ISNULL cuts what it puts instead of NULL")

    def _nullif(self, value: Node, other: Node) -> Said:
        first, second = self._work.value(value), self._work.value(other)
        if first.literal:
            raise Untranslatable("a NULLIF of what is written out")
        one, two = self._work.together([first, second])
        return Said(f"nullif({one}, {two})", first.family, width=first.width)

    def _iif(self, condition: Node, then: Node, otherwise: Node) -> Said:
        return self._work.case(None, [(condition, then)], otherwise)

    def _concat(self, *nodes: Node) -> Said:
        parts = []
        for node in nodes:
            value = self._work.value(node)
            text = unpadded(value) if value.family in TEXTS else self._work.to(value, Family.TEXT)
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
        if value.family not in TEXTS:
            raise Untranslatable(f"{value.family} stands where a text is wanted")
        return unpadded(value) if self._work.exact or padded else value.sql

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
        if value.family not in NUMBERS:
            raise Untranslatable(f"{value.family} stands where a number is wanted")
        return value

    def _moment(self, node: Node) -> Said:
        value = self._work.value(node)
        if value.literal and value.family is Family.TEXT:
            return Said(self._work.to(value, Family.TIMESTAMP), Family.TIMESTAMP)
        if value.family not in DATES:
            raise Untranslatable(f"{value.family} stands where a date is wanted")
        return value

    def _unit(self, node: Node) -> str:
        if not isinstance(node, Named) or node.name.lower() not in _UNITS:
            raise Untranslatable("a unit of time that is not understood")
        return _UNITS[node.name.lower()]
