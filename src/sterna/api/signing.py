"""Proves that a request was signed with a secret key: the AK/SK signatures of the cloud's SDKs, on raw bytes.

Two forms of ``SDK-HMAC-SHA256`` are known. ``Access=<AK>`` signs with the secret itself (the vendor's SDKs, the
Terraform provider for Huawei Cloud); ``Credential=<AK>/<day>/<region>/<service>/sdk_request`` signs with a key
derived from secret and scope (the Terraform provider for Open Telekom Cloud). Nothing here knows HTTP servers or
stores.
"""

import hashlib
import hmac
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote, unquote_to_bytes

ALGORITHM = "SDK-HMAC-SHA256"
UNSIGNED = "UNSIGNED-PAYLOAD"
EMPTY_HASH = hashlib.sha256(b"").hexdigest()

_FIELD = re.compile(r"\s*(Access|Credential|SignedHeaders|Signature)=([^,]*?)\s*(?:,|$)")
_HEX = re.compile(r"[0-9a-f]{64}")
_SPACES = re.compile(r"[ \t]+")
_KEY = re.compile(r"[\w.-]{1,128}", re.ASCII)
_DATE = re.compile(r"\d{8}T\d{6}Z")


class BadSignature(Exception):
    """The signature does not prove anything; the message says why, and holds no secret."""


@dataclass(frozen=True, slots=True)
class RawRequest:
    """A request exactly as it came over the wire. Header names are lower-case; values are undecoded bytes."""

    method: str
    target: bytes
    """Path and query, still percent-encoded."""
    headers: tuple[tuple[str, bytes], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """The trimmed value of a header, or None. Raises BadSignature if it came more than once."""
        values = [value for key, value in self.headers if key == name]
        if len(values) > 1:
            raise BadSignature(f"header {name} is not unique")
        return values[0].strip(b" \t").decode("utf-8", "surrogateescape") if values else None


@dataclass(frozen=True, slots=True)
class Claim:
    """What an Authorization header claims."""

    access_key: str
    scope: str | None
    """Of the ``Credential=`` form: everything after the access key; None in the ``Access=`` form."""
    signed_headers: str
    signature: str


def parse(authorization: str) -> Claim:
    """Read an Authorization header. Raises BadSignature for any other algorithm or form."""
    algorithm, _, rest = authorization.strip().partition(" ")
    if algorithm != ALGORITHM:
        raise BadSignature(f"unsupported signing algorithm, use {ALGORITHM}")
    fields = _fields(rest)
    access, credential = fields.get("Access"), fields.get("Credential")
    signed, signature = fields.get("SignedHeaders", ""), fields.get("Signature", "")
    if (access is None) == (credential is None) or not signed or not _HEX.fullmatch(signature):
        raise BadSignature("malformed Authorization header")
    key, _, scope = (credential or "").partition("/")
    if not _KEY.fullmatch(access or key):
        raise BadSignature("malformed access key")
    if access is not None:
        return Claim(access, None, signed, signature)
    if scope.count("/") != 3 or not scope.endswith("/sdk_request"):
        raise BadSignature("malformed credential scope")
    return Claim(key, scope, signed, signature)


def verify(request: RawRequest, claim: Claim, secret: str, *, now: datetime, window: int) -> None:
    """Raise BadSignature unless ``secret`` signed this request, within ``window`` seconds of ``now``."""
    date = _fresh_date(request, claim, now, window)
    key = signing_key(secret, claim.scope)
    proven = False
    for text in _canonical_forms(request, claim):
        expected = hmac.new(key, string_to_sign(text, date, claim.scope).encode(), hashlib.sha256).hexdigest()
        proven |= hmac.compare_digest(expected, claim.signature)
    if not proven:
        raise BadSignature("verify aksk signature fail")


def canonical_request(request: RawRequest, claim: Claim) -> str:
    """The text whose hash is signed, in its usual form."""
    return next(_canonical_forms(request, claim))


def string_to_sign(canonical: str, date: str, scope: str | None) -> str:
    """The text that the signature is an HMAC of."""
    digest = hashlib.sha256(canonical.encode("utf-8", "surrogateescape")).hexdigest()
    return "\n".join([ALGORITHM, date, digest] if scope is None else [ALGORITHM, date, scope, digest])


def signing_key(secret: str, scope: str | None) -> bytes:
    """The HMAC key: the secret itself, or a chain of HMACs over the scope's parts."""
    if scope is None:
        return secret.encode()
    key = b"SDK" + secret.encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode("utf-8", "surrogateescape"), hashlib.sha256).digest()
    return key


