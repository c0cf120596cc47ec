"""Who a request comes from: a token, or a signature made with an access key; the token wins if both are there."""

import hmac
from dataclasses import dataclass
from datetime import UTC, datetime

from sterna.api import signing
from sterna.api.errors import NotProven, Told, is_dcs
from sterna.api.signing import RawRequest
from sterna.core.people import AccessKey, Identity, Project, User, digest_of
from sterna.core.stores import PeopleStore

LITERAL_PROJECT = "{project_id}"
"""What an SDK sends that was given an endpoint but no project id."""


@dataclass(frozen=True, slots=True)
class Guard:
    """Proves identities. ``window``: seconds that a signature's date may be off."""

    people: PeopleStore
    window: int

    async def identify(self, request: RawRequest, now_ms: int) -> Identity:
        """Raises NotProven, saying why in words that hold no secret."""
        try:
            token = request.header("x-auth-token")
            return await (self.by_token(token, now_ms) if token else self._by_signature(request, now_ms))
        except signing.BadSignature as bad:
            raise NotProven(str(bad)) from bad

    async def by_token(self, text: str, now_ms: int) -> Identity:
        """Whose token this is. Raises NotProven."""
        token = await self.people.token(digest_of(text)) if text.isascii() else None
        if token is None:
            raise NotProven("decrypt token fail")
        if token.expires_ms <= now_ms:
            expired_at = datetime.fromtimestamp(token.expires_ms / 1000, UTC)
            raise NotProven(f"token expires, expires_at: {expired_at:%Y-%m-%dT%H:%M:%S.%fZ}")
        someone = await self._someone(token.user_id)
        project = next((it for it in someone.projects if it.id == token.project_id), None)
        if token.project_id and project is None:
            raise NotProven("the token's project is no longer the user's")
        return Identity(someone.user, someone.domain, someone.projects, project, token)

    async def _by_signature(self, request: RawRequest, now_ms: int) -> Identity:
        header = request.header("authorization")
        if not header:
            raise NotProven("x-auth-token not found")
        claim = signing.parse(header)
        key = await self.people.key(claim.access_key)
        if key is None:
            raise NotProven("Get secretKey failed,ak:***,err:ak not exist")
        now = datetime.fromtimestamp(now_ms / 1000, UTC)
        signing.verify(request, claim, key.secret_key, now=now, window=self.window)
        _passing(request, key, now_ms)
        return await self._someone(key.user_id)

    async def _someone(self, user_id: str) -> Identity:
        user = next((it for it in await self.people.users() if it.id == user_id), None)
        if user is None or not user.enabled:
            raise NotProven("the user is disabled or does not exist")
        return await identity_of(self.people, user)


async def identity_of(people: PeopleStore, user: User) -> Identity:
    """A user with domain and projects, scoped to nothing yet."""
    domain = next(it for it in await people.domains() if it.id == user.domain_id)
    projects = tuple(it for it in await people.projects() if it.id in user.project_ids)
    return Identity(user, domain, projects, None)


def admitted(identity: Identity, project_id: str) -> Project:
    """The project of a DCS path, if the identity may use it.

    A token is good for the project that it is scoped to, a signature for all projects of the key's user. Raises
    Told.
    """
    if project_id == LITERAL_PROJECT:
        raise Told("DCS.4002.literal")
    project = usable(identity, project_id)
    if project is not None:
        return project
    raise Told("DCS.1004" if is_dcs(f"/v2/{project_id}") else "DCS.4002")


def usable(identity: Identity, project_id: str) -> Project | None:
    """The project with this id, if the identity may use it."""
    own = identity.projects if identity.token is None else (identity.project,)
    return next((it for it in own if it is not None and it.id == project_id), None)


def _passing(request: RawRequest, key: AccessKey, now_ms: int) -> None:
    """A temporary key needs its security token, and time."""
    if not key.security_token:
        return
    given = request.header("x-security-token") or ""
    if not hmac.compare_digest(given.encode("utf-8", "surrogateescape"), key.security_token.encode()):
        raise NotProven("the security token is missing or wrong")
    if key.expires_ms is not None and key.expires_ms <= now_ms:
        raise NotProven("the temporary access key has expired")
