"""Logging in: a proof goes in, a token comes out. Only the digest of a token's text is kept."""

import asyncio
import functools
import secrets
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from sterna.api.auth import identity_of
from sterna.api.errors import NotProven, Told
from sterna.api.front import Front
from sterna.api.iam.bodies import (
    Auth,
    CatalogEntry,
    DomainPart,
    DomainRef,
    IdentityPart,
    ProjectPart,
    ProjectRef,
    RolePart,
    Scope,
    TokenPart,
    UserPart,
    UserRef,
)
from sterna.core.people import Domain, Identity, Project, Token, User, check_password, digest_of, hash_password

HOUR_MS = 3_600_000
_ROLE = RolePart(id="0", name="te_admin")


@dataclass(frozen=True, slots=True)
class Proof:
    """Who logged in and how. ``until_ms``: a token from a token lives no longer than that one."""

    user: User
    methods: tuple[str, ...]
    until_ms: int | None = None


async def log_in(front: Front, auth: Auth) -> tuple[str, Identity]:
    """A new token's text, and the identity that it stands for. Raises Told."""
    proof = await _prove(front, auth.identity)
    identity = _scoped(await identity_of(front.store, proof.user), auth.scope)
    return await _issue(front, identity, proof, domain_scoped=_wants_domain(auth.scope))


def token_part(identity: Identity, catalog: list[CatalogEntry] | None) -> TokenPart:
    """A token's facts as Keystone words them."""
    token = identity.token
    assert token is not None
    domain = DomainPart(id=identity.domain.id, name=identity.domain.name)
    project = identity.project
    scoped = project is not None or token.domain_scoped
    return TokenPart(
        methods=list(token.methods),
        expires_at=stamp(token.expires_ms),
        issued_at=stamp(token.issued_ms),
        user=UserPart(id=identity.user.id, name=identity.user.name, domain=domain),
        project=ProjectPart(id=project.id, name=project.name, domain=domain) if project else None,
        domain=domain if token.domain_scoped else None,
        roles=[_ROLE] if scoped else None,
        catalog=catalog if scoped else None,
    )


def stamp(ms: int) -> str:
    """Epoch milliseconds as Keystone writes times."""
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


async def _prove(front: Front, part: IdentityPart) -> Proof:
    match part.methods:
        case ["password"]:
            if part.password is None:
                raise Told("IAM.400", "auth.identity.password")
            return Proof(await _by_password(front, part.password.user), ("password",))
        case ["token"]:
            if part.token is None:
                raise Told("IAM.400", "auth.identity.token")
            return await _by_token(front, part.token.id)
        case _:
            raise Told("IAM.401.method")


async def _by_password(front: Front, wanted: UserRef) -> User:
    """Takes as long for a user who does not exist as for a wrong password."""
    domain = wanted.domain or DomainRef()
    if not wanted.id and not (wanted.name and (domain.id or domain.name)):
        raise Told("IAM.400", "auth.identity.password.user")
    domains = {it.id: it for it in await front.store.domains()}
    user = next((it for it in await front.store.users() if _is(it, wanted, domains[it.domain_id])), None)
    nobodys = _nobodys_hash()
    async with front.logins:
        right = await asyncio.to_thread(check_password, wanted.password, user.password_hash if user else nobodys)
    if user is None or not right or not user.enabled:
        raise Told("IAM.401.password")
    return user


def _is(user: User, wanted: UserRef, domain: Domain) -> bool:
    if wanted.id:
        return user.id == wanted.id
    return user.name == wanted.name and _same_domain(domain, wanted.domain)


def _same_domain(domain: Domain, wanted: DomainRef | None) -> bool:
    """No wish is met by any."""
    if wanted is None:
        return True
    return wanted.id in (None, domain.id) and wanted.name in (None, domain.name)


@functools.cache
def _nobodys_hash() -> str:
    """What the password of a user who does not exist is compared with."""
    return hash_password(secrets.token_hex(16))


async def _by_token(front: Front, text: str) -> Proof:
    try:
        identity = await front.guard.by_token(text, front.desk.clock())
    except NotProven as why:
        raise Told("IAM.401", str(why)) from why
    assert identity.token is not None
    methods = ("token", *(method for method in identity.token.methods if method != "token"))
    return Proof(identity.user, methods, identity.token.expires_ms)


def _wants_domain(scope: Scope | str | None) -> bool:
    return isinstance(scope, Scope) and scope.project is None and scope.domain is not None


def _scoped(identity: Identity, scope: Scope | str | None) -> Identity:
    """The identity, scoped to the project that was asked for. Raises Told if the user has no such."""
    if not isinstance(scope, Scope):
        return identity
    if scope.project is not None:
        return replace(identity, project=_chosen(identity, scope.project))
    if scope.domain is not None and not _same_domain(identity.domain, scope.domain):
        raise Told("IAM.401.scope")
    return identity


def _chosen(identity: Identity, wanted: ProjectRef) -> Project:
    if not wanted.id and not wanted.name:
        raise Told("IAM.400", "auth.scope.project")
    for project in identity.projects:
        named = wanted.id in (None, project.id) and wanted.name in (None, project.name)
        if named and _same_domain(identity.domain, wanted.domain):
            return project
    raise Told("IAM.401.scope")


async def _issue(front: Front, identity: Identity, proof: Proof, *, domain_scoped: bool) -> tuple[str, Identity]:
    now = front.desk.clock()
    text = secrets.token_urlsafe(48)
    token = Token(
        digest=digest_of(text),
        user_id=identity.user.id,
        project_id=identity.project.id if identity.project else None,
        methods=proof.methods,
        issued_ms=now,
        expires_ms=min(now + front.settings.token_hours * HOUR_MS, proof.until_ms or now * 2),
        domain_scoped=domain_scoped,
    )
    await front.store.sweep_tokens(now - HOUR_MS)
    await front.store.add_token(token)
    return text, replace(identity, token=token)
