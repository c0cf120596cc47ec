"""Proofs over the wire: which one counts, in which form, and that what was signed is what arrives."""

import hashlib
import hmac
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from sterna import api
from sterna.api.language import CHINESE, ENGLISH, MESSAGES
from sterna.api.signing import signing_key, string_to_sign
from sterna.core.people import Instance
from tests.api.service import AK, PROJECT, SK, Service

TASKS = f"/v2/{PROJECT}/migration-tasks"


def signed(
    method: str, path: str, *, canonical: str = "", query: str = "", scoped: bool = False, late: int = 0
) -> Mapping[str, str]:
    """Headers with a signature over the date alone, in either form."""
    date = f"{datetime.now(UTC) + timedelta(seconds=late):%Y%m%dT%H%M%SZ}"
    scope = f"{date[:8]}///sdk_request" if scoped else None
    payload = hashlib.sha256(b"").hexdigest()
    text = f"{method}\n{canonical or path + '/'}\n{query}\nx-sdk-date:{date}\n\nx-sdk-date\n{payload}"
    to_sign = string_to_sign(text, date, scope)
    signature = hmac.new(signing_key(SK, scope), to_sign.encode(), hashlib.sha256).hexdigest()
    who = f"Credential={AK}/{scope}" if scoped else f"Access={AK}"
    return {
        "X-Sdk-Date": date,
        "Authorization": f"SDK-HMAC-SHA256 {who}, SignedHeaders=x-sdk-date, Signature={signature}",
    }


@pytest.fixture
def nobody(service: Service) -> Iterator[httpx.Client]:
    with service.client() as client:
        yield client


@pytest.mark.parametrize("scoped", [False, True])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_both_forms_of_signature_open_the_door(nobody: httpx.Client, scoped: bool, method: str) -> None:
    for path in (TASKS, "/v3/projects", "/v3/auth/domains", "/v3/auth/catalog"):
        answer = nobody.request(method, path, headers=signed(method, path, scoped=scoped))
        assert answer.status_code == 200, answer.text


def test_a_signed_query_arrives_as_it_was_signed(nobody: httpx.Client) -> None:
    query = "limit=2&name=a%20b%2F%2B~%2A%27%E4%B8%AD"
    headers = signed("GET", TASKS, query=query)
    assert nobody.get(f"{TASKS}?{query}", headers=headers).status_code == 200
    unsorted = "name=a%20b%2F%2B~*%27%E4%B8%AD&limit=2"
    assert nobody.get(f"{TASKS}?{unsorted}", headers=headers).status_code == 200
    assert nobody.get(f"{TASKS}?{query}&offset=1", headers=headers).status_code == 401


def test_an_odd_path_arrives_as_it_was_signed(nobody: httpx.Client) -> None:
    base = f"/v2/{PROJECT}/migration-task"
    headers = signed("GET", "", canonical=f"{base}/a%20b/c~d%2Be%252F%C3%A9%2A%27%28%29/")
    answer = nobody.get(f"{base}/a%20b%2Fc~d%2Be%252F%C3%A9%2A%27%28%29", headers=headers)
    assert answer.json()["error_code"] == "DCS.4070"


@pytest.mark.parametrize("late", [-910, 3600])
def test_an_old_or_early_signature_is_refused(nobody: httpx.Client, late: int) -> None:
    answer = nobody.get(TASKS, headers=signed("GET", TASKS, late=late))
    assert (answer.status_code, answer.json()["error_code"]) == (401, "APIGW.0301")
    assert "signature expired" in answer.json()["error_msg"]


def test_a_token_counts_before_a_signature(service: Service, nobody: httpx.Client) -> None:
    good, bad = signed("GET", TASKS), signed("GET", "/elsewhere")
    assert nobody.get(TASKS, headers={**bad, "X-Auth-Token": service.token()}).status_code == 200
    assert nobody.get(TASKS, headers={**good, "X-Auth-Token": "nonsense"}).status_code == 401
    assert nobody.get(TASKS, headers={**good, "X-Auth-Token": ""}).status_code == 200


def test_a_proof_given_twice_is_none(service: Service, nobody: httpx.Client) -> None:
    token = service.token()
    answer = nobody.get(TASKS, headers=[("X-Auth-Token", token), ("X-Auth-Token", token)])
    assert (answer.status_code, answer.json()["error_code"]) == (401, "APIGW.0301")


def test_an_instance_of_another_engine_cannot_be_named(service: Service, client: httpx.Client) -> None:
    other = Instance("a" * 32, PROJECT, "a-mysql", "mysql", (("10.0.0.9", 3306),))
    secure = Instance(
        "b" * 32, PROJECT, "with-tls", "valkey", (("10.0.0.8", 6380),), user="mover", tls='{"verify": false}'
    )
    for instance in (other, secure):
        service.run(service.store.add_instance(instance))
    places = {"vpc_id": "v", "subnet_id": "s", "security_group_id": "g"}
    made = client.post(f"/v2/{PROJECT}/migration/instance", json={"name": "with-others", **places})
    id = made.json()["instance_id"]
    body = {
        "migration_method": "full_amount_migration",
        "resume_mode": "auto",
        "source_instance": {"addrs": "a:1"},
    }
    path = f"/v2/{PROJECT}/migration/{id}/task"
    no = client.post(path, json={**body, "target_instance": {"id": other.id}})
    assert (no.status_code, no.json()["error_code"]) == (400, "DCS.4006")
    assert client.post(path, json={**body, "target_instance": {"id": secure.id, "password": "given"}}).is_success
    plan = service.run(service.store.job(id)).plan
    assert plan
    assert (plan.target.engine, plan.target.user, plan.target.password) == ("redis", "mover", "given")
    assert plan.target.tls
    assert not plan.target.tls.verify


def test_every_refusal_in_the_code_has_its_words_in_both_languages() -> None:
    modules = [path for path in Path(api.__file__).parent.rglob("*.py") if path.name != "language.py"]
    source = "".join(path.read_text("utf-8") for path in modules)
    assert set(re.findall(r'"((?:APIGW|IAM|DCS|DRS)\.[A-Z]*\d+(?:\.[a-z0-9]+)?)"', source)) == MESSAGES.keys()
    for code, message in MESSAGES.items():
        english, chinese = (message.text(language, ("<it>",) * 3) for language in (ENGLISH, CHINESE))
        assert english.isascii(), code
        assert re.search(r"[\u4e00-\u9fff]", chinese), code
        assert ("<it>" in english) == ("<it>" in chinese), code
