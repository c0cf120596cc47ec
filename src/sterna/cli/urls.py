"""Reads the URLs that name a database server: ``redis://user:password@host:port/0``, ``postgresql://…/name``.

Nothing of the text is repeated in an error, since any piece of a mistyped URL may be a piece of a password.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from sterna.core.errors import Invalid
from sterna.core.plan import Endpoint, Tls

ENCODE = "Percent-encode special characters in a password (@ is %40, / is %2F), or give it in the environment."


POSTGRESQL = "postgresql"
"""The engine whose URLs are read as libpq reads them."""


@dataclass(frozen=True)
class Scheme:
    """What the word before ``://`` says."""

    engine: str
    tls: bool
    port: int


SCHEMES: Mapping[str, Scheme] = {
    "redis": Scheme("redis", False, 6379),
    "rediss": Scheme("redis", True, 6379),
    "valkey": Scheme("redis", False, 6379),
    "valkeys": Scheme("redis", True, 6379),
    "postgresql": Scheme("postgresql", False, 5432),
    "postgres": Scheme("postgresql", False, 5432),
}


@dataclass(frozen=True)
class Location:
    """A server, and the one database of it that is meant; None: all of them."""

    endpoint: Endpoint
    database: int | None = None
    name: str = ""
    """The same for servers whose databases have names; empty: all of them."""


def read_url(text: str, side: str, password: str = "") -> Location:
    """Read a URL. ``side`` is ``source`` or ``target``, for messages; ``password`` is used if the URL has none.

    Raises Invalid.
    """
    word, found, rest = text.strip().partition("://")
    scheme = SCHEMES.get(word.lower()) if found else None
    if scheme is None:
        known = ", ".join(f"{name}://" for name in SCHEMES)
        raise Invalid(side, f"The URL of the {side} does not begin with a known word", hint=f"Known are {known}.")
    rest, _, query = rest.partition("?")
    authority, _, path = rest.partition("/")
    if "@" in path or "@" in query:
        raise Invalid(side, f"The URL of the {side} has an @ after the first / or ?", hint=ENCODE)
    userinfo, _, hosts = authority.rpartition("@")
    user, _, secret = userinfo.partition(":")
    addresses = tuple(_host(host, scheme.port, side) for host in hosts.split(","))
    who = _decoded(user, side), _decoded(secret, side) or password
    if scheme.engine == POSTGRESQL:
        return _postgresql(addresses, who, path, _options(query, _LIBPQ, side), side)
    options = _options(query, _OPTIONS, side)
    database = _database(path, options.pop("db", ""), side)
    return Location(Endpoint(scheme.engine, addresses, *who, _tls(options, scheme, side)), database)


def without_password(text: str) -> str:
    """The URL as it may be shown: with its user and without its password."""
    word, found, rest = text.partition("://")
    userinfo, at, hosts = rest.rpartition("@")
    user = userinfo.partition(":")[0]
    return f"{word}{found}{user}{at if user else ''}{hosts}"


def _decoded(text: str, side: str) -> str:
    if re.search(r"%(?![0-9A-Fa-f]{2})", text):
        raise Invalid(
            side, f"The URL of the {side} has a % that two hexadecimal digits do not follow", hint=ENCODE
        )
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise Invalid(side, f"The user or password in the URL of the {side} is not UTF-8") from None


def _host(text: str, port: int, side: str) -> tuple[str, int]:
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+(?:%\w+)?)\]|([A-Za-z0-9._-]+))(?::(\d{1,5}))?", text)
    if match is None or (match[3] and not 0 < int(match[3]) < 65536):
        raise Invalid(
            side,
            f"The URL of the {side} does not name HOST or HOST:PORT (several with commas, IPv6 in brackets)",
            hint=ENCODE,
        )
    return match[1] or match[2], int(match[3] or port)