def _fields(text: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    at = 0
    while at < len(text):
        match = _FIELD.match(text, at)
        if not match or match[1] in fields:
            raise BadSignature("malformed Authorization header")
        fields[match[1]] = match[2]
        at = match.end()
    return fields


def _fresh_date(request: RawRequest, claim: Claim, now: datetime, window: int) -> str:
    if "x-sdk-date" not in claim.signed_headers.lower().split(";"):
        raise BadSignature("x-sdk-date is not signed")
    date = request.header("x-sdk-date") or ""
    if not _DATE.fullmatch(date):
        raise BadSignature("malformed x-sdk-date")
    try:
        signed_at = datetime.strptime(date, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError as wrong:
        raise BadSignature("malformed x-sdk-date") from wrong
    if abs((now - signed_at).total_seconds()) > window:
        raise BadSignature("signature expired")
    if claim.scope is not None and not claim.scope.startswith(date[:8] + "/"):
        raise BadSignature("the credential scope is of another day")
    return date


def _canonical_forms(request: RawRequest, claim: Claim) -> Iterator[str]:
    """The form that most clients sign first, then the ones that some clients sign instead.

    With an empty body Python signs the hash of nothing even where it declares another, Go the declared one. The
    ``Credential=`` client moves the query of a bodiless POST into the body hash.
    """
    path, _, query = request.target.partition(b"?")
    pairs = canonical_query(query, ignore_case=claim.scope is not None)
    for payload in _payload_hashes(request):
        yield _canonical(request, claim, path, pairs, payload)
    if claim.scope is not None and request.method == "POST" and not request.body and pairs:
        yield _canonical(request, claim, path, "", hashlib.sha256(pairs.encode()).hexdigest())


def _canonical(request: RawRequest, claim: Claim, path: bytes, query: str, payload: str) -> str:
    block = "".join(_header_line(request, name, claim) for name in claim.signed_headers.split(";"))
    return "\n".join([request.method, canonical_path(path), query, block, claim.signed_headers, payload])


def canonical_path(raw: bytes) -> str:
    """Decoded once, encoded anew, ending with a slash. An encoded slash becomes a plain one, as in the SDKs."""
    path = quote(unquote_to_bytes(raw), safe="/")
    return path if path.endswith("/") else path + "/"


def canonical_query(raw: bytes, *, ignore_case: bool) -> str:
    """Sorted and encoded anew; ``ignore_case``: sorted without regard to the case of names."""
    pairs = [_pair(piece) for piece in raw.split(b"&") if piece]
    pairs.sort(key=(lambda pair: (pair[0].lower(), pair[1])) if ignore_case else None)
    return "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in pairs)


def _pair(piece: bytes) -> tuple[bytes, bytes]:
    name, _, value = piece.partition(b"=")
    return unquote_to_bytes(name), unquote_to_bytes(value)


def _header_line(request: RawRequest, name: str, claim: Claim) -> str:
    value = request.header(name.lower())
    if value is None:
        raise BadSignature("a signed header is missing")
    return f"{name.lower()}:{_SPACES.sub(' ', value) if claim.scope is not None else value}\n"


def _payload_hashes(request: RawRequest) -> Iterator[str]:
    """The body's hash, unless the client said that it signs none. A hash that is not the body's is refused."""
    actual = hashlib.sha256(request.body).hexdigest()
    declared = request.header("x-sdk-content-sha256")
    if declared not in (None, UNSIGNED) and not hmac.compare_digest(
        declared.lower().encode("utf-8", "surrogateescape"), actual.encode()
    ):
        raise BadSignature("x-sdk-content-sha256 is not the hash of the body")
    if not request.body:
        yield EMPTY_HASH
    if declared is not None and (request.body or declared != EMPTY_HASH):
        yield declared
    elif request.body:
        yield actual
