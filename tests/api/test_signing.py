"""Signatures that real clients made must be proven, and nothing else."""

import hashlib
import hmac
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sterna.api.signing import (
    BadSignature,
    Claim,
    RawRequest,
    canonical_request,
    parse,
    signing_key,
    string_to_sign,
    verify,
)

VECTORS: list[dict[str, Any]] = json.loads(Path(__file__).with_name("vectors.json").read_text("utf-8"))
KNOWN = [vector for vector in VECTORS if vector["string_to_sign"].startswith("SDK-HMAC-SHA256\n")]
OTHERS = [vector for vector in VECTORS if vector not in KNOWN]
NAMES = [f"{number}-{vector['source']}-{vector['scenario'][:30]}" for number, vector in enumerate(KNOWN)]
WINDOW = 900


def request_of(vector: dict[str, Any]) -> RawRequest:
    headers = tuple((name.lower(), value.encode()) for name, value in vector["headers"])
    return RawRequest(vector["method"], vector["target"].encode(), headers, vector["body"].encode())


def header_of(vector: dict[str, Any], wanted: str) -> str:
    headers: list[list[str]] = vector["headers"]
    return next((value for name, value in headers if name.lower() == wanted), "")


def signed_at(vector: dict[str, Any]) -> datetime:
    return datetime.strptime(header_of(vector, "x-sdk-date"), "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


def check(request: RawRequest, vector: dict[str, Any], claim: Claim | None = None, late: int = 0) -> None:
    claim = claim or parse(header_of(vector, "authorization"))
    verify(request, claim, vector["sk"], now=signed_at(vector) + timedelta(seconds=late), window=WINDOW)


def with_header(request: RawRequest, name: str, value: bytes) -> RawRequest:
    return replace(request, headers=(*(pair for pair in request.headers if pair[0] != name), (name, value)))


@pytest.mark.parametrize("vector", KNOWN, ids=NAMES)
def test_a_recorded_request_of_a_real_client_is_proven(vector: dict[str, Any]) -> None:
    claim = parse(header_of(vector, "authorization"))
    canonical = canonical_request(request_of(vector), claim)
    assert canonical == vector["canonical_request"]
    assert string_to_sign(canonical, header_of(vector, "x-sdk-date"), claim.scope) == vector["string_to_sign"]
    assert claim.access_key == vector["ak"]
    check(request_of(vector), vector)


@pytest.mark.parametrize("vector", KNOWN, ids=NAMES)
def test_one_changed_byte_anywhere_is_refused(vector: dict[str, Any]) -> None:
    request = request_of(vector)
    claim = parse(header_of(vector, "authorization"))
    unsigned = header_of(vector, "x-sdk-content-sha256") == "UNSIGNED-PAYLOAD"
    forgeries = [
        replace(request, method="PATCH"),
        replace(request, target=flipped(request.target, len(request.target) // 2)),
        replace(request, target=request.target + (b"&" if b"?" in request.target else b"?") + b"x=1"),
        replace(request, target=request.target.partition(b"?")[0] + b"/more"),
        *(
            with_header(request, name, flipped(request.header(name).encode(), 0))  # type: ignore[union-attr]
            for name in claim.signed_headers.split(";")
        ),
    ]
    if not unsigned:
        forgeries.append(replace(request, body=request.body + b" "))
        forgeries += [replace(request, body=flipped(request.body, at)) for at in range(0, len(request.body), 7)]
    for forgery in forgeries:
        with pytest.raises(BadSignature):
            check(forgery, vector)
    with pytest.raises(BadSignature):
        check(request, vector, replace(claim, signature=flipped(claim.signature.encode(), 5).decode()))
    with pytest.raises(BadSignature):
        check(request, {**vector, "sk": vector["sk"] + "x"})


def flipped(data: bytes, at: int) -> bytes:
    """One byte is another letter or digit."""
    return data[:at] + (b"1" if data[at : at + 1] != b"1" else b"2") + data[at + 1 :]


@pytest.mark.parametrize("late", [-901, 901, 86400])
def test_a_signature_of_another_time_is_refused(late: int) -> None:
    with pytest.raises(BadSignature, match="signature expired"):
        check(request_of(KNOWN[0]), KNOWN[0], late=late)


@pytest.mark.parametrize("late", [-899, 0, 899])
def test_a_clock_that_is_a_little_off_is_tolerated(late: int) -> None:
    check(request_of(KNOWN[0]), KNOWN[0], late=late)


def signed(request: RawRequest, names: str, payload: str, secret: str = "secret") -> tuple[RawRequest, Claim]:
    """A request signed here, step by step as the vendor's page describes it."""
    request = with_header(request, "x-sdk-date", b"20261121T084741Z")
    lines = "".join(f"{name}:{request.header(name)}\n" for name in names.split(";"))
    path = request.target.decode().partition("?")[0]
    text = f"{request.method}\n{path}/\n\n{lines}\n{names}\n{payload}"
    digest = hashlib.sha256(text.encode()).hexdigest()
    to_sign = f"SDK-HMAC-SHA256\n20261121T084741Z\n{digest}"
    signature = hmac.new(secret.encode(), to_sign.encode(), hashlib.sha256).hexdigest()
    return request, parse(f"SDK-HMAC-SHA256 Access=AK, SignedHeaders={names}, Signature={signature}")


def proven(request: RawRequest, claim: Claim) -> None:
    verify(request, claim, "secret", now=datetime(2026, 11, 21, 8, 47, 41, tzinfo=UTC), window=WINDOW)


def test_a_body_swapped_under_a_declared_hash_is_refused() -> None:
    body = b'{"a": 1}'
    declared = hashlib.sha256(body).hexdigest()
    bare = RawRequest("POST", b"/v2/p/x", (("x-sdk-content-sha256", declared.encode()),), body)
    request, claim = signed(bare, "x-sdk-date", declared)
    proven(request, claim)
    with pytest.raises(BadSignature, match="not the hash of the body"):
        proven(replace(request, body=b'{"a": 2}'), claim)


def test_an_unsigned_payload_may_be_declared_by_the_signer_alone() -> None:
    bare = RawRequest("POST", b"/v2/p/x", (("x-sdk-content-sha256", b"UNSIGNED-PAYLOAD"),), b"anything")
    proven(*signed(bare, "x-sdk-date", "UNSIGNED-PAYLOAD"))
    honest, claim = signed(
        RawRequest("POST", b"/v2/p/x", (), b"anything"), "x-sdk-date", hashlib.sha256(b"anything").hexdigest()
    )
    proven(honest, claim)
    with pytest.raises(BadSignature):
        proven(with_header(honest, "x-sdk-content-sha256", b"UNSIGNED-PAYLOAD"), claim)


def test_an_empty_body_may_be_signed_by_its_hash_or_by_the_declared_word() -> None:
    bare = RawRequest("GET", b"/v2/p/x", (("x-sdk-content-sha256", b"UNSIGNED-PAYLOAD"),), b"")
    proven(*signed(bare, "x-sdk-date", "UNSIGNED-PAYLOAD"))
    proven(*signed(bare, "x-sdk-date", hashlib.sha256(b"").hexdigest()))


def test_the_date_must_be_signed_and_nothing_else_need_be() -> None:
    bare = RawRequest("GET", b"/v2/p/x", (("host", b"h"),), b"")
    proven(*signed(bare, "x-sdk-date", hashlib.sha256(b"").hexdigest()))
    with pytest.raises(BadSignature, match="x-sdk-date is not signed"):
        proven(*signed(bare, "host", hashlib.sha256(b"").hexdigest()))


def test_a_header_that_came_twice_is_refused() -> None:
    request, claim = signed(RawRequest("GET", b"/v2/p/x", (), b""), "x-sdk-date", hashlib.sha256(b"").hexdigest())
    twice = replace(request, headers=(*request.headers, ("x-sdk-date", b"20261121T084741Z")))
    with pytest.raises(BadSignature, match="not unique"):
        proven(twice, claim)


def test_a_bodiless_post_of_the_credential_form_may_move_its_query_into_the_body_hash() -> None:
    scope = "20261121///sdk_request"
    request = RawRequest("POST", b"/v2/p/x?b=2&A=1", (("x-sdk-date", b"20261121T084741Z"),), b"")
    payload = hashlib.sha256(b"A=1&b=2").hexdigest()
    text = f"POST\n/v2/p/x/\n\nx-sdk-date:20261121T084741Z\n\nx-sdk-date\n{payload}"
    to_sign = string_to_sign(text, "20261121T084741Z", scope)
    signature = hmac.new(signing_key("secret", scope), to_sign.encode(), hashlib.sha256).hexdigest()
    proven(request, Claim("AK", scope, "x-sdk-date", signature))


@pytest.mark.parametrize("vector", OTHERS, ids=[vector["source"] for vector in OTHERS])
def test_an_unknown_algorithm_is_refused_with_the_one_to_use(vector: dict[str, Any]) -> None:
    with pytest.raises(BadSignature, match="use SDK-HMAC-SHA256"):
        parse(header_of(vector, "authorization"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "SDK-HMAC-SHA256",
        "SDK-HMAC-SM3 Access=a, SignedHeaders=x-sdk-date, Signature=" + "0" * 64,
        "SDK-ECDSA-P256-SHA256 Access=a, SignedHeaders=x-sdk-date, Signature=" + "0" * 64,
        "SDK-HMAC-SHA256 Access=a, SignedHeaders=x-sdk-date",
        "SDK-HMAC-SHA256 Access=, SignedHeaders=x-sdk-date, Signature=" + "0" * 64,
        "SDK-HMAC-SHA256 Access=a, SignedHeaders=x-sdk-date, Signature=" + "0" * 63,
        "SDK-HMAC-SHA256 Access=a, SignedHeaders=x-sdk-date, Signature=" + "Z" * 64,
        "SDK-HMAC-SHA256 Access=a, Access=b, SignedHeaders=x-sdk-date, Signature=" + "0" * 64,
        "SDK-HMAC-SHA256 Credential=a/20261121/sdk_request, SignedHeaders=x-sdk-date, Signature=" + "0" * 64,
        "SDK-HMAC-SHA256 Access=\udcff, SignedHeaders=x-sdk-date, Signature=" + "0" * 64,
        "Basic dXNlcjpwYXNz",
    ],
)
def test_a_malformed_authorization_is_refused(text: str) -> None:
    with pytest.raises(BadSignature):
        parse(text)