def _options(query: str, known: Sequence[str], side: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for pair in filter(None, query.split("&")):
        name, _, value = pair.partition("=")
        if name not in known:
            hint = f"There are: {', '.join(known)}."
            raise Invalid(side, f"The URL of the {side} has an option that is not known", hint=hint)
        options[name] = _decoded(value, side)
    return options


_OPTIONS = ("ssl_cert_reqs", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "db")
_LIBPQ = ("sslmode", "sslrootcert", "sslcert", "sslkey", "dbname")
_SSLMODES = {
    "disable": None,
    "allow": None,
    "prefer": None,
    "require": False,
    "verify-ca": True,
    "verify-full": True,
}
"""Whether the server's certificate is verified; None: the connection is not encrypted."""


def _postgresql(
    addresses: tuple[tuple[str, int], ...], who: tuple[str, str], path: str, options: Mapping[str, str], side: str
) -> Location:
    if len(addresses) > 1:
        raise Invalid(side, f"The URL of the {side} names several servers; name the one that is written to")
    if "/" in path:
        raise Invalid(side, f"The URL of the {side} has more than one / after the server", hint=ENCODE)
    name, named = _decoded(path, side), options.get("dbname", "")
    if name and named and name != named:
        raise Invalid(side, f"The URL of the {side} names two databases")
    # Nobody can log in to a database of the target that is still to be made: there, the server's default serves.
    login = (name or named) if side == "source" else ""
    return Location(
        Endpoint(POSTGRESQL, addresses, *who, _libpq_tls(options, side), database=login), name=name or named
    )


def _libpq_tls(options: Mapping[str, str], side: str) -> Tls | None:
    """TLS as libpq understands it (PostgreSQL documentation, 32.19): ``require`` with a root is ``verify-ca``.

    ``prefer``, libpq's default, would encrypt if the server can: here it is no encryption, so that nobody relies
    on what is not promised.
    """
    mode = options.get("sslmode", "prefer")
    if mode not in _SSLMODES:
        raise Invalid(side, f"sslmode in the URL of the {side} is one of {', '.join(_SSLMODES)}")
    verify = _SSLMODES[mode]
    files = {name: options.get(name, "") for name in ("sslrootcert", "sslcert", "sslkey")}
    if verify is None:
        if any(files.values()):
            raise Invalid(side, f"The URL of the {side} names TLS files, but not sslmode=verify-full or require")
        return None
    if files["sslkey"] and not files["sslcert"]:
        raise Invalid(side, f"sslkey in the URL of the {side} needs sslcert")
    root = "" if files["sslrootcert"] == "system" else files["sslrootcert"]
    return Tls(
        verify=verify or bool(root),
        ca_file=root,
        cert_file=files["sslcert"],
        key_file=files["sslkey"],
        host_name=mode == "verify-full" or not root,  # what anybody may sign proves nothing without a name
    )


def _database(path: str, option: str, side: str) -> int | None:
    text = path.rstrip("/") or option
    if not text:
        return None
    if not re.fullmatch(r"\d{1,5}", text):
        raise Invalid(side, f"The URL of the {side} does not end in the number of a database", hint=ENCODE)
    return int(text)


def _tls(options: Mapping[str, str], scheme: Scheme, side: str) -> Tls | None:
    if not scheme.tls:
        if options:
            raise Invalid(side, f"The URL of the {side} has TLS options, but its scheme is one without TLS")
        return None
    wanted = options.get("ssl_cert_reqs", "required")
    if wanted not in ("none", "required"):
        raise Invalid(side, f"ssl_cert_reqs in the URL of the {side} is none or required")
    if options.get("ssl_keyfile") and not options.get("ssl_certfile"):
        raise Invalid(side, f"ssl_keyfile in the URL of the {side} needs ssl_certfile")
    return Tls(
        verify=wanted == "required",
        ca_file=options.get("ssl_ca_certs", ""),
        cert_file=options.get("ssl_certfile", ""),
        key_file=options.get("ssl_keyfile", ""),
    )
