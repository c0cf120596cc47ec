"""Definitions as PostgreSQL prints them, with other names in them.

Our sessions have no search path, so PostgreSQL qualifies every name that is not its own: a table is always
``schema.table``. The text is cut into tokens, and a pair of names that is known is replaced. What stands in
string literals and function bodies stays as it is, apart from names cast to ``regclass`` and its like.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from sterna.engines.postgres.names import quoted

Pair = tuple[str, str]

_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<dollar>\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?\$(?P=tag)\$)
      | (?P<text>[eE]'(?:[^'\\]|''|\\.)*'|[bBxX]?'(?:[^']|'')*')
      | (?P<name>"(?:[^"]|"")*"|[^\W\d][\w$]*)
      | (?P<number>\d[\w.]*)
      | (?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_REFERENCES = {"regclass", "regtype", "regproc", "regprocedure", "regoper", "regoperator", "regconfig"}
_REFERENCES |= {"regdictionary", "regcollation"}
_BEFORE_TABLE = {"from", "join", "only", "(", ",", "update", "into"}
_NO_ALIAS = {
    *("on", "using", "where", "group", "order", "having", "window", "limit", "offset", "fetch", "for", "union"),
    *("intersect", "except", "join", "left", "right", "full", "inner", "cross", "natural", "tablesample", "set"),
    *("values", "select", "default", "overriding", "returning", "with", "do"),
}


@dataclass(slots=True)
class Token:
    kind: str
    text: str

    @property
    def name(self) -> str:
        """A name as the catalogue has it."""
        return self.text[1:-1].replace('""', '"') if self.text.startswith('"') else self.text.lower()

    @property
    def word(self) -> str:
        """A keyword or sign; empty for a name in quotes."""
        return "" if self.text.startswith('"') else self.text.lower()


def tokens(text: str) -> Iterator[Token]:
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or ""
        yield Token("dollar" if kind == "tag" else kind, match.group())


def plain(identity: str) -> str:
    """An identity written the same way by every version: names in quotes only where they need them."""
    return "".join(_plain(token) for token in tokens(identity))


def _plain(token: Token) -> str:
    if token.kind != "name" or re.fullmatch(r"[a-z_][a-z0-9_]*", token.name):
        return token.name if token.kind == "name" else token.text
    return quoted(token.name)


@dataclass(frozen=True, slots=True)
class Renaming:
    """Which names become which. ``pairs`` are relations, ``schemas`` hold everything else."""

    pairs: Mapping[Pair, Pair] = field(default_factory=dict)
    schemas: Mapping[str, str] = field(default_factory=dict)
    known: frozenset[Pair] = frozenset()
    """What the renamed schemas hold: a pair of names that is not among them is a column."""

    def __bool__(self) -> bool:
        return bool(self.pairs or self.schemas)

    def schema(self, name: str) -> str:
        return self.schemas.get(name, name)

    def pair(self, schema: str, name: str) -> Pair:
        """What a thing in a schema is called on the target."""
        return self.pairs.get((schema, name)) or (self.schema(schema), name)

    def text(self, sql: str, query: str = "") -> str:
        """A statement in the target's names. ``query``: see ``Item.query``."""
        if not self:
            return sql
        return "".join(token.text for token in self._renamed(list(tokens(sql)), query))

    def _renamed(self, all_tokens: list[Token], query: str) -> Iterator[Token]:
        solid = [token for token in all_tokens if token.kind != "space"]
        in_query = query == "query"
        outer = self._outer(query)
        for place, token in enumerate(solid):
            before = solid[place - 1].word if place else ""
            in_query = in_query or (query == "body" and _opens_body(token.word, before))
            if token.kind == "text" and _is_reference(solid, place):
                _set(token, self._reference(token.text))
            elif token.kind == "name" and before != ".":
                self._rename_here(solid, place, in_query or bool(outer), outer)
        yield from all_tokens

    def _outer(self, query: str) -> tuple[str, str] | None:
        """A policy calls its table by name where it has to: the old and the new one."""
        if not query.startswith("policy:"):
            return None
        schema, _, name = [token.name for token in tokens(query.removeprefix("policy:"))]
        return name, self.pair(schema, name)[1]

    def _rename_here(self, solid: list[Token], place: int, in_query: bool, outer: tuple[str, str] | None) -> None:
        if place + 2 >= len(solid) or solid[place + 1].text != ".":
            return
        first, second = solid[place], solid[place + 2]
        if second.kind != "name":
            if first.name in self.schemas and _names_operator(solid, place):
                _set(first, quoted(self.schemas[first.name]))
            return
        old = (first.name, second.name)
        new = self._found(old)
        if new is not None:
            alias = in_query and new[1] != old[1] and self._wants_alias(solid, place)
            _set(first, quoted(new[0]))
            _set(second, quoted(new[1]) + (f" AS {quoted(old[1])}" if alias else ""))
        elif outer and first.name == outer[0]:
            _set(first, quoted(outer[1]))

    def _found(self, pair: Pair) -> Pair | None:
        if pair in self.pairs:
            return self.pairs[pair]
        if pair[0] in self.schemas and pair in self.known:
            return self.schemas[pair[0]], pair[1]
        return None

    def _wants_alias(self, solid: list[Token], place: int) -> bool:
        """Whether a table stands in FROM under its own name, by which columns are then called."""
        before = solid[place - 1].word if place else ""
        if before not in _BEFORE_TABLE:
            return False
        after = solid[place + 3] if place + 3 < len(solid) else Token("other", "")
        return after.kind != "name" or after.word in _NO_ALIAS

    def _reference(self, text: str) -> str:
        inside = text[1:-1].replace("''", "'")
        return "'" + self.text(inside).replace("'", "''") + "'"


def _opens_body(word: str, before: str) -> bool:
    return word == "return" or (word == "atomic" and before == "begin")


def _names_operator(solid: list[Token], place: int) -> bool:
    """``OPERATOR(schema.+)``, ``OPERATOR schema.+``, ``OPERATOR 1 schema.+`` or all there is."""
    before = [token.word for token in solid[max(0, place - 2) : place]]
    return not before or before[-1] == "operator" or before[0] == "operator"


def _is_reference(solid: list[Token], place: int) -> bool:
    """Whether a literal is cast to a kind of object."""
    after = [token.word for token in solid[place + 1 : place + 4]]
    return after[:2] == [":", ":"] and after[2:3] != [] and after[2] in _REFERENCES


def _set(token: Token, text: str) -> None:
    token.text = text
