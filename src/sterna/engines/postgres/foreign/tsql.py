"""Reads an expression of SQL Server's language (T-SQL): a default, a check, a computed column, a filter.

Only expressions: no queries, no variables, no assignments. Whatever is not known is refused with a reason, so that
nothing is translated by half. The grammar is the one of the T-SQL reference (Expressions, Search condition,
Operator precedence).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

LONGEST = 64 << 10
"""Characters of an expression; longer ones are refused."""
MOST_DIGITS = 60
DEEPEST = 60
"""How deep an expression may be nested."""


class Untranslatable(Exception):
    """An expression that has no proven counterpart; the reason is its text."""


@dataclass(frozen=True, slots=True)
class Literal:
    kind: str
    """``integer``, ``decimal``, ``float``, ``money``, ``text``, ``binary`` or ``null``."""
    text: str


@dataclass(frozen=True, slots=True)
class Named:
    """A column; or a bare word such as the ``day`` of ``dateadd(day, …)``."""

    name: str


@dataclass(frozen=True, slots=True)
class TypeName:
    """The type in a CAST or CONVERT. ``numbers``: what is in its brackets; ``-1`` for ``max``."""

    name: str
    numbers: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Call:
    """A function by its name in lower case."""

    name: str
    arguments: "tuple[Node, ...]"
    type: TypeName | None = None


@dataclass(frozen=True, slots=True)
class Unary:
    """``-``, ``+``, ``~`` or ``not``."""

    operator: str
    of: "Node"


@dataclass(frozen=True, slots=True)
class Binary:
    operator: str
    left: "Node"
    right: "Node"


@dataclass(frozen=True, slots=True)
class IsNull:
    of: "Node"
    negated: bool


@dataclass(frozen=True, slots=True)
class In:
    of: "Node"
    among: "tuple[Node, ...]"
    negated: bool


@dataclass(frozen=True, slots=True)
class Between:
    of: "Node"
    low: "Node"
    high: "Node"
    negated: bool


@dataclass(frozen=True, slots=True)
class Like:
    of: "Node"
    pattern: "Node"
    escape: str
    negated: bool


@dataclass(frozen=True, slots=True)
class Case:
    base: "Node | None"
    whens: "tuple[tuple[Node, Node], ...]"
    default: "Node | None"


Node = Literal | Named | Call | Unary | Binary | IsNull | In | Between | Like | Case

_TOKEN = re.compile(
    r"""(?P<blank>\s+|--[^\n]*(?:\n|$)|/\*.*?\*/)
      | (?P<text>N?'(?:[^']|'')*')
      | (?P<bracketed>\[(?:[^\]]|\]\])+\])
      | (?P<quoted>"(?:[^"]|"")+")
      | (?P<binary>0[xX](?:[0-9a-fA-F]{2})*(?![0-9A-Za-z_]))
      | (?P<money>\$[0-9]*\.?[0-9]*)
      | (?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?![\w$]))
      | (?P<word>[^\W\d][\w$]*)
      | (?P<sign><=|>=|<>|!=|!<|!>|[-+*/%&|^~=<>(),.])""",
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
_COMPARING = {"=", "<>", "!=", "<", "<=", ">", ">=", "!<", "!>"}
_SAME = {"!=": "<>", "!<": ">=", "!>": "<="}
_ADDING = {"+", "-", "&", "|", "^"}
_MULTIPLYING = {"*", "/", "%"}
_WITHOUT_BRACKETS = {"current_timestamp", "current_user", "session_user", "system_user", "user"}
_RESERVED = {"and", "or", "not", "in", "like", "between", "is", "case", "when", "then", "else", "end", "escape"}
_REFUSED = {
    "select": "a query",
    "exists": "a query",
    "next": "a sequence",
    "collate": "a collation of its own",
    "contains": "a full-text search",
    "freetext": "a full-text search",
}
_TYPED = {"convert", "try_convert"}


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str


def parsed(text: str) -> Node:
    """The expression. Raises Untranslatable."""
    if len(text) > LONGEST:
        raise Untranslatable("it is too long")
    if "\0" in text or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise Untranslatable("it has letters that PostgreSQL does not know")
    reader = _Reader(_tokens(text))
    try:
        node = reader.expression()
    except RecursionError:
        raise Untranslatable("it is nested too deep") from None
    if reader.next.kind != "end":
        raise reader.strange()
    return node


def _tokens(text: str) -> Sequence[_Token]:
    found, at = [], 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise Untranslatable(f"{text[at : at + 10]!r} is not understood")
        at = match.end()
        if match.lastgroup != "blank":
            found.append(_Token(str(match.lastgroup), match[0]))
    return [*found, _Token("end", "")]


class _Reader:
    """Reads tokens from left to right, by precedence from OR down to signs."""

    def __init__(self, tokens: Sequence[_Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0

    @property
    def next(self) -> _Token:
        return self._tokens[self._at]

    def expression(self) -> Node:
        self._depth += 1
        if self._depth > DEEPEST:
            raise Untranslatable("it is nested too deep")
        node = self._all()
        while self._took("or"):
            node = Binary("or", node, self._all())
        self._depth -= 1
        return node

    def strange(self) -> Untranslatable:
        word = self.next.text.lower()
        if self.next.kind == "word" and word in _REFUSED:
            return Untranslatable(f"it has {_REFUSED[word]}")
        return Untranslatable(f"{self.next.text[:20]!r} is not understood" if word else "it ends too early")

    def _all(self) -> Node:
        node = self._one()
        while self._took("and"):
            node = Binary("and", node, self._one())
        return node

    def _one(self) -> Node:
        denials = 0
        while self._took("not"):
            denials += 1
        node = self._compared()
        return Unary("not", node) if denials % 2 else node

    def _compared(self) -> Node:
        node = self._sum()
        if self.next.text in _COMPARING and self.next.kind == "sign":
            sign = self._take().text
            return Binary(_SAME.get(sign, sign), node, self._sum())
        if self._took("is"):
            negated = self._took("not")
            self._demand("null")
            return IsNull(node, negated)
        negated = self._took("not")
        if self._took("in"):
            return In(node, self._list(), negated)
        if self._took("between"):
            low = self._sum()
            self._demand("and")
            return Between(node, low, self._sum(), negated)
        if self._took("like"):
            return self._like(node, negated)
        if negated:
            raise self.strange()
        return node

    def _like(self, node: Node, negated: bool) -> Node:
        pattern = self._sum()
        if not self._took("escape"):
            return Like(node, pattern, "", negated)
        sign = self._atom()
        if not isinstance(sign, Literal) or sign.kind != "text" or len(sign.text) != 1:
            raise Untranslatable("the ESCAPE of a LIKE is not a single letter")
        return Like(node, pattern, sign.text, negated)

    def _sum(self) -> Node:
        node = self._product()
        while self.next.kind == "sign" and self.next.text in _ADDING:
            node = Binary(self._take().text, node, self._product())
        return node

    def _product(self) -> Node:
        node = self._signed()
        while self.next.kind == "sign" and self.next.text in _MULTIPLYING:
            node = Binary(self._take().text, node, self._signed())
        return node

    def _signed(self) -> Node:
        signs = []
        while self.next.kind == "sign" and self.next.text in "+-~":
            signs.append(self._take().text)
            if len(signs) > DEEPEST:
                raise Untranslatable("it is nested too deep")
        node = self._atom()
        for sign in reversed(signs):
            node = Unary(sign, node)
        return node

    def _atom(self) -> Node:
        token = self._take()
        match token.kind:
            case "text":
                return Literal("text", token.text[token.text.index("'") + 1 : -1].replace("''", "'"))
            case "binary":
                return Literal("binary", token.text[2:].lower())
            case "money":
                return Literal("money", _number(token.text[1:].rstrip(".") or "0").text)
            case "number":
                return _number(token.text)
            case "bracketed":
                return self._named(token.text[1:-1].replace("]]", "]"))
            case "quoted":
                return self._named(token.text[1:-1].replace('""', '"'))
            case "word":
                return self._word(token.text)
        if token.text == "(":
            node = self.expression()
            self._demand(")")
            return node
        self._at -= 1
        raise self.strange()

    def _word(self, text: str) -> Node:
        word = text.lower()
        if word == "null":
            return Literal("null", "")
        if word == "case":
            return self._case()
        if word in _RESERVED or word in _REFUSED:
            self._at -= 1
            raise self.strange()
        if word == "cast" or word == "try_cast":
            return self._cast(word)
        if self.next.text == "(":
            return self._call(word)
        return Call(word, ()) if word in _WITHOUT_BRACKETS else self._named(text)

    def _named(self, name: str) -> Node:
        if self.next.text == ".":
            raise Untranslatable("it calls a function of its own or names another table")
        if self.next.text == "(":
            return self._call(name.lower())
        return Named(name)

    def _call(self, name: str) -> Node:
        self._demand("(")
        if name in _TYPED:
            type_name = self._type()
            self._demand(",")
            return Call(name, self._rest(), type_name)
        if self.next.text == ")":
            self._take()
            return Call(name, ())
        return Call(name, self._rest())

    def _cast(self, name: str) -> Node:
        self._demand("(")
        node = self.expression()
        self._demand("as")
        type_name = self._type()
        self._demand(")")
        return Call("try_convert" if name == "try_cast" else "convert", (node,), type_name)

    def _list(self) -> tuple[Node, ...]:
        self._demand("(")
        return self._rest()

    def _rest(self) -> tuple[Node, ...]:
        """The arguments up to the closing bracket."""
        found = [self.expression()]
        while self._took(","):
            found.append(self.expression())
        self._demand(")")
        return tuple(found)

    def _type(self) -> TypeName:
        token = self._take()
        if token.kind not in ("word", "bracketed"):
            raise Untranslatable(f"{token.text[:20]!r} is no type")
        name = token.text.strip("[]").lower()
        if self.next.text == ".":
            raise Untranslatable("it names a type of its own")
        numbers = []
        if self._took("("):
            while not self._took(")"):
                number = self._take().text.lower()
                if not (number.isascii() and number.isdecimal() and len(number) < 10) and number != "max":
                    raise Untranslatable(f"the type {name} is not understood")
                numbers.append(-1 if number == "max" else int(number))
                self._took(",")
        return TypeName(name, tuple(numbers))

    def _case(self) -> Node:
        base = None if self.next.text.lower() == "when" else self.expression()
        whens = []
        while self._took("when"):
            condition = self.expression()
            self._demand("then")
            whens.append((condition, self.expression()))
        default = self.expression() if self._took("else") else None
        self._demand("end")
        if not whens:
            raise Untranslatable("a CASE without a WHEN")
        return Case(base, tuple(whens), default)

    def _take(self) -> _Token:
        token = self.next
        if token.kind == "end":
            raise Untranslatable("it ends too early")
        self._at += 1
        return token

    def _took(self, text: str) -> bool:
        """Whether that came next; then it is taken."""
        token = self.next
        if token.kind not in ("word", "sign") or token.text.lower() != text:
            return False
        self._at += 1
        return True

    def _demand(self, text: str) -> None:
        if not self._took(text):
            raise self.strange()


def _number(text: str) -> Literal:
    if len(text) > MOST_DIGITS:
        raise Untranslatable("it has a number that is too long")
    if "e" in text.lower():
        return Literal("float", text)
    return Literal("decimal" if "." in text else "integer", text)
