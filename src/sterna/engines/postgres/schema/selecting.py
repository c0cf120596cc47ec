"""Which of the items that were read are taken: what the plan selects, and what that needs."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from sterna.core.plan import Selection
from sterna.engines.postgres.catalogue import taken
from sterna.engines.postgres.schema.depending import Needs
from sterna.engines.postgres.schema.things import Item, Key, LeftOut

RELATIONS = ("table", "foreign table", "view", "materialized view")
"""Kinds that are taken because they are selected, never because something needs them."""


@dataclass
class Choice:
    """Finds out, item by item, what is taken and why something is not."""

    items: Mapping[Key, Item]
    needs: Needs
    selection: Selection
    database: str
    _whys: dict[Key, str] = field(default_factory=dict)
    _wanted: dict[Key, bool] = field(default_factory=dict)
    _columns: dict[Key, frozenset[int]] = field(default_factory=dict)

    def taken(self) -> tuple[Mapping[Key, Item], tuple[LeftOut, ...]]:
        """What is taken, with its orders as they are to be run, and what is wanted but cannot be."""
        chosen: dict[Key, Item] = {}
        left_out = []
        for item in self.items.values():
            if not self.wanted(item):
                continue
            why = self.why_not(item)
            if why:
                left_out.append(LeftOut(item.kind, item.identity, why))
            else:
                self._take(item, chosen)
        left_out += [
            LeftOut(f"part of {item.kind}", item.identity, item.told[1:])
            for item in chosen.values()
            if item.told.startswith("+")
        ]
        return chosen, tuple(left_out)

    def wanted(self, item: Item) -> bool:
        """Whether the plan selects it, or the table that it is a part of."""
        if item.key not in self._wanted:
            self._wanted[item.key] = self._is_wanted(item)
        return self._wanted[item.key]

    def _is_wanted(self, item: Item) -> bool:
        holder = item.of or item.owner_table
        if holder and holder in self.items:
            return self.wanted(self.items[holder]) and not (item.of and self.why_not(self.items[holder]))
        if item.kind == "table":
            root = (self.database, *item.root) if item.root else None
            return taken(self.selection, (self.database, *item.path), root) is not None
        path = item.path if item.kind in (*RELATIONS, "sequence") else item.path[:1]
        return self.selection.place((self.database, *path)) is not None

    def why_not(self, item: Item) -> str:
        """Why it cannot be taken; empty: it can."""
        if item.key not in self._whys:
            self._whys[item.key] = ""  # in a circle the others decide
            self._whys[item.key] = self._look(item)
        return self._whys[item.key]

    def _look(self, item: Item) -> str:
        if item.told and not item.told.startswith("+"):
            return item.told
        if item.kind in RELATIONS and not self.wanted(item):
            return "it is not selected"
        for table, number in self.needs.columns.get(item.key, ()):
            if number not in self._numbers(table):
                return f"it needs a column of {self.items[table].identity} that is left out"
        for needed in sorted(self.needs.of(item)):
            other = self.items.get(needed)
            if other and self.why_not(other):
                return f"it needs the {other.kind} {other.identity}, which is not moved: {self.why_not(other)}"
            if other is None and needed in item.needs:
                return "it belongs to something that is not moved"
        return ""

    def _numbers(self, table: Key) -> frozenset[int]:
        """The columns of a table that are taken."""
        if table not in self._columns:
            self._columns[table] = frozenset(number for number, _ in self.items[table].columns)
        return self._columns[table]

    def _take(self, item: Item, chosen: dict[Key, Item]) -> None:
        waiting = [item]
        while waiting:
            each = waiting.pop()
            if each.key not in chosen:
                chosen[each.key] = self._as_taken(each)
                waiting += [self.items[needed] for needed in self.needs.of(each) if needed in self.items]

    def _as_taken(self, item: Item) -> Item:
        """A table whose parents are not all taken stands alone."""
        if all(each in self.items and not self.why_not(self.items[each]) for each in item.above):
            return item
        return replace(item, orders=item.alone)
