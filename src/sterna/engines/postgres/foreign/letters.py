"""Tells where a database's locale changes the case of letters otherwise than SQL Server does."""

import re
from collections.abc import Sequence

from sterna.core.event import Level
from sterna.core.ports import Teller
from sterna.engines.postgres.connection import Connection
from sterna.engines.postgres.foreign.drafts import Drafted
from sterna.engines.postgres.names import shown

_CHANGING = re.compile(r"\b(upper|lower)\s*\(", re.IGNORECASE)
_AS_THERE = "SELECT upper('ä') = 'Ä' AND lower('Ä') = 'ä' AND upper('iß') = 'Iß' AND lower('I') = 'i'"
"""The locale C knows ASCII alone, ICU makes two letters of one, and Turkish has an i of its own."""


async def tell_letters(target: Connection, tables: Sequence[Drafted], tell: Teller) -> None:
    """An event that names the computed columns, if there are any and the database's locale is such a one."""
    names = [
        f"{shown(table.source.path)}.{name}"
        for table in tables
        for name, text in table.computed
        if _CHANGING.search(text)
    ]
    if not names:
        return
    row = await (await target.execute(_AS_THERE)).fetchone()
    if row and not row[0]:
        message = (
            f"In the locale of {tables[0].to[0]}, upper() and lower() are not as in SQL Server for all letters: "
            f"computed columns may have other values: {', '.join(names)}"
        )
        tell(Level.WARN, "schema.letters", message, database=tables[0].to[0], count=str(len(names)))
