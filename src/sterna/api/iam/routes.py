"""The routes of IAM. Discovery needs no proof, logging in brings its own, all else needs a token or signature."""

import secrets
import string

from fastapi import APIRouter, Query, Request, Response

from sterna.api.door import RAW
from sterna.api.errors import KeystoneError, NotProven, Told
from sterna.api.front import FrontDep, IamRoute, IdentityDep, PlainRoute
from sterna.api.iam import bodies
from sterna.api.iam.catalog import base_url, entries
from sterna.api.iam.tokens import log_in, stamp, token_part
from sterna.api.signing import BadSignature, RawRequest
from sterna.core.people import AccessKey, Domain, Identity, Project, digest_of

_REFUSALS = {status: {"model": KeystoneError} for status in (400, 401, 403, 404, 500)}

open_routes = APIRouter(route_class=PlainRoute, tags=["IAM"], responses={400: {"model": KeystoneError}})
routes = APIRouter(route_class=IamRoute, tags=["IAM"], responses=_REFUSALS)  # type: ignore[arg-type]


@open_routes.get("/", name="ListVersions")
async def list_versions(front: FrontDep, request: Request) -> bodies.VersionsAnswer:
    """The versions of IAM that there are."""
    return bodies.VersionsAnswer(versions=bodies.VersionList(values=[_version(base_url(front, request))]))


@open_routes.get("/v3", name="ShowVersion")
async def show_version(front: FrontDep, request: Request) -> bodies.VersionAnswer:
    """The one version of IAM."""
    return bodies.VersionAnswer(version=_version(base_url(front, request)))


@open_routes.post("/v3/auth/tokens", name="CreateToken", status_code=201, response_model_exclude_none=True)
async def create_token(
    front: FrontDep,
    request: Request,
    response: Response,
    body: bodies.TokenRequest,
    nocatalog: str = Query("", description="Anything but empty leaves the catalogue out."),
) -> bodies.TokenAnswer:
    """Log in. The token is in the answer's header X-Subject-Token and is good for 24 hours."""
    text, identity = await log_in(front, body.auth)
    response.headers["X-Subject-Token"] = text
    base = base_url(front, request)
    catalog = None if nocatalog else entries(base, _catalog_projects(identity))
    return bodies.TokenAnswer(token=token_part(identity, catalog))


@routes.get("/v3/auth/tokens", name="ValidateToken", response_model_exclude_none=True)
async def validate_token(
    front: FrontDep, identity: IdentityDep, request: Request, response: Response, nocatalog: str = ""
) -> bodies.TokenAnswer:
    """The facts of one's own token, given in X-Subject-Token."""
    text, subject = await _subject(front, identity, request)
    response.headers["X-Subject-Token"] = text
    catalog = None if nocatalog else entries(base_url(front, request), _catalog_projects(subject))
    return bodies.TokenAnswer(token=token_part(subject, catalog))


@routes.delete("/v3/auth/tokens", name="RevokeToken", status_code=204)
async def revoke_token(front: FrontDep, identity: IdentityDep, request: Request) -> None:
    """End one's own token, given in X-Subject-Token, at once."""
    text, _ = await _subject(front, identity, request)
    await front.store.revoke_token(digest_of(text))


@routes.get("/v3/projects", name="ListProjects")
@routes.get("/v3/auth/projects", name="ListAuthProjects")
async def list_projects(
    front: FrontDep, identity: IdentityDep, request: Request, name: str = "", domain_id: str = ""
) -> bodies.ProjectsAnswer:
    """The user's projects; ``name``: the one that is called so."""
    base = base_url(front, request)
    found = [it for it in identity.projects if name in ("", it.name) and domain_id in ("", it.domain_id)]
    return bodies.ProjectsAnswer(projects=[_project(base, it) for it in found], links=_here(base, request))


@routes.get("/v3/users/{user_id}/projects", name="ListUserProjects")
async def list_user_projects(
    front: FrontDep, identity: IdentityDep, request: Request, user_id: str
) -> bodies.ProjectsAnswer:
    """The user's own projects."""
    _self(identity, user_id)
    return await list_projects(front, identity, request, "", "")


