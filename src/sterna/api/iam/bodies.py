"""What clients send to IAM, and what they get: Keystone v3's shapes as far as the cloud's clients use them."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

Short = Annotated[str, Field(max_length=256)]
Secret = Annotated[str, Field(max_length=4096)]


class DomainRef(BaseModel):
    id: Short | None = None
    name: Short | None = None


class UserRef(BaseModel):
    id: Short | None = None
    name: Short | None = None
    password: Secret
    domain: DomainRef | None = None


class PasswordMethod(BaseModel):
    user: UserRef


class TokenMethod(BaseModel):
    id: Secret


class IdentityPart(BaseModel):
    methods: list[Short] = Field(min_length=1, max_length=4, examples=[["password"]])
    password: PasswordMethod | None = None
    token: TokenMethod | None = None


class ProjectRef(BaseModel):
    id: Short | None = None
    name: Short | None = None
    domain: DomainRef | None = None


class Scope(BaseModel):
    project: ProjectRef | None = None
    domain: DomainRef | None = None


class Auth(BaseModel):
    identity: IdentityPart
    scope: Scope | Literal["unscoped"] | None = None


class TokenRequest(BaseModel):
    """How a user logs in: with a password, or with a token that they have."""

    auth: Auth

    model_config = {
        "json_schema_extra": {
            "examples": [
                {
                    "auth": {
                        "identity": {
                            "methods": ["password"],
                            "password": {
                                "user": {"name": "demo", "password": "********", "domain": {"name": "acme"}}
                            },
                        },
                        "scope": {"project": {"name": "eu-de"}},
                    }
                }
            ]
        }
    }


class KeyTokenPart(BaseModel):
    id: Secret | None = None
    duration_seconds: int = Field(900, ge=900, le=86400, strict=True, description="Seconds that the key lives.")


class KeyIdentityPart(BaseModel):
    methods: list[Short] = Field(min_length=1, max_length=4, examples=[["token"]])
    token: KeyTokenPart | None = None
    policy: dict[str, object] | None = Field(None, description="Not supported: refused rather than ignored.")


class KeyAuth(BaseModel):
    identity: KeyIdentityPart


class TemporaryKeyRequest(BaseModel):
    """Asks for an access key that passes away by itself."""

    auth: KeyAuth


class DomainPart(BaseModel):
    id: str
    name: str


class UserPart(BaseModel):
    id: str
    name: str
    domain: DomainPart
    password_expires_at: str = ""


class ProjectPart(BaseModel):
    id: str
    name: str
    domain: DomainPart


class RolePart(BaseModel):
    id: str
    name: str


class EndpointPart(BaseModel):
    id: str
    interface: str = "public"
    region: str
    region_id: str
    url: str


class CatalogEntry(BaseModel):
    id: str
    type: str
    name: str
    endpoints: list[EndpointPart]


class TokenPart(BaseModel):
    methods: list[str]
    expires_at: str = Field(examples=["2026-11-22T08:16:30.848022Z"])
    issued_at: str
    user: UserPart
    project: ProjectPart | None = None
    domain: DomainPart | None = None
    roles: list[RolePart] | None = None
    catalog: list[CatalogEntry] | None = None


class TokenAnswer(BaseModel):
    """The facts of a token. Its text is in the header X-Subject-Token."""

    token: TokenPart


class Links(BaseModel):
    self: str
    next: str | None = None
    previous: str | None = None


class ProjectFacts(BaseModel):
    id: str
    name: str
    domain_id: str
    parent_id: str
    description: str = ""
    enabled: bool = True
    is_domain: bool = False
    links: Links


class ProjectsAnswer(BaseModel):
    projects: list[ProjectFacts]
    links: Links


class ProjectAnswer(BaseModel):
    project: ProjectFacts


class DomainFacts(BaseModel):
    id: str
    name: str
    description: str = ""
    enabled: bool = True
    links: Links


class DomainsAnswer(BaseModel):
    domains: list[DomainFacts]
    links: Links


class DomainAnswer(BaseModel):
    domain: DomainFacts


class CatalogAnswer(BaseModel):
    catalog: list[CatalogEntry]
    links: Links


class RegionFacts(BaseModel):
    id: str
    description: str = ""
    parent_region_id: str | None = None
    type: str = "public"
    locales: dict[str, str]
    links: Links


class RegionsAnswer(BaseModel):
    regions: list[RegionFacts]
    links: Links


class RegionAnswer(BaseModel):
    region: RegionFacts


class ServiceFacts(BaseModel):
    id: str
    type: str
    name: str
    description: str = ""
    enabled: bool = True
    links: Links


class ServicesAnswer(BaseModel):
    services: list[ServiceFacts]
    links: Links


class EndpointFacts(EndpointPart):
    service_id: str
    enabled: bool = True
    links: Links


class EndpointsAnswer(BaseModel):
    endpoints: list[EndpointFacts]
    links: Links


class UserFacts(BaseModel):
    id: str
    name: str
    domain_id: str
    description: str = ""
    enabled: bool
    password_expires_at: str = ""
    pwd_status: bool = True
    last_project_id: str | None = None
    access_mode: str = "default"
    links: Links


class UserAnswer(BaseModel):
    user: UserFacts


class CredentialPart(BaseModel):
    access: str
    secret: str
    securitytoken: str
    expires_at: str


class CredentialAnswer(BaseModel):
    """A temporary access key. Requests signed with it carry ``securitytoken`` as X-Security-Token."""

    credential: CredentialPart


class VersionLink(BaseModel):
    rel: str = "self"
    href: str


class MediaType(BaseModel):
    base: str = "application/json"
    type: str = "application/vnd.openstack.identity-v3+json"


class VersionFacts(BaseModel):
    id: str = "v3.14"
    status: str = "stable"
    updated: str = "2020-04-07T00:00:00Z"
    links: list[VersionLink]
    media_types: list[MediaType] = Field(default_factory=lambda: [MediaType()], serialization_alias="media-types")


class VersionAnswer(BaseModel):
    version: VersionFacts


class VersionList(BaseModel):
    values: list[VersionFacts]


class VersionsAnswer(BaseModel):
    versions: VersionList
