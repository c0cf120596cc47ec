"""Turns what a source of another kind describes into statements for PostgreSQL, and says what was left out."""

from dataclasses import dataclass, field

from sterna.core.errors import Unsupported
from sterna.core.plan import Path, Selection
from sterna.core.schema import Schema, Table
from sterna.engines.postgres.foreign.drafts import Draft, Drafted, Left
from sterna.engines.postgres.foreign.expressions import Translator
from sterna.engines.postgres.foreign.naming import Taken, column_name, place, wanted
from sterna.engines.postgres.foreign.tabling import OfTable, columns_of
from sterna.engines.postgres.names import shown


def draft(schema: Schema, selection: Selection, version: int) -> Draft:
    """The statements for a server of that version. Raises Unsupported for two tables that would be one."""
    return Drafting(schema, selection, version).run()


@dataclass
class Drafting:
    """The work on all tables: where each goes, which names are taken, and what was left out."""

    schema: Schema
    selection: Selection
    version: int
    left: list[Left] = field(default_factory=list)
    renamed: list[tuple[str, str]] = field(default_factory=list)
    compares: list[str] = field(default_factory=list)
    _places: dict[Path, Path] = field(default_factory=dict)
    _sources: dict[Path, Path] = field(default_factory=dict)
    _taken: dict[Path, Taken] = field(default_factory=dict)

    def run(self) -> Draft:
        tables = [table for table in self.schema.tables if self._place(table.path)]
        drafted = {table.path: self._table(table) for table in tables}
        for leftover in self.schema.leftovers:
            if place(self.selection, leftover.path[:3]) is not None:
                why = leftover.why or "its language is not PostgreSQL's"
                self.left.append(Left(leftover.kind, shown(leftover.path), leftover.text, why))
        homes = {name: place(self.selection, (name,)) for name in self.schema.databases}
        without = {name: to[0] for name, to in homes.items() if to}
        return Draft(drafted, self.left, self.renamed, self.compares, without)

    def _place(self, path: Path) -> bool:
        to = place(self.selection, path)
        if to is None:
            return False
        other = self._sources.setdefault(to, path)
        if other != path:
            raise Unsupported(
                f"{shown(path)} and {shown(other)} would both be {shown(to)} on the target",
                hint="Choose other names for the databases on the target, or leave one of the tables out.",
            )
        self._places[path] = to
        self._taken.setdefault(to[:2], Taken()).names.add(to[2])
        if to[1:] != path[1:]:
            self.renamed.append((shown(path), shown(to)))
        asked = wanted(self.selection, path)
        named = (f"database {asked[0] if asked else path[0]}", to[0])
        if asked and asked[0] != to[0] and named not in self.renamed:
            self.renamed.append(named)
        return True

    def _table(self, table: Table) -> Drafted:
        names = self._names(table)
        work = OfTable(self, table, self._places[table.path], names, Translator(columns_of(table), names))
        return work.run()

    def _names(self, table: Table) -> dict[str, str]:
        names = {column.name: column_name(column.name) for column in table.columns}
        if len(set(names.values())) < len(names):
            raise Unsupported(f"Two columns of {shown(table.path)} would have the same name on the target")
        for old, new in names.items():
            if old != new:
                self.renamed.append((f"{shown(table.path)}.{old}", new))
        return names

    def target(self, path: Path) -> Path | None:
        """Where a table goes that another one refers to."""
        return self._places.get(path)

    def has(self, schema: Path, name: str) -> bool:
        """Whether a table or an index of the schema is to have that name."""
        return name in self._taken[schema].names

    def give(self, schema: Path, name: str, table: str) -> str:
        found = self._taken[schema].give(name, table)
        if found != name:
            self.renamed.append((f"{shown((*schema, table))}: {name}", found))
        return found
