"""From items in the source's names to statements in the target's."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sterna.core.plan import Selection
from sterna.engines.postgres.names import quoted
from sterna.engines.postgres.schema.renaming import Renaming, plain
from sterna.engines.postgres.schema.rights import Annotations, comment_orders, grant_orders, owner_order
from sterna.engines.postgres.schema.things import Item, LeftOut, Order, Statement

_STANDING = ("public", "pg_catalog")
"""Schemas that every database begins with."""


LAST = ("firing", "event trigger")
"""Kinds that would act on the changes that are still applied, or on our own statements."""

_NAMING_A_SCHEMA = ("extension", "default privileges")


@dataclass(frozen=True, slots=True)
class Drafter:
    """Writes items down as statements."""

    renaming: Renaming
    annotations: Annotations
    target: int
    """The target's ``server_version_num``."""
    maker: str
    """The target's user."""

    def statement(self, item: Item) -> Statement:
        """What makes the item on the target."""
        return Statement(
            number=0,
            kind=item.kind,
            name=self._identity(item.identity),
            orders=tuple(self._order(order, item.query) for order in self._with_schema(item)),
            locks=item.locks,
            shares=item.shares,
            weight=item.weight,
            essential=item.essential,
            last=item.kind in LAST,
        )

    def _with_schema(self, item: Item) -> Iterator[Order]:
        """What names a schema alone has a place for it; everything else names a pair."""
        for order in item.orders:
            if item.kind in _NAMING_A_SCHEMA and item.path:
                order = replace(
                    order, sql=order.sql.replace("{schema}", quoted(self.renaming.schema(item.path[0])))
                )
            yield order

    def _order(self, order: Order, query: str) -> Order:
        return Order(self.renaming.text(order.sql, query), order.type, self._identity(order.identity))

    def _identity(self, identity: str) -> str:
        return plain(self.renaming.text(identity))

    def schemas(
        self, schemas: Sequence[Item], taken: Iterable[Item], selection: Selection, database: str
    ) -> tuple[Sequence[Statement], Sequence[Item]]:
        """What makes the target's schemas; and the source's schemas that they come from, under their new names."""
        needed = {self._schema_of(item) for item in taken if item.path}
        staying = {item.path[0] for item in taken if item.path and self._schema_of(item) == self._home(item)}
        made, kept = [], []
        for schema in schemas:
            name = schema.path[0]
            if name in staying or selection.place((database, name)):
                needed.add(self.renaming.schema(name))
                new = quoted(self.renaming.schema(name))
                kept.append(replace(schema, identity=new))
        for name in sorted(needed - set(_STANDING)):
            order = Order(f"CREATE SCHEMA IF NOT EXISTS {quoted(name)}", "schema", plain(quoted(name)))
            made.append(Statement(0, "schema", name, (order,), essential=True))
        return made, kept

    def _schema_of(self, item: Item) -> str:
        return self.renaming.pair(item.path[0], item.path[1])[0]

    def _home(self, item: Item) -> str:
        return self.renaming.schema(item.path[0])

    def endings(self, items: Iterable[Item]) -> Iterator[Statement]:
        """Comments, then grants and owners: last, as they may take rights from ourselves."""
        all_items = list(items)
        for item in all_items:
            if item.kind == "database":
                yield from self._endings("setting", item, item.orders)
        for item in all_items:
            yield from self._endings("comment", item, comment_orders(item, self._comments(item)))
        for item in all_items:
            rights = self.annotations.rights.get(item.key)
            if rights:
                yield from self._endings("grant", item, grant_orders(item, rights, self.target))
        for item in all_items:
            rights = self.annotations.rights.get(item.key)
            order = owner_order(item, rights.owner, self.maker) if rights else None
            if order:
                yield from self._endings("owner", item, [order])

    def _comments(self, item: Item) -> Sequence[tuple[int, str, str]]:
        found = self.annotations.comments.get(item.key, ())
        if item.kind != "type":
            return found
        rows = [self.annotations.comments.get(part, ()) for part in item.parts if part.startswith("pg_class/")]
        return [*found, *(each for row in rows for each in row)]

    def _endings(self, kind: str, item: Item, orders: Iterable[Order]) -> Iterator[Statement]:
        final = item.kind in ("schema", "database")  # these are called by their new names already
        all_orders = tuple(order if final else self._order(order, "") for order in orders)
        name = item.identity if final else self._identity(item.identity)
        if all_orders:
            yield Statement(0, kind, f"{item.type} {name}", all_orders, last=item.kind in LAST)

    def named_roles(self, items: Iterable[Item]) -> frozenset[str]:
        """Roles that own something taken, have a right to it, or are named by it."""
        found = set()
        for item in items:
            found |= set(item.roles)
            rights = self.annotations.rights.get(item.key)
            if rights:
                acls = [rights.acl or (), *rights.columns.values()]
                found |= {rights.owner, *(grantee for acl in acls for grantee, _, _ in acl)}
        return frozenset(found - {""})

    def objects(self, items: Iterable[Item], schemas: Iterable[Statement]) -> Mapping[str, tuple[str, ...]]:
        """Type of object: the identities that the target has in the end."""
        found: dict[str, set[str]] = defaultdict(set)
        for schema in schemas:
            found["schema"].add(plain(quoted(schema.name)))
        for item in items:
            for order in item.orders:
                if order.type and order.type != "inheritance":
                    found[order.type].add(self._identity(order.identity))
        return {kind: tuple(sorted(found[kind])) for kind in sorted(found)}

    def told(self, items: Iterable[Item]) -> Iterator[LeftOut]:
        """Bodies in a language of their own that seem to name something that is called otherwise now."""
        words = self._old_words()
        if not words:
            return
        for item in items:
            found = sorted({match for match in re.findall(r"[^\W\d][\w$]*", item.body) if match.lower() in words})
            if found:
                why = f"its body is moved as it is, and names {', '.join(found)}, which the target calls otherwise"
                yield LeftOut("renamed words", item.identity, why)

    def _old_words(self) -> frozenset[str]:
        words = {schema.lower() for schema in self.renaming.schemas}
        for (schema, name), (new_schema, new_name) in self.renaming.pairs.items():
            words |= {name.lower()} if name != new_name else set()
            words |= {f"{schema}".lower()} if schema != new_schema and name == new_name else set()
        return frozenset(words)