@routes.get("/v3/projects/{project_id}", name="ShowProject")
async def show_project(
    front: FrontDep, identity: IdentityDep, request: Request, project_id: str
) -> bodies.ProjectAnswer:
    """One of the user's projects."""
    for project in identity.projects:
        if project.id == project_id:
            return bodies.ProjectAnswer(project=_project(base_url(front, request), project))
    raise Told("IAM.404", "the project")


@routes.get("/v3/domains", name="ListDomains")
@routes.get("/v3/auth/domains", name="ListAuthDomains")
async def list_domains(
    front: FrontDep, identity: IdentityDep, request: Request, name: str = ""
) -> bodies.DomainsAnswer:
    """The user's domain; nothing if ``name`` is another."""
    base = base_url(front, request)
    found = [_domain(base, identity.domain)] if name in ("", identity.domain.name) else []
    return bodies.DomainsAnswer(domains=found, links=_here(base, request))


@routes.get("/v3/domains/{domain_id}", name="ShowDomain")
async def show_domain(
    front: FrontDep, identity: IdentityDep, request: Request, domain_id: str
) -> bodies.DomainAnswer:
    """The user's domain."""
    if domain_id != identity.domain.id:
        raise Told("IAM.404", "the domain")
    return bodies.DomainAnswer(domain=_domain(base_url(front, request), identity.domain))


@routes.get("/v3/auth/catalog", name="ShowCatalog")
async def show_catalog(front: FrontDep, identity: IdentityDep, request: Request) -> bodies.CatalogAnswer:
    """Where the services are."""
    base = base_url(front, request)
    return bodies.CatalogAnswer(catalog=entries(base, _catalog_projects(identity)), links=_here(base, request))


@routes.get("/v3/regions", name="ListRegions")
async def list_regions(front: FrontDep, identity: IdentityDep, request: Request) -> bodies.RegionsAnswer:
    """The regions: one for each name that a project of the user's has."""
    base = base_url(front, request)
    names = sorted({project.name for project in identity.projects})
    return bodies.RegionsAnswer(regions=[_region(base, name) for name in names], links=_here(base, request))


@routes.get("/v3/regions/{region_id}", name="ShowRegion")
async def show_region(
    front: FrontDep, identity: IdentityDep, request: Request, region_id: str
) -> bodies.RegionAnswer:
    """One region."""
    if all(project.name != region_id for project in identity.projects):
        raise Told("IAM.404", "the region")
    return bodies.RegionAnswer(region=_region(base_url(front, request), region_id))


@routes.get("/v3/services", name="ListServices")
async def list_services(
    front: FrontDep, identity: IdentityDep, request: Request, type: str = "", name: str = ""
) -> bodies.ServicesAnswer:
    """The services of the catalogue."""
    base = base_url(front, request)
    services = [
        bodies.ServiceFacts(
            id=it.id, type=it.type, name=it.name, links=bodies.Links(self=f"{base}/v3/services/{it.id}")
        )
        for it in entries(base, ())
        if type in ("", it.type) and name in ("", it.name)
    ]
    return bodies.ServicesAnswer(services=services, links=_here(base, request))


@routes.get("/v3/endpoints", name="ListEndpoints")
async def list_endpoints(
    front: FrontDep, identity: IdentityDep, request: Request, service_id: str = "", interface: str = ""
) -> bodies.EndpointsAnswer:
    """The endpoints of the catalogue."""
    base = base_url(front, request)
    endpoints = [
        bodies.EndpointFacts(
            **one.model_dump(), service_id=it.id, links=bodies.Links(self=f"{base}/v3/endpoints/{one.id}")
        )
        for it in entries(base, _catalog_projects(identity))
        for one in it.endpoints
        if service_id in ("", it.id) and interface in ("", one.interface)
    ]
    return bodies.EndpointsAnswer(endpoints=endpoints, links=_here(base, request))


@routes.get("/v3/users/{user_id}", name="ShowUser")
async def show_user(front: FrontDep, identity: IdentityDep, request: Request, user_id: str) -> bodies.UserAnswer:
    """The user that asks."""
    _self(identity, user_id)
    user = identity.user
    facts = bodies.UserFacts(
        id=user.id,
        name=user.name,
        domain_id=user.domain_id,
        enabled=user.enabled,
        links=bodies.Links(self=f"{base_url(front, request)}/v3/users/{user.id}"),
    )
    return bodies.UserAnswer(user=facts)


