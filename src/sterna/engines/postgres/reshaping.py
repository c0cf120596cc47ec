"""Whether a command that changed the shape of something on the source can be repeated on the target.

It can where it surely does the same there: one statement of a client, about things that are selected and have the
same names, which needs no value that it would compute anew for the rows that are there. Everything else is for a
person.
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from sterna.core.errors import BadData
from sterna.core.plan import Plan
from sterna.engines.postgres.catalogue import taken

SHAPELESS = frozenset({"REINDEX", "REFRESH MATERIALIZED VIEW"})
"""Commands that change no shape and no table's rows; materialised views are refreshed at the end."""

_FIRST = ("ALTER", "COMMENT", "CREATE", "DROP", "GRANT", "REVOKE")
_FILLED = frozenset({"CREATE TABLE AS", "SELECT INTO", "CREATE MATERIALIZED VIEW"})
_TOKEN = re.compile(
    r"""\s+ | --[^\n]* | /\*.*?\*/ | '(?:[^'\\]|''|\\.)*' | "(?:[^"]|"")*" | (\$\w*\$).*?\1 | \w+ | .""",
    re.VERBOSE | re.DOTALL,
)
_CONCURRENTLY = re.compile(r"^((?:CREATE(?:\s+UNIQUE)?|DROP)\s+INDEX)\s+CONCURRENTLY\b", re.IGNORECASE)
_ANEW = re.compile(
    r"\b(DEFAULT|USING|GENERATED)\b[^,]*?(\w+\s*\(|\bCURRENT_\w+|\bLOCALTIME\w*|\bSESSION_USER\b|\bUSER\b)"
    r"|\b(SMALL|BIG)?SERIAL[248]?\b|\bAS\s+IDENTITY\b|\bSET\s+LOGGED\b",
    re.IGNORECASE,
)
"""Values that a new or changed column gets in the rows that are there, and that need not be the same twice; and
rows of which nothing was logged so far."""


def shapeless(text: str) -> bool:
    """Whether a command that was told of (``ddl``) may be passed over. Raises BadData."""
    return _facts(text).get("tag") in SHAPELESS


def repeated(text: str, plan: Plan, database: str) -> str:
    """The statement to run on the target for a command that was told of; empty: only a person can.

    Raises BadData.
    """
    facts = _facts(text)
    if facts.get("context") or facts.get("trouble") or facts.get("tag") in _FILLED:
        return ""
    if not facts.get("objects") or not all(_in_its_place(each, plan, database) for each in facts["objects"]):
        return ""
    statement = single(facts.get("query") or "")
    words = statement.split(None, 2)
    if not words or words[0].upper() not in _FIRST:
        return ""
    plain = _CONCURRENTLY.sub(r"\1", statement)
    bare = _without_quotes(plain)
    if re.search(r"\bCONCURRENTLY\b", bare, re.IGNORECASE):
        return ""
    if facts.get("tag") == "ALTER TABLE" and _ANEW.search(bare):
        return ""
    return plain


def _facts(text: str) -> Mapping[str, Any]:
    try:
        facts = json.loads(text)
    except ValueError as error:
        raise BadData("The source told of a change of shape in words that are not understood") from error
    if not isinstance(facts, dict):
        raise BadData("The source told of a change of shape in words that are not understood")
    return facts


def _in_its_place(thing: Mapping[str, Any], plan: Plan, database: str) -> bool:
    """Whether it is selected, whole, and everything of its database has its own name on the target."""
    selection = plan.selection
    if any(each.to and each.to[1:] != each.path[1:] for each in selection.objects if each.path[0] == database):
        return False
    table, root, schema = thing.get("table"), thing.get("root"), thing.get("schema")
    if not table:
        return selection.place((database, schema) if schema else (database,)) is not None
    place = taken(selection, (database, *table), (database, *root) if root else None)
    return place is not None and not place.columns


def single(query: str) -> str:
    """The one statement of a query, without comments around it; empty: there are several."""
    tokens = [match[0] for match in _TOKEN.finditer(query)]
    said = [number for number, token in enumerate(tokens) if not _blank(token) and token != ";"]
    if not said or any(tokens[number] == ";" for number in range(said[0], said[-1])):
        return ""
    return "".join(tokens[said[0] : said[-1] + 1])


def _blank(token: str) -> bool:
    return token.isspace() or token.startswith(("--", "/*"))


def _without_quotes(statement: str) -> str:
    """The words of a statement, without names in quotes, texts and comments."""
    tokens = (match[0] for match in _TOKEN.finditer(statement))
    return "".join(" " if _blank(token) or (token[0] in "'\"$" and len(token) > 1) else token for token in tokens)
