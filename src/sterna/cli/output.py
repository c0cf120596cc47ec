"""What the commands print: tables for people, JSON for scripts, and errors in one clear line.

What draws tables and colours is imported where it is used: a script that asks for JSON need not wait for it.
"""

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sterna.core.errors import Invalid, Trouble
from sterna.core.finding import size
from sterna.settings import without_userinfo

if TYPE_CHECKING:
    from rich.console import Console

WIDE = 200


def console(*, errors: bool = False) -> "Console":
    """A console for people. Where it is no terminal, lines are wide enough not to be cut."""
    from rich.console import Console

    stream = sys.stderr if errors else sys.stdout
    return Console(
        file=stream, width=None if stream.isatty() else WIDE, soft_wrap=not stream.isatty(), highlight=False
    )


def print_json(value: object) -> None:
    """One JSON value on one line, at once. Where the output's encoding lacks a letter, as all do for the halves of
    surrogate pairs that odd file names have, letters come escaped as JSON has it.
    """
    text = json.dumps(value, ensure_ascii=False, default=str)
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(value, default=str)
    print(text, flush=True)


def print_line(text: str) -> None:
    """One line for people; square brackets in it mean themselves."""
    console().print(literal(text))


def print_note(text: str) -> None:
    """One line for people beside the output proper."""
    console(errors=True).print(literal(text))


def print_rows(rows: Sequence[Mapping[str, object]], columns: Iterable[str], *, as_json: bool) -> None:
    """Many things: a table of some columns, or a JSON list of all of them whole."""
    if as_json:
        print_json(list(rows))
        return
    from rich.table import Table

    shown = tuple(columns)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in shown:
        table.add_column(column.replace("_", " ").upper(), overflow="fold")
    for row in rows:
        table.add_row(*(literal(words(row.get(column))) for column in shown))
    console().print(table)


def print_facts(facts: Mapping[str, object], *, as_json: bool) -> None:
    """One thing: a line for each of its facts, or a JSON object."""
    if as_json:
        print_json(dict(facts))
        return
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in facts.items():
        table.add_row(f"[bold]{literal(name.replace('_', ' '))}[/bold]", literal(words(value)))
    console().print(table)


def print_error(error: Trouble, *, as_json: bool) -> None:
    """The error in one line, a hint in another; with JSON an object on the standard output as well."""
    message, hint = without_userinfo(error.message), without_userinfo(error.hint)
    screen = console(errors=True)
    screen.print(f"[bold red]Error:[/bold red] {literal(' '.join(message.split()))}", soft_wrap=True)
    if hint:
        screen.print(f"Hint: {literal(' '.join(hint.split()))}", soft_wrap=True)
    if as_json:
        body = {"code": error.code, "message": message, "hint": hint}
        print_json({"error": body | ({"field": error.field} if isinstance(error, Invalid) else {})})


def literal(text: str) -> str:
    """A text in which square brackets mean themselves, and nothing means something to a terminal.

    Names come from files and servers of others: what would move the cursor, or turn letters around, is spelt out.
    """
    from rich.markup import escape

    return escape(_MEANT_FOR_TERMINALS.sub(lambda found: ascii(found[0])[1:-1], text))


_MEANT_FOR_TERMINALS = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters but for tabs and line ends; marks that change the direction of writing; halves of pairs,
which cannot be written at all."""


def words(value: object) -> str:
    """A value as people read it."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case list() | tuple():
            return ", ".join(words(each) for each in value)
        case dict():
            return ", ".join(f"{name}={words(each)}" for name, each in value.items())
        case _:
            return str(value)


def time_of(at_ms: int | None) -> str | None:
    """Epoch milliseconds as ISO 8601 in UTC, to the second."""
    if not at_ms:
        return None
    return datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def bytes_of(count: float) -> str:
    """A number of bytes as people read it."""
    return "?" if count < 0 else size(count)


def span_of(seconds: float) -> str:
    """A length of time as people read it."""
    if seconds < 0:
        return "?"
    whole = int(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"
