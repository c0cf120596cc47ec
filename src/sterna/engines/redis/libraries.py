"""Libraries of functions, compared as one more thing that both sides have."""

from collections.abc import Mapping

from sterna.core.comparison import Difference
from sterna.core.errors import BadData
from sterna.engines.redis.connection import ReplyError
from sterna.engines.redis.pages import Pair
from sterna.engines.redis.reading import Side

LABEL = "functions"


async def differing(pair: Pair) -> list[Difference]:
    """Libraries that are not the same. Servers that have none, or do not show them, are not compared."""
    mine, its = await libraries(pair.source), await libraries(pair.target)
    if mine is None or (its is None and not mine):
        return []
    its = its or {}
    found = [Difference(f"{LABEL} {name}", "missing") for name in sorted(mine.keys() - its.keys())]
    found += [Difference(f"{LABEL} {name}", "extra") for name in sorted(its.keys() - mine.keys())]
    return found + [
        Difference(f"{LABEL} {name}", "value")
        for name in sorted(mine.keys() & its.keys())
        if mine[name] != its[name]
    ]


async def mend(pair: Pair) -> None:
    """Load the source's libraries on the target, and delete those that only the target has."""
    mine, its = await libraries(pair.source), await libraries(pair.target)
    if mine is None or its is None:
        return
    for name, code in mine.items():
        if its.get(name) != code:
            await pair.target.connection.pipeline([("FUNCTION", "LOAD", "REPLACE", code)])
    for name in its.keys() - mine.keys():
        await pair.target.connection.pipeline([("FUNCTION", "DELETE", name)])


async def libraries(side: Side) -> Mapping[str, bytes] | None:
    """Name and code; None: the server does not say."""
    (reply,) = await side.connection.pipeline([("FUNCTION", "LIST", "WITHCODE")])
    if isinstance(reply, ReplyError):
        return None
    rows = (dict(zip(row[::2], row[1::2], strict=True)) for row in reply)
    return {row[b"library_name"].decode("utf-8", "replace"): row[b"library_code"] for row in rows}


def named(code: bytes) -> str:
    """The name that a library's first line gives it: ``#!lua name=mylib``. Raises BadData."""
    for word in code.partition(b"\n")[0].split():
        if word.startswith(b"name="):
            return word[5:].decode("utf-8", "replace")
    raise BadData("a library of functions has no name")
