"""The tables in which Sterna remembers everything about itself; the migrations build exactly these.

``number`` columns keep the order in which things were added. Text columns named ``words`` hold what people and
servers say, ``exact`` ones what must come back as it was.
"""

import json
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.types import TypeDecorator


class Words(TypeDecorator[str]):
    """Text of any origin. What no database takes as text (NUL, half a surrogate pair) is written as an escape."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is None:
            return None
        return value.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


class Exact(TypeDecorator[str]):
    """Text that comes back exactly as it was, whatever it holds."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else value.encode("unicode_escape").decode("ascii")

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        return None if value is None else value.encode("ascii").decode("unicode_escape")


class Json(TypeDecorator[Any]):
    """A JSON value as ASCII text, so that it may hold any character on every database."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: object, dialect: Dialect) -> str | None:
        return None if value is None else json.dumps(value, separators=(",", ":"))

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else json.loads(value)


metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Number = BigInteger().with_variant(Integer, "sqlite")


def _number() -> Column[int]:
    return Column("number", Number, primary_key=True, autoincrement=True)


def _id(name: str = "id") -> Column[str]:
    return Column(name, Words, nullable=False, unique=True)


def _text(name: str) -> Column[str]:
    return Column(name, Words, nullable=False)


def _count(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False)


def _time(name: str) -> Column[int]:
    """Epoch milliseconds, or nothing."""
    return Column(name, BigInteger, nullable=True)


def _json(name: str) -> Column[Any]:
    return Column(name, Json, nullable=False)


def _sealed(name: str) -> Column[bytes]:
    """Encrypted by ``secrets.Vault``; nothing where there is no secret."""
    return Column(name, LargeBinary, nullable=True)


def _of_user() -> Column[str]:
    return Column("user_id", Words, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True)


def _of_domain() -> Column[str]:
    return Column("domain_id", Words, ForeignKey("domains.id"), nullable=False)


def _of_job() -> Column[str]:
    return Column("job_id", Words, ForeignKey("jobs.id"), primary_key=True)


facts = Table(
    "facts",
    metadata,
    Column("name", Words, primary_key=True),
    Column("value", LargeBinary, nullable=False),
)

domains = Table("domains", metadata, _number(), _id(), Column("name", Words, nullable=False, unique=True))

projects = Table(
    "projects", metadata, _number(), _id(), _of_domain(), _text("name"), UniqueConstraint("domain_id", "name")
)

users = Table(
    "users",
    metadata,
    _number(),
    _id(),
    _of_domain(),
    _text("name"),
    _text("password_hash"),
    Column("enabled", Boolean, nullable=False),
    UniqueConstraint("domain_id", "name"),
)

memberships = Table(
    "memberships",
    metadata,
    Column("user_id", Words, ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    Column("project_id", Words, ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True, index=True),
    Column("place", Integer, nullable=False),
)

access_keys = Table(
    "access_keys",
    metadata,
    _number(),
    _id("access_key"),
    _of_user(),
    _sealed("secret_key"),
    _sealed("security_token"),
    _count("created_ms"),
    _time("expires_ms"),
)

tokens = Table(
    "tokens",
    metadata,
    Column("digest", Words, primary_key=True),
    _of_user(),
    Column("project_id", Words, ForeignKey("projects.id", ondelete="CASCADE"), index=True),
    _json("methods"),
    _count("issued_ms"),
    Column("expires_ms", BigInteger, nullable=False, index=True),
    Column("domain_scoped", Boolean, nullable=False),
)

instances = Table(
    "instances",
    metadata,
    _number(),
    _id(),
    Column("project_id", Words, nullable=False, index=True),
    _text("name"),
    _text("engine"),
    _json("addresses"),
    _text("user"),
    _sealed("password"),
    _text("tls"),
    _count("created_ms"),
    _json("facts"),
)

buckets = Table(
    "buckets",
    metadata,
    _number(),
    _id(),
    Column("project_id", Words, nullable=False),
    _text("name"),
    _text("kind"),
    _text("folder"),
    _text("endpoint"),
    _text("remote_name"),
    _text("prefix"),
    _text("region"),
    _text("style"),
    _text("access_key"),
    _sealed("secret_key"),
    _text("tls"),
    _count("created_ms"),
    UniqueConstraint("project_id", "name"),
)

jobs = Table(
    "jobs",
    metadata,
    _number(),
    _id(),
    _text("project_id"),
    _text("kind"),
    _text("name"),
    _text("description"),
    Column("plan", Json),
    _sealed("plan_secrets"),
    _json("extra"),
    _text("phase"),  # begin and report, for the runner
    _text("condition"),  # begin and report, for the runner
    _text("wish"),  # ask, for the APIs
    _count("asked"),  # ask, for the APIs
    _count("answered"),  # begin and answer, for the runner
    _count("epoch"),  # begin
    Column("failure", Json),
    _count("created_ms"),
    _count("updated_ms"),
    _time("ended_ms"),
    Column("deleted", Boolean, nullable=False),
    Column("starts_ms", BigInteger, nullable=False, server_default=text("0")),  # describe, for the APIs
    Index("ix_jobs_listing", "project_id", "created_ms", "number"),
)

positions = Table(
    "positions",
    metadata,
    _of_job(),
    Column("lane", Exact, primary_key=True),
    Column("position", Exact, nullable=False),
)

progress = Table("progress", metadata, _of_job(), _json("figures"))

findings = Table("findings", metadata, _of_job(), _json("findings"))

notes = Table(
    "notes",
    metadata,
    _number(),
    Column("job_id", Words, ForeignKey("jobs.id"), nullable=False),
    Column("kind", Exact, nullable=False),
    Column("key", Exact, nullable=False),
    _json("body"),
    UniqueConstraint("job_id", "kind", "key"),
)

events = Table(
    "events",
    metadata,
    _of_job(),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    _count("at_ms"),
    _text("level"),
    _text("code"),
    _text("message"),
    _json("fields"),
)
