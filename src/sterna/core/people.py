"""Who may do what: domains hold projects and users, a user has keys, a token is a passing proof."""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Domain:
    """An account. Users log in to it; projects belong to it."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Project:
    """What jobs and instances belong to. Its name is also the name of its region."""

    id: str
    name: str
    domain_id: str


@dataclass(frozen=True, slots=True)
class User:
    """Someone who may log in. The password is kept as a salted scrypt hash."""

    id: str
    name: str
    domain_id: str
    password_hash: str = field(repr=False)
    project_ids: tuple[str, ...] = ()
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class AccessKey:
    """An AK with its SK (kept encrypted, needed in clear to verify signatures)."""

    access_key: str
    secret_key: str = field(repr=False)
    user_id: str
    created_ms: int = 0
    security_token: str = field(default="", repr=False)
    """Set on temporary keys: the request must carry it."""
    expires_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Token:
    """A token as kept: only the SHA-256 of the text that the user holds."""

    digest: str
    user_id: str
    project_id: str | None
    """None: scoped to the domain, or unscoped."""
    methods: tuple[str, ...]
    issued_ms: int
    expires_ms: int
    domain_scoped: bool = False


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a request comes from, once proven."""

    user: User
    domain: Domain
    projects: tuple[Project, ...]
    project: Project | None
    """The one that the token is scoped to; None for signatures, which may use all of ``projects``."""
    token: Token | None = None


@dataclass(frozen=True, slots=True)
class Instance:
    """A registered database server, which the APIs refer to by id."""

    id: str
    project_id: str
    name: str
    engine: str
    addresses: tuple[tuple[str, int], ...]
    user: str = ""
    password: str = field(default="", repr=False)
    tls: str = ""
    """Empty: none; else a JSON object with ``verify``, ``ca_file``, ``cert_file``, ``key_file``."""
    created_ms: int = 0
    facts: Mapping[str, object] = field(default_factory=dict)
    """What the API that registered it wants back unchanged. Never a password."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """A registered bucket of an object store, or a folder, which the APIs refer to by name."""

    id: str
    project_id: str
    name: str
    """What requests call it; unique within the project."""
    kind: str
    """``s3`` for OBS and everything else that speaks S3, ``folder`` for a folder of this machine."""
    folder: str = ""
    """Of a folder: its absolute path."""
    endpoint: str = ""
    """Of an object store: ``https://host[:port]``."""
    remote_name: str = ""
    """What the object store calls it; empty: ``name``."""
    prefix: str = ""
    """What all names in it begin with; empty, or ends with ``/``."""
    region: str = ""
    style: str = "path"
    """``path``: the bucket comes first in the path; ``virtual``: it is a part of the host name."""
    access_key: str = ""
    secret_key: str = field(default="", repr=False)
    tls: str = ""
    """As an ``Instance`` has it: empty, or a JSON object."""
    created_ms: int = 0


def hash_password(password: str) -> str:
    """A salted scrypt hash, as text: ``scrypt$n$r$p$salt$hash`` (hex)."""
    salt = secrets.token_bytes(16)
    return _scrypt(password, salt, 2**14, 8, 1)


def check_password(password: str, hashed: str) -> bool:
    """Whether the password is the one that was hashed, in constant time."""
    try:
        kind, n, r, p, salt, _ = hashed.split("$")
        return kind == "scrypt" and hmac.compare_digest(
            _scrypt(password, bytes.fromhex(salt), int(n), int(r), int(p)), hashed
        )
    except ValueError:
        return False


def _scrypt(password: str, salt: bytes, n: int, r: int, p: int) -> str:
    digest = hashlib.scrypt(password.encode(), salt=salt, n=n, r=r, p=p, dklen=32)
    return f"scrypt${n}${r}${p}${salt.hex()}${digest.hex()}"


def new_id() -> str:
    """32 lower-case hexadecimal digits, as project, user, task and job ids look in the cloud APIs."""
    return secrets.token_hex(16)


def digest_of(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode()).hexdigest()