@routes.post("/v3.0/OS-CREDENTIAL/securitytokens", name="CreateTemporaryAccessKeyByToken", status_code=201)
async def create_temporary_key(
    front: FrontDep, identity: IdentityDep, body: bodies.TemporaryKeyRequest
) -> bodies.CredentialAnswer:
    """A temporary access key of the user's, for 15 minutes unless told otherwise."""
    wanted = body.auth.identity
    if wanted.methods != ["token"]:
        raise Told("IAM.401.method")
    if wanted.policy:
        raise Told("IAM.400", "auth.identity.policy")
    part = wanted.token or bodies.KeyTokenPart(duration_seconds=900)
    if part.id:
        identity = await _owner(front, identity, part.id)
    key = _temporary_key(identity, front.desk.clock(), part.duration_seconds)
    await front.store.add_key(key)
    return bodies.CredentialAnswer(
        credential=bodies.CredentialPart(
            access=key.access_key,
            secret=key.secret_key,
            securitytoken=key.security_token,
            expires_at=stamp(key.expires_ms or 0),
        )
    )


def _temporary_key(identity: Identity, now: int, seconds: int) -> AccessKey:
    letters = string.ascii_uppercase + string.digits
    return AccessKey(
        access_key="".join(secrets.choice(letters) for _ in range(20)),
        secret_key="".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(40)),
        user_id=identity.user.id,
        created_ms=now,
        security_token=secrets.token_urlsafe(96),
        expires_ms=now + seconds * 1000,
    )


async def _owner(front: FrontDep, identity: Identity, text: str) -> Identity:
    """Whose token this is, who must be the one who asks."""
    try:
        owner = await front.guard.by_token(text, front.desk.clock())
    except NotProven as why:
        raise Told("IAM.401", str(why)) from why
    if owner.user.id != identity.user.id:
        raise Told("IAM.403")
    return owner


async def _subject(front: FrontDep, identity: Identity, request: Request) -> tuple[str, Identity]:
    """The token in X-Subject-Token. Another user's is as if it were not there."""
    raw: RawRequest = request.scope[RAW]
    try:
        text = raw.header("x-subject-token")
    except BadSignature as twice:
        raise Told("IAM.400.subject") from twice
    if not text:
        raise Told("IAM.400.subject")
    try:
        subject = await front.guard.by_token(text, front.desk.clock())
    except NotProven as why:
        raise Told("IAM.404", "the token") from why
    if subject.user.id != identity.user.id:
        raise Told("IAM.404", "the token")
    return text, subject


def _self(identity: Identity, user_id: str) -> None:
    if user_id != identity.user.id:
        raise Told("IAM.403")


def _catalog_projects(identity: Identity) -> tuple[Project, ...]:
    """A project's token shows that project; all else shows all of the user's."""
    return (identity.project,) if identity.project else identity.projects


def _version(base: str) -> bodies.VersionFacts:
    return bodies.VersionFacts(links=[bodies.VersionLink(href=f"{base}/v3/")])


def _here(base: str, request: Request) -> bodies.Links:
    return bodies.Links(self=base + request.url.path)


def _project(base: str, project: Project) -> bodies.ProjectFacts:
    return bodies.ProjectFacts(
        id=project.id,
        name=project.name,
        domain_id=project.domain_id,
        parent_id=project.domain_id,
        links=bodies.Links(self=f"{base}/v3/projects/{project.id}"),
    )


def _domain(base: str, domain: Domain) -> bodies.DomainFacts:
    return bodies.DomainFacts(
        id=domain.id, name=domain.name, links=bodies.Links(self=f"{base}/v3/domains/{domain.id}")
    )


def _region(base: str, name: str) -> bodies.RegionFacts:
    return bodies.RegionFacts(
        id=name,
        locales={"en-us": name, "zh-cn": name},
        links=bodies.Links(self=f"{base}/v3/regions/{name}"),
    )
