"""Turns one table of another kind of source into statements: its columns, its keys and indexes, its checks."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from sterna.core.plan import Path
from sterna.core.schema import Column, Condition, ForeignKey, Index, Kind, Table
from sterna.engines.postgres.foreign.drafts import Drafted, Left, Order
from sterna.engines.postgres.foreign.expressions import Translated, Translator
from sterna.engines.postgres.foreign.identities import countable, counting, described, following
from sterna.engines.postgres.foreign.naming import column_name, fitted, unlike
from sterna.engines.postgres.foreign.tsql import Untranslatable
from sterna.engines.postgres.foreign.types import longest, numbers_changes, type_of
from sterna.engines.postgres.names import literal, quoted, shown

if TYPE_CHECKING:
    from sterna.engines.postgres.foreign.drafting import Drafting

DIALECT = "tsql"
"""The one language whose expressions are translated."""
NULLS_SINCE = 150000
INCLUDE_SINCE = 110000
MOST_INDEXED = 32
"""Columns that an index may have (``INDEX_MAX_KEYS``)."""
MOST_INDEX_BYTES = 2600
"""Of an entry of an index, 2704 with its head: rows with more could not be written (a third of a page)."""
GENERATED_SINCE = 120000


def columns_of(table: Table) -> Mapping[str, Column]:
    return {column.name: column for column in table.columns}


@dataclass
class OfTable:
    """The work on one of them."""

    all: "Drafting"
    table: Table
    to: Path
    names: Mapping[str, str]
    translator: Translator
    _there: set[str] = field(default_factory=set, init=False)
    """The columns that are made."""

    def run(self) -> Drafted:
        generated = self._generated() if self.all.version >= GENERATED_SINCE else self._ungenerated()
        stored = [column for column in self.table.columns if column.stored]
        by_name = columns_of(self.table)
        if self.table.trouble:
            self.all.left.append(Left("rows of table", shown(self.table.path), "", self.table.trouble))
        for column in self.table.columns:
            if column.identity and column.type.kind is not Kind.INTEGER and not countable(column):
                self._leave("identity", column.name, described(column), "PostgreSQL numbers up to 2^63 alone")
        return Drafted(
            self.table,
            self.to,
            tuple(self.names[column.name] for column in stored),
            self._create(generated),
            self._create({}),
            tuple((name, by_name[name].computed) for name in generated),
            (*self._defaults(), *self._counters()),
            tuple(self._comments(generated)),
            tuple(
                following(self._quoted, self.names[column.name], column)
                for column in self.table.columns
                if column.identity and column.type.kind is Kind.INTEGER
            ),
            tuple(self._indexes(generated)),
            (*self._checks(), *self._foreign()),
        )

    @property
    def _quoted(self) -> str:
        return quoted(*self.to[1:])

    def _leave(self, kind: str, name: str, text: str, why: object) -> None:
        self.all.left.append(Left(kind, f"{shown(self.table.path)}.{name}", text, str(why)))

    # Columns.

    def _generated(self) -> dict[str, str]:
        """The expressions of computed columns, as far as they have a counterpart."""
        found = {}
        for column in self.table.columns:
            if column.computed:
                try:
                    said = self._translated(column.computed, partial(self.translator.computed, column=column))
                    if said.notes.compares_text and column.stored:
                        raise Untranslatable("it compares texts, which PostgreSQL does with regard to case")
                    found[column.name] = said.sql
                    if said.notes.compares_text:
                        self.all.compares.append(f"{shown(self.table.path)}.{column.name}")
                except Untranslatable as why:
                    self._left_computed(column, why)
        return found

    def _ungenerated(self) -> dict[str, str]:
        for column in self.table.columns:
            if column.computed:
                self._left_computed(column, "PostgreSQL has computed columns from 12 on")
        return {}

    def _left_computed(self, column: Column, why: object) -> None:
        kept = "an ordinary column with the values of now" if column.stored else "no column"
        self._leave("computed column", column.name, column.computed, f"{kept}: {why}")

    def _translated(self, text: str, how: Callable[[str], Translated]) -> Translated:
        if self.all.schema.dialect != DIALECT:
            raise Untranslatable(f"the language {self.all.schema.dialect} is not known")
        return how(text)

    def _create(self, generated: Mapping[str, str]) -> str:
        columns = []
        for column in self.table.columns:
            if column.computed and not column.stored and column.name not in generated:
                continue
            columns.append(self._column(column, generated.get(column.name)))
        return f"CREATE TABLE {self._quoted} ({', '.join(columns)})"

    def _column(self, column: Column, expression: str | None) -> str:
        words = [quoted(self.names[column.name]), type_of(column.type)]
        if expression is not None:
            words.append(f"GENERATED ALWAYS AS ({expression}) STORED")
        if column.identity and column.type.kind is Kind.INTEGER:
            words.append(f"GENERATED BY DEFAULT AS IDENTITY ({self._sequence(column)}{counting(column)})")
        if not column.nullable and not (column.computed and expression is None) and not numbers_changes(column):
            words.append("NOT NULL")
        return " ".join(words)

    def _defaults(self) -> Iterable[tuple[str, str, str]]:
        for column in self.table.columns:
            if not column.default or column.identity or column.computed:
                continue
            try:
                said = self._translated(column.default, partial(self.translator.value, column=column))
            except Untranslatable as why:
                self._leave("default", column.name, column.default, why)
                continue
            name = self.names[column.name]
            sql = f"ALTER TABLE {self._quoted} ALTER COLUMN {quoted(name)} SET DEFAULT ({said.sql})"
            yield name, sql, column.default

    def _sequence(self, column: Column) -> str:
        """A name for the sequence behind an identity, where a table is to have the one that it would get."""
        usual = f"{self.to[2]}_{self.names[column.name]}_seq"
        if not self.all.has(self.to[:2], usual):
            return ""
        return f"SEQUENCE NAME {quoted(self.to[1], unlike(self.to[2], usual))} "

    def _counters(self) -> Iterable[tuple[str, str, str]]:
        """Sequences for identities that are decimals: PostgreSQL has identities of whole numbers alone."""
        for column in self.table.columns:
            if column.identity and countable(column):
                name = quoted(self.names[column.name])
                sequence = quoted(self.to[1], unlike(self.to[2], f"{self.to[2]}_{self.names[column.name]}_seq"))
                sql = (
                    f"CREATE SEQUENCE {sequence} {counting(column, column.identity.following)} "
                    f"OWNED BY {self._quoted}.{name}; ALTER TABLE {self._quoted} ALTER COLUMN {name} "
                    f"SET DEFAULT nextval({literal(sequence)}::regclass)"
                )
                yield self.names[column.name], sql, described(column)

    def _comments(self, generated: Mapping[str, str]) -> Iterable[str]:
        if self.table.comment:
            yield f"COMMENT ON TABLE {self._quoted} IS {_text(self.table.comment)}"
        for column in self.table.columns:
            if column.comment and (column.stored or column.name in generated):
                name = f"{self._quoted}.{quoted(self.names[column.name])}"
                yield f"COMMENT ON COLUMN {name} IS {_text(column.comment)}"

    # Keys and indexes.

    def _indexes(self, generated: Mapping[str, str]) -> Iterable[Order]:
        there = self._there = {
            column.name for column in self.table.columns if column.stored or column.name in generated
        }
        key = self.table.primary
        if key and self._has("primary key", key.name, key.columns, there):
            yield self._constraint("key", key.name, f"PRIMARY KEY ({self._list(key.columns)})", key.columns)
        for key in self.table.uniques:
            if self._has("unique constraint", key.name, key.columns, there):
                words = f"UNIQUE{self._one_null(key.name, key.columns)} ({self._list(key.columns)})"
                yield self._constraint("unique", key.name, words, key.columns)
        for index in self.table.indexes:
            names = (*(name for name, _ in index.columns), *index.include)
            if self._has("index", index.name, names, there):
                order = self._index(index)
                if order:
                    yield order

    def _has(self, kind: str, name: str, columns: Sequence[str], there: set[str]) -> bool:
        missing = [column for column in columns if column not in there]
        if missing:
            self._leave(kind, name, ", ".join(columns), f"it needs {', '.join(missing)}, which is left out")
        return not missing

    def _compares(self, name: str, columns: Iterable[str]) -> None:
        """Note a key that lets in more than on the source, where 'a' and 'A ' may be the same."""
        known = columns_of(self.table)
        if any(known[each].type.kind is Kind.TEXT for each in columns if each in known):
            self.all.compares.append(f"{shown(self.table.path)}.{name}")

    def _constraint(self, kind: str, name: str, words: str, columns: Sequence[str]) -> Order:
        self._compares(name, columns)
        given = self.all.give(self.to[:2], name, self.to[2])
        other = unlike(self.to[2], given)
        sql = f"ALTER TABLE {self._quoted} ADD CONSTRAINT "
        return Order(
            kind,
            given,
            self.to,
            f"{sql}{quoted(given)} {words}",
            f"{name} ({', '.join(columns)})",
            other_name=other,
            other_sql=f"{sql}{quoted(other)} {words}",
        )

    def _one_null(self, name: str, columns: Sequence[str]) -> str:
        """SQL Server takes NULL once in a unique key, as PostgreSQL does from 15 on, if it is told to."""
        by_name = columns_of(self.table)
        if not any(by_name[column].nullable for column in columns if column in by_name):
            return ""
        if self.all.version >= NULLS_SINCE:
            return " NULLS NOT DISTINCT"
        self._leave(
            "one NULL in a unique key", name, ", ".join(columns), "before 15, PostgreSQL takes any number of them"
        )
        return ""

    def _index(self, index: Index) -> Order | None:
        where = ""
        if index.where:
            try:
                said = self._condition(index.where, f"{shown(self.table.path)}.{index.name}")
                where = f" WHERE {said.sql}"
            except Untranslatable as why:
                self._leave("filtered index", index.name, index.where, why)
                return None
        name = self.all.give(self.to[:2], index.name, self.to[2])
        columns = ", ".join(
            f"{quoted(self.names[column])}{' DESC' if descending else ''}" for column, descending in index.columns
        )
        include = self._included(index)
        included = f" INCLUDE ({self._list(include)})" if include else ""
        nulls = self._one_null(index.name, [column for column, _ in index.columns]) if index.unique else ""
        unique = "UNIQUE " if index.unique else ""
        if index.unique and not where:
            self._compares(index.name, dict(index.columns))
        rest = f" ON {self._quoted} ({columns}){included}{nulls}{where}"
        sql, other = f"CREATE {unique}INDEX ", unlike(self.to[2], name)
        source = f"{index.name} ({', '.join(dict(index.columns))}) {index.where}".rstrip()
        return Order(
            "index",
            name,
            self.to,
            sql + quoted(name) + rest,
            source,
            other_name=other,
            other_sql=sql + quoted(other) + rest,
        )

    def _included(self, index: Index) -> Sequence[str]:
        """The columns that an index carries along. Long ones would not fit into it, nor more than 32 in all."""
        if self.all.version < INCLUDE_SINCE:
            return ()
        by_name = columns_of(self.table)
        wanted = [column for column in index.include if column not in dict(index.columns)]
        room = MOST_INDEX_BYTES - sum(longest(by_name[column]) for column, _ in index.columns if column in by_name)
        kept: list[str] = []
        for column in wanted:
            size = longest(by_name[column])
            if size <= room and len(kept) < MOST_INDEXED - len(index.columns):
                kept.append(column)
                room -= size
        if len(kept) < len(wanted):
            lacking = ", ".join(column for column in wanted if column not in kept)
            self._leave("included columns", index.name, lacking, "an index of PostgreSQL has no room for them")
        return kept

    def _list(self, columns: Iterable[str]) -> str:
        return ", ".join(quoted(self.names[column]) for column in columns)

    # Checks and foreign keys.

    def _checks(self) -> Iterable[Order]:
        for check in self.table.checks:
            if order := self._check(check):
                yield order

    def _check(self, check: Condition) -> Order | None:
        if not check.enabled:
            self._leave("check", check.name, check.text, "it is disabled")
            return None
        try:
            said = self._condition(check.text, f"{shown(self.table.path)}.{check.name}")
        except Untranslatable as why:
            self._leave("check", check.name, check.text, why)
            return None
        return self._rule("check", check.name, f"CHECK {said.sql}", check.text, trusted=check.trusted)

    def _rule(self, kind: str, name: str, words: str, source: str, *, trusted: bool) -> Order:
        """A check or a foreign key; what SQL Server does not trust counts for new rows alone, as there."""
        given = fitted(name)
        other = unlike(self.to[2], given)
        sql, other_sql = (
            f"ALTER TABLE {self._quoted} ADD CONSTRAINT {quoted(each)} {words}" for each in (given, other)
        )
        unproven = f"{sql} NOT VALID"
        if not trusted:
            return Order(
                kind, given, self.to, unproven, source, other_name=other, other_sql=f"{other_sql} NOT VALID"
            )
        return Order(kind, given, self.to, sql, source, unproven, other, other_sql)

    def _condition(self, text: str, name: str) -> Translated:
        said = self._translated(text, self.translator.condition)
        if said.notes.compares_text:
            self.all.compares.append(name)
        return said

    def _foreign(self) -> Iterable[Order]:
        for key in self.table.foreign:
            if order := self._foreign_key(key):
                yield order

    def _foreign_key(self, key: ForeignKey) -> Order | None:
        source = f"({', '.join(key.columns)}) REFERENCES {shown(key.target)} ({', '.join(key.target_columns)})"
        if not key.enabled:
            self._leave("foreign key", key.name, source, "it is disabled")
            return None
        if not self._has("foreign key", key.name, key.columns, self._there):
            return None
        path = (self.table.path[0], *key.target)
        target = self.all.target(path)
        if target is None or target[0] != self.to[0]:
            self._leave("foreign key", key.name, source, f"{shown(path)} is not moved")
            return None
        theirs = ", ".join(quoted(column_name(column)) for column in key.target_columns)
        words = (
            f"FOREIGN KEY ({self._list(key.columns)}) REFERENCES {quoted(*target[1:])} ({theirs})"
            f" ON DELETE {_ACTIONS.get(key.on_delete.upper().replace('_', ' '), 'NO ACTION')}"
            f" ON UPDATE {_ACTIONS.get(key.on_update.upper().replace('_', ' '), 'NO ACTION')}"
        )
        return self._rule("foreign key", key.name, words, source, trusted=key.trusted)


_ACTIONS = {each: each for each in ("NO ACTION", "CASCADE", "SET NULL", "SET DEFAULT")}


def _text(text: str) -> str:
    return literal(text.replace("\0", "�").encode("utf-8", "replace").decode())
