"""Making a database on the target that sorts, compares and encodes text as the source's does."""

# ruff: noqa: S608 - every name goes through ``quoted``, every text through ``literal``

from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import errors as pg

from sterna.core.errors import Unsupported
from sterna.core.event import Level
from sterna.core.ports import Teller
from sterna.engines.postgres.connection import Connection
from sterna.engines.postgres.names import literal, quoted

_PROVIDERS = {"c": "libc", "i": "icu", "b": "builtin"}
PROVIDERS_SINCE = 150000
BUILTIN_SINCE = 170000
RULES_SINCE = 160000


@dataclass(frozen=True, slots=True)
class Locale:
    """How a database encodes and sorts text, and how many may be connected to it."""

    encoding: str
    collate: str
    ctype: str
    provider: str
    """``c`` libc, ``i`` ICU, ``b`` built in."""
    locale: str
    """Of ICU and built in."""
    rules: str
    limit: int


async def read_locale(connection: Connection, database: str) -> Locale:
    """A database's locale, from any connection to its server."""
    version = connection.info.server_version
    provider = "datlocprovider::text" if version >= PROVIDERS_SINCE else "'c'"
    locale = "''"
    if version >= BUILTIN_SINCE:
        locale = "coalesce(datlocale, '')"
    elif version >= PROVIDERS_SINCE:
        locale = "coalesce(daticulocale, '')"
    rules = "coalesce(daticurules, '')" if version >= RULES_SINCE else "''"
    query = f"""
        SELECT pg_encoding_to_char(encoding)::text, datcollate::text, datctype::text, {provider}, {locale},
               {rules}, datconnlimit
          FROM pg_database WHERE datname = {literal(database)}"""
    row = await (await connection.execute(query.encode())).fetchone()
    if row is None:
        raise Unsupported(f"The source has no database {database}")
    return Locale(*row)


async def create_database(source: Connection, target: Connection, database: str, to: str, tell: Teller) -> bool:
    """Make the database ``to`` like the source's ``database``; False: it is there already.

    Both connections are to any database, ``target``'s in autocommit mode. A locale that the target does not have
    is told of, and replaced by the target's own; the encoding never is. Owner, rights, settings and comment come
    with the schema. Raises Unsupported where the target cannot have the encoding.
    """
    found = await target.execute("SELECT FROM pg_database WHERE datname = %s", (to,))
    if await found.fetchone() is not None:
        return False
    locale = await read_locale(source, database)
    tries = [_words(locale, target.info.server_version), _libc_words(locale), []]
    start = f"CREATE DATABASE {quoted(to)} TEMPLATE template0 ENCODING {literal(locale.encoding)}"
    limit = f" CONNECTION LIMIT {locale.limit}" if locale.limit >= 0 else ""
    for number, words in enumerate(tries):
        try:
            await target.execute(f"{start}{''.join(f' {word}' for word in words)}{limit}".encode())
        except pg.DuplicateDatabase:
            return False
        except _NO_LOCALE as error:
            if number + 1 == len(tries):
                raise Unsupported(f"The target cannot have a database in {locale.encoding}: {error}") from error
            continue
        if number:
            _tell_other_locale(locale, to, tell)
        return True
    return True


_NO_LOCALE = (
    pg.WrongObjectType,
    pg.InvalidParameterValue,
    pg.UndefinedObject,
    pg.FeatureNotSupported,
    pg.SyntaxError,
)
"""What the server says of a locale or provider that it does not have, or that does not go with the encoding."""


def _words(locale: Locale, version: int) -> Sequence[str]:
    if locale.provider == "c" or version < PROVIDERS_SINCE:
        return _libc_words(locale)
    words = [f"LOCALE_PROVIDER {_PROVIDERS[locale.provider]}"]
    words.append(f"{'ICU_LOCALE' if locale.provider == 'i' else 'BUILTIN_LOCALE'} {literal(locale.locale)}")
    words += [f"ICU_RULES {literal(locale.rules)}"] if locale.rules and version >= RULES_SINCE else []
    return [*words, *_libc_words(locale)[-2:]]


def _libc_words(locale: Locale) -> Sequence[str]:
    return [f"LC_COLLATE {literal(locale.collate)}", f"LC_CTYPE {literal(locale.ctype)}"]


def _tell_other_locale(locale: Locale, to: str, tell: Teller) -> None:
    name = locale.locale or locale.collate
    message = (
        f"The target has no locale {name} ({_PROVIDERS[locale.provider]}): {to} sorts text otherwise. "
        "Make the locale known to the target's system and begin anew where the order of text matters."
    )
    tell(Level.WARN, "postgres.other_locale", message, database=to, locale=name)
