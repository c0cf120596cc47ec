"""Logging in and looking around: what IAM answers, to whom, and what it keeps."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from sterna.api.settings import ApiSettings
from sterna.core.people import Project, digest_of
from tests.api.service import (
    AK,
    DOMAIN,
    FOREIGN_PROJECT,
    OTHER_USER,
    PASSWORD,
    PROJECT,
    REGION,
    SECOND_PROJECT,
    USER,
    Service,
    login,
    serving,
)

pytestmark = pytest.mark.long

TOKENS = "/v3/auth/tokens"


def log_in(client: httpx.Client, body: dict[str, Any], **params: str) -> httpx.Response:
    return client.post(TOKENS, json=body, params=params)


def with_user(user: dict[str, Any], scope: Any = None) -> dict[str, Any]:
    auth = {"identity": {"methods": ["password"], "password": {"user": {"password": PASSWORD, **user}}}}
    return {"auth": auth | ({"scope": scope} if scope is not None else {})}


def with_token(text: str, scope: Any = None) -> dict[str, Any]:
    auth: dict[str, Any] = {"identity": {"methods": ["token"], "token": {"id": text}}}
    return {"auth": auth | ({"scope": scope} if scope is not None else {})}


def fault(answer: httpx.Response, status: int, title: str) -> str:
    """A Keystone error, whose message is returned."""
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert answer.json().keys() == {"error"}
    assert (error["code"], error["title"]) == (status, title)
    assert answer.headers["X-Request-Id"] == answer.headers["X-IAM-Trace-Id"]
    return str(error["message"])


@pytest.fixture
def nobody(service: Service) -> Iterator[httpx.Client]:
    with service.client() as client:
        yield client


# Discovery.


@pytest.mark.parametrize("path", ["/v3", "/v3/"])
def test_the_version_is_found_without_a_proof(service: Service, nobody: httpx.Client, path: str) -> None:
    version = nobody.get(path).json()["version"]
    assert (version["id"][:3], version["status"]) == ("v3.", "stable")
    assert version["links"] == [{"rel": "self", "href": f"{service.url}/v3/"}]
    assert nobody.get("/").json() == {"versions": {"values": [version]}}


def test_addresses_are_those_that_the_client_used_unless_told_otherwise(nobody: httpx.Client) -> None:
    seen = nobody.get("/v3", headers={"Host": "sterna.internal:8443"}).json()
    assert seen["version"]["links"][0]["href"] == "http://sterna.internal:8443/v3/"
    odd = nobody.get("/v3", headers={"Host": 'x"><script>'}).json()
    assert "script" not in odd["version"]["links"][0]["href"]
    with serving(ApiSettings(public_url="https://sterna.example/")) as public, public.client() as client:
        assert client.get("/v3").json()["version"]["links"][0]["href"] == "https://sterna.example/v3/"


# Tokens.


@pytest.mark.parametrize(
    "user",
    [
        {"name": "demo", "domain": {"name": "acme"}},
        {"name": "demo", "domain": {"id": DOMAIN}},
        {"id": USER},
    ],
)
@pytest.mark.parametrize(
    "scope",
    [
        {"project": {"id": PROJECT}},
        {"project": {"name": REGION}},
        {"project": {"name": REGION, "domain": {"name": "acme"}}},
        {"project": {"name": REGION, "domain": {"id": DOMAIN}}},
    ],
)
def test_a_token_for_a_project_says_whose_and_where(
    nobody: httpx.Client, user: dict[str, Any], scope: dict[str, Any]
) -> None:
    answer = log_in(nobody, with_user(user, scope))
    assert answer.status_code == 201
    assert len(answer.headers["X-Subject-Token"]) >= 43
    token = answer.json()["token"]
    domain = {"id": DOMAIN, "name": "acme"}
    assert token["methods"] == ["password"]
    assert token["user"] == {"id": USER, "name": "demo", "domain": domain, "password_expires_at": ""}
    assert token["project"] == {"id": PROJECT, "name": REGION, "domain": domain}
    assert token["roles"] == [{"id": "0", "name": "te_admin"}]
    assert "domain" not in token
    lives = datetime.fromisoformat(token["expires_at"]) - datetime.fromisoformat(token["issued_at"])
    assert lives == timedelta(hours=24)


def test_the_catalogue_names_each_service_for_each_kind_of_client(service: Service, nobody: httpx.Client) -> None:
    token = log_in(nobody, with_user({"id": USER}, {"project": {"id": PROJECT}})).json()["token"]
    found = {entry["type"]: entry["endpoints"][0] for entry in token["catalog"]}
    assert {kind: it["url"].removeprefix(service.url) for kind, it in found.items()} == {
        "identity": "/v3",
        "drs": f"/v3/{PROJECT}",
        "drsv5": f"/v5/{PROJECT}",
        "dcs": f"/v1.0/{PROJECT}",
        "dcsv1": f"/v1.0/{PROJECT}",
        "dcsv2": f"/v2/{PROJECT}",
        "volumev2": f"/v2/{PROJECT}",
    }
    for endpoint in found.values():
        assert (endpoint["interface"], endpoint["region"], endpoint["region_id"]) == ("public", REGION, REGION)
    bare = log_in(nobody, with_user({"id": USER}, {"project": {"id": PROJECT}}), nocatalog="true")
    assert "catalog" not in bare.json()["token"]


def test_a_token_may_be_scoped_to_the_domain_or_to_nothing(nobody: httpx.Client) -> None:
    domain = log_in(nobody, with_user({"id": USER}, {"domain": {"name": "acme"}})).json()["token"]
    assert domain["domain"] == {"id": DOMAIN, "name": "acme"}
    assert "project" not in domain
    assert domain["catalog"]
    for scope in (None, "unscoped"):
        free = log_in(nobody, with_user({"id": USER}, scope)).json()["token"]
        assert not {"project", "domain", "catalog", "roles"} & free.keys()


def test_a_token_begets_a_token_that_lives_no_longer(nobody: httpx.Client) -> None:
    first = log_in(nobody, with_user({"id": USER}))
    second = log_in(nobody, with_token(first.headers["X-Subject-Token"], {"project": {"id": PROJECT}}))
    assert second.status_code == 201
    assert second.json()["token"]["methods"] == ["token", "password"]
    assert second.json()["token"]["expires_at"] == first.json()["token"]["expires_at"]
    assert "read" not in fault(log_in(nobody, with_token("nonsense")), 401, "Unauthorized")


@pytest.mark.parametrize(
    "user",
    [
        {"name": "demo", "domain": {"name": "acme"}, "password": "wrong"},
        {"name": "nobody", "domain": {"name": "acme"}},
        {"name": "demo", "domain": {"name": "elsewhere"}},
        {"id": "0" * 32},
    ],
)
def test_a_failed_login_does_not_say_what_was_wrong(nobody: httpx.Client, user: dict[str, Any]) -> None:
    message = fault(log_in(nobody, with_user(user)), 401, "Unauthorized")
    assert message == "The username or password is wrong."


def test_a_login_for_an_unknown_user_compares_a_password_too(
    service: Service, nobody: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[str] = []

    def compare(password: str, hashed: str) -> bool:
        compared.append(hashed)
        return True

    monkeypatch.setattr("sterna.api.iam.tokens.check_password", compare)
    fault(log_in(nobody, with_user({"id": "0" * 32})), 401, "Unauthorized")
    assert compared[0].startswith("scrypt$")


@pytest.mark.parametrize(
    "scope",
    [
        {"project": {"id": FOREIGN_PROJECT}},
        {"project": {"id": "0" * 32}},
        {"project": {"name": "eu-test-3"}},
        {"project": {"name": REGION, "domain": {"name": "elsewhere"}}},
        {"domain": {"name": "elsewhere"}},
    ],
)
def test_a_scope_that_is_not_the_users_is_refused(nobody: httpx.Client, scope: dict[str, Any]) -> None:
    fault(log_in(nobody, with_user({"id": USER}, scope)), 401, "Unauthorized")


@pytest.mark.parametrize(
    ("body", "naming"),
    [
        ({}, "auth"),
        ({"auth": {}}, "auth.identity"),
        ({"auth": {"identity": {"methods": []}}}, "auth.identity.methods"),
        ({"auth": {"identity": {"methods": ["password"]}}}, "auth.identity.password"),
        ({"auth": {"identity": {"methods": ["token"]}}}, "auth.identity.token"),
        (with_user({"name": "demo"}), "auth.identity.password.user"),
        (with_user({"id": 5}), "auth.identity.password.user.id"),
        (with_user({"id": USER, "password": ["hunter2"]}), "auth.identity.password.user.password"),
        (with_user({"id": USER}, {"project": {}}), "auth.scope.project"),
    ],
)
def test_a_malformed_login_is_refused_by_its_field(nobody: httpx.Client, body: Any, naming: str) -> None:
    message = fault(log_in(nobody, body), 400, "Bad Request")
    assert naming in message
    assert "hunter2" not in message


def test_a_login_that_is_no_json_or_unknown_is_refused(nobody: httpx.Client) -> None:
    fault(nobody.post(TOKENS, content=b"{"), 400, "Bad Request")
    fault(nobody.post(TOKENS), 400, "Bad Request")
    totp = {"auth": {"identity": {"methods": ["totp"]}}}
    fault(log_in(nobody, totp), 401, "Unauthorized")


def test_a_token_can_be_looked_at_and_revoked_by_its_user_alone(service: Service) -> None:
    text = service.token()
    with service.client(text) as client, service.client(service.token(None, name="other")) as other:
        subject = {"X-Subject-Token": text}
        seen = client.get(TOKENS, headers=subject)
        assert seen.json()["token"]["project"]["id"] == PROJECT
        assert seen.headers["X-Subject-Token"] == text
        head = client.head(TOKENS, headers=subject)
        assert (head.status_code, head.content) == (200, b"")
        fault(client.get(TOKENS), 400, "Bad Request")
        fault(client.get(TOKENS, headers={"X-Subject-Token": "nonsense"}), 404, "Not Found")
        fault(other.get(TOKENS, headers=subject), 404, "Not Found")
        fault(other.delete(TOKENS, headers=subject), 404, "Not Found")
        assert client.delete(TOKENS, headers=subject).status_code == 204
        fault(client.get("/v3/projects"), 401, "Unauthorized")


def test_only_the_digest_of_a_token_is_kept(service: Service) -> None:
    text = service.token()
    kept = service.run(service.store.token(digest_of(text)))
    assert kept
    assert text not in repr(vars(service.store))


def test_a_token_expires(service: Service) -> None:
    with serving(ApiSettings(token_hours=0)) as hasty, hasty.client(hasty.token()) as late:
        assert "token expires, expires_at: " in fault(late.get("/v3/projects"), 401, "Unauthorized")
        gone = late.get(f"/v2/{PROJECT}/migration-tasks")
        assert (gone.status_code, gone.json()["error_code"]) == (401, "APIGW.0301")


def test_a_user_who_was_disabled_is_out_at_once(service: Service) -> None:
    with serving() as running, running.client(running.token()) as client:
        user = running.run(running.store.users())[0]
        assert client.get("/v3/projects").status_code == 200
        running.run(running.store.put_user(replace(user, enabled=False)))
        fault(client.get("/v3/projects"), 401, "Unauthorized")
        fault(client.post(TOKENS, json=login("demo", PASSWORD, None)), 401, "Unauthorized")


def test_a_user_who_lost_a_project_loses_its_tokens_too(service: Service) -> None:
    with serving() as running, running.client(running.token()) as client:
        user = running.run(running.store.users())[0]
        running.run(running.store.put_user(replace(user, project_ids=(SECOND_PROJECT,))))
        fault(client.get("/v3/projects"), 401, "Unauthorized")
        assert client.get(f"/v2/{PROJECT}/migration-tasks").status_code == 401


# Looking around.


@pytest.mark.parametrize("path", ["/v3/projects", "/v3/auth/projects", f"/v3/users/{USER}/projects"])
def test_the_users_projects_are_listed(client: httpx.Client, path: str) -> None:
    listed = client.get(path).json()["projects"]
    assert [it["id"] for it in listed] == [PROJECT, SECOND_PROJECT]
    assert (listed[0]["name"], listed[0]["domain_id"], listed[0]["enabled"]) == (REGION, DOMAIN, True)


def test_a_project_is_found_by_its_name(client: httpx.Client) -> None:
    found = client.get("/v3/projects", params={"name": REGION}).json()["projects"]
    assert [it["id"] for it in found] == [PROJECT]
    assert client.get("/v3/projects", params={"name": "eu-test-3"}).json()["projects"] == []
    assert len(client.get("/v3/projects", params={"name": ""}).json()["projects"]) == 2
    assert client.get(f"/v3/projects/{PROJECT}").json()["project"]["name"] == REGION
    fault(client.get(f"/v3/projects/{FOREIGN_PROJECT}"), 404, "Not Found")


@pytest.mark.parametrize("path", ["/v3/domains", "/v3/auth/domains"])
def test_the_users_domain_is_listed(client: httpx.Client, path: str) -> None:
    for params in ({}, {"name": "acme"}):
        (domain,) = client.get(path, params=params).json()["domains"]
        assert (domain["id"], domain["name"], domain["enabled"]) == (DOMAIN, "acme", True)
    assert client.get(path, params={"name": "elsewhere"}).json()["domains"] == []


def test_regions_are_named_like_projects(client: httpx.Client) -> None:
    assert [it["id"] for it in client.get("/v3/regions").json()["regions"]] == [REGION, "eu-test-2"]
    assert client.get(f"/v3/regions/{REGION}").json()["region"]["id"] == REGION
    fault(client.get("/v3/regions/mars"), 404, "Not Found")


def test_the_catalogue_can_be_asked_for_in_pieces(client: httpx.Client) -> None:
    kinds = [it["type"] for it in client.get("/v3/auth/catalog").json()["catalog"]]
    services = client.get("/v3/services").json()["services"]
    assert [it["type"] for it in services] == kinds
    (dcs,) = client.get("/v3/services", params={"type": "dcs"}).json()["services"]
    (endpoint,) = client.get("/v3/endpoints", params={"service_id": dcs["id"]}).json()["endpoints"]
    assert endpoint["url"].endswith(f"/v1.0/{PROJECT}")


def test_a_user_sees_oneself_alone(client: httpx.Client) -> None:
    user = client.get(f"/v3/users/{USER}").json()["user"]
    assert (user["id"], user["name"], user["domain_id"], user["enabled"]) == (USER, "demo", DOMAIN, True)
    assert "password_hash" not in user
    fault(client.get(f"/v3/users/{OTHER_USER}"), 403, "Forbidden")
    fault(client.get(f"/v3/users/{OTHER_USER}/projects"), 403, "Forbidden")
    assert client.get(f"/v3/domains/{DOMAIN}").json()["domain"]["name"] == "acme"
    fault(client.get("/v3/domains/other"), 404, "Not Found")


@pytest.mark.parametrize(
    "path", ["/v3/projects", "/v3/auth/catalog", "/v3/regions", f"/v3/users/{USER}", "/v3/auth/tokens"]
)
def test_nobody_sees_nothing(nobody: httpx.Client, path: str) -> None:
    assert "x-auth-token not found" in fault(nobody.get(path), 401, "Unauthorized")
    chinese = nobody.get(path, headers={"X-Language": "zh-cn"})
    assert "需要认证" in fault(chinese, 401, "Unauthorized")


def test_lost_ways_are_answered_as_keystone_does(client: httpx.Client) -> None:
    fault(client.get("/v3/auth/nowhere"), 404, "Not Found")
    fault(client.put("/v3/projects"), 405, "Method Not Allowed")


def test_two_projects_of_one_name_in_one_domain_cannot_be(service: Service) -> None:
    with pytest.raises(Exception, match="taken"):
        service.run(service.store.add_project(Project("9" * 32, REGION, DOMAIN)))


# Temporary keys.


def temporary(client: httpx.Client, **token: Any) -> httpx.Response:
    body = {"auth": {"identity": {"methods": ["token"], "token": token}}}
    return client.post("/v3.0/OS-CREDENTIAL/securitytokens", json=body)


def test_a_temporary_key_is_given_for_a_while(service: Service, client: httpx.Client) -> None:
    before = service.desk.clock()
    answer = temporary(client, duration_seconds=3600)
    after = service.desk.clock()
    assert answer.status_code == 201
    credential = answer.json()["credential"]
    assert credential.keys() == {"access", "secret", "securitytoken", "expires_at"}
    key = service.run(service.store.key(credential["access"]))
    assert key
    assert key.user_id == USER
    assert key.access_key != AK
    assert key.expires_ms
    assert before <= key.expires_ms - 3_600_000 <= after


def test_a_temporary_key_may_come_from_another_token_of_ones_own(service: Service, client: httpx.Client) -> None:
    assert temporary(client, id=service.token(None)).status_code == 201
    fault(temporary(client, id=service.token(None, name="other")), 403, "Forbidden")
    fault(temporary(client, id="nonsense"), 401, "Unauthorized")
    for wrong in (899, 86401, "900", True):
        fault(temporary(client, duration_seconds=wrong), 400, "Bad Request")


def test_a_policy_is_refused_rather_than_ignored(client: httpx.Client) -> None:
    body = {"auth": {"identity": {"methods": ["token"], "policy": {"Version": "1.1"}}}}
    answer = client.post("/v3.0/OS-CREDENTIAL/securitytokens", json=body)
    assert "policy" in fault(answer, 400, "Bad Request")
    body = {"auth": {"identity": {"methods": ["assume_role"]}}}
    fault(client.post("/v3.0/OS-CREDENTIAL/securitytokens", json=body), 401, "Unauthorized")
