"""Reads names of databases, schemas and tables as they are typed: ``shop.public.orders``, ``"a.b"."My table"``.

A name counts exactly as it stands, capitals and all. In double quotes it may hold anything; a double quote is then
written twice, as in SQL.
"""

from collections.abc import Sequence

from sterna.core.errors import Invalid
from sterna.core.plan import Path


def split_outside_quotes(text: str, mark: str, most: int = -1) -> list[str]:
    """Cut a text at a mark, at most so often, but not within double quotes."""
    pieces, piece, quoted = [], "", False
    for char in text:
        quoted ^= char == '"'
        if char == mark and not quoted and most != 0:
            pieces.append(piece)
            piece, most = "", most - 1
        else:
            piece += char
    return [*pieces, piece]


def read_path(text: str, option: str) -> Path:
    """One path, its names joined by dots. Raises Invalid."""
    return tuple(read_name(piece, option) for piece in split_outside_quotes(text, "."))


def read_name(text: str, option: str) -> str:
    """One name, quoted or not. Raises Invalid."""
    if not text.startswith('"'):
        if not text or '"' in text:
            raise _unreadable(option)
        return text
    inner = text[1:-1]
    if len(text) < 3 or not text.endswith('"') or '"' in inner.replace('""', ""):
        raise _unreadable(option)
    return inner.replace('""', '"')


def read_rename(text: str, option: str) -> tuple[Path, Path | None]:
    """``OLD`` or ``OLD=NEW``. NEW names the last of OLD's names anew, or more of them. Raises Invalid."""
    old, *new = split_outside_quotes(text, "=", 1)
    path = read_path(old, option)
    if not new:
        return path, None
    to = read_path(new[0], option)
    if len(to) > len(path):
        raise Invalid(option, f"--{option}: a new name has no more parts than the old one")
    return path, to


def read_columns(text: str, option: str) -> tuple[Path, Sequence[str]]:
    """``TABLE:a,b``. Raises Invalid."""
    table, rest = _table_and_rest(text, option)
    return table, tuple(read_name(name.strip(), option) for name in split_outside_quotes(rest, ","))


def read_condition(text: str, option: str) -> tuple[Path, str]:
    """``TABLE:condition``. Raises Invalid."""
    return _table_and_rest(text, option)


def _table_and_rest(text: str, option: str) -> tuple[Path, str]:
    table, *rest = split_outside_quotes(text, ":", 1)
    if not rest or not rest[0].strip():
        raise Invalid(option, f"--{option} is a table, a colon, and what of it")
    return read_path(table, option), rest[0].strip()


def _unreadable(option: str) -> Invalid:
    return Invalid(
        option,
        f"--{option} holds a name that cannot be read",
        hint='Write a name with dots or quotes as in SQL: "my.schema"."the ""table""".',
    )
