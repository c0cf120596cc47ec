"""Names as SQL wants them, and the names of everything that Sterna makes on a server.

Every name that goes into a statement goes through ``quoted``, every other text through ``literal``.
"""

import hashlib

from sterna.core.plan import Path

SCHEMA = "sterna"
"""The schema on the target that holds the checkpoints; it is there only while a job needs it."""

SCHEMA_LOCK = "SELECT pg_catalog.pg_advisory_xact_lock(7310294, 1)"
"""Held in a transaction that makes or drops the schema: jobs that begin and end side by side do both at once."""

DEFAULT_DATABASE = "postgres"
LONGEST = 63
"""Bytes that PostgreSQL keeps of a name."""


def quoted(*names: str) -> str:
    """A name, or several joined by dots, always in quotes: ``"public"."my table"``."""
    return ".".join('"' + name.replace('"', '""') + '"' for name in names)


def literal(text: str) -> str:
    """A text as an SQL literal that means the same whatever ``standard_conforming_strings`` is."""
    plain = text.replace("'", "''")
    return "E'" + plain.replace("\\", "\\\\") + "'" if "\\" in plain else "'" + plain + "'"


def job_word(job_id: str) -> str:
    """The job's id as names of slots and origins may hold it: lower-case letters, digits and underscores."""
    word = "".join(char if char.isascii() and char.isalnum() else "_" for char in job_id.lower())
    return word if len(word) <= 40 else hashlib.sha256(job_id.encode()).hexdigest()[:32]


def own(job_id: str) -> str:
    """What the job's slot, publication, replication origin and event trigger are called; slots are unique in a
    server, not in a database: ``slot`` adds the database."""
    return f"sterna_{job_word(job_id)}"


def slot(job_id: str, database: str) -> str:
    """The replication slot of a job for one database of the source."""
    return f"{own(job_id)}_{hashlib.sha256(database.encode()).hexdigest()[:8]}"


def shown(path: Path) -> str:
    """A path for people: ``shop.public.orders``."""
    return ".".join(path)
