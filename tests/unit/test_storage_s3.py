"""The form of requests to object stores, and what becomes of their refusals, by a server that remembers them."""

import hashlib
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from sterna.core.errors import (
    AccessDenied,
    BadData,
    Invalid,
    NeedsOperator,
    NotFound,
    ServerBusy,
    TargetFull,
    Trouble,
)
from sterna.core.people import Bucket
from sterna.storage.patience import Patience
from sterna.storage.s3 import S3Storage
from sterna.storage.s3client import region_of
from tests.servers.recording import Answer, Recording, Request, recording

MB = 1 << 20
SECRET = "geheim-the-bucket-secret"
BUCKET = Bucket("b", "p", "backups", "s3", access_key="AK", secret_key=SECRET, region="eu-1")
HASTY = Patience(tries=3, first=0.001, longest=0.002)


def storage_at(server: Recording, **facts: Any) -> S3Storage:
    return S3Storage(replace(BUCKET, endpoint=server.endpoint, **facts), HASTY, part=5 * MB)


def everything(storage: S3Storage) -> None:
    """One of each kind of request."""
    list(storage.list())
    storage.write("small", [b"12345"])
    storage.write("large", [bytes(6 * MB)])
    storage.head("small")
    storage.open("small").read_at(0, 5)
    storage.delete("small")


def test_requests_have_only_headers_that_every_store_takes() -> None:
    with recording() as server:
        everything(storage_at(server))
        methods = {request.method for request in server.requests}
        assert methods == {"GET", "HEAD", "PUT", "POST", "DELETE"}
        for request in server.requests:
            for name, value in request.headers.items():
                assert "checksum" not in name
                assert name != "x-amz-trailer"
                assert "aws-chunked" not in value
            # Newer forms that OBS answers with XAmzContentSHA256Mismatch are not used: the body itself is signed.
            assert request.headers["x-amz-content-sha256"] == hashlib.sha256(request.body).hexdigest()
            assert "/eu-1/s3/aws4_request" in request.headers["authorization"]
            assert SECRET not in str(request)
            if request.method == "PUT":
                assert "content-md5" in request.headers


def test_names_of_a_listing_are_asked_for_plainly() -> None:
    with recording() as server:
        list(storage_at(server, prefix="in/").list("x y"))
        (request,) = server.requests
        assert "encoding-type" not in request.path
        assert "list-type" not in request.path
        assert "prefix=in%2Fx%20y" in request.path


@pytest.fixture
def anything_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every host name below ``.test`` leads to this machine."""
    real = socket.getaddrinfo

    def lookup(host: Any, *others: Any, **named: Any) -> Any:
        return real("127.0.0.1" if str(host).endswith(".test") else host, *others, **named)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)


@pytest.mark.usefixtures("anything_is_here")
@pytest.mark.parametrize(
    ("style", "host", "path"), [("virtual", "corp.obs.test", "/in/f"), ("path", "obs.test", "/corp/in/f")]
)
def test_the_buckets_name_is_where_its_style_wants_it(style: str, host: str, path: str) -> None:
    with recording() as server:
        bucket = replace(BUCKET, style=style, remote_name="corp", prefix="in/")
        storage = S3Storage(replace(bucket, endpoint=f"http://obs.test:{server.port}"), HASTY, part=5 * MB)
        everything(storage)
        assert {request.headers["host"] for request in server.requests} == {f"{host}:{server.port}"}
        storage.head("f")
        assert server.requests[-1].path == path


def test_settings_of_aws_in_the_environment_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AWS_PROFILE": "nobody",
        "AWS_CONFIG_FILE": "/nonexistent",
        "AWS_SESSION_TOKEN": "stray-token",
        "AWS_ACCESS_KEY_ID": "stray-key",
        "AWS_SECRET_ACCESS_KEY": "stray",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:1",
        "AWS_CA_BUNDLE": "/nonexistent",
        "AWS_USE_FIPS_ENDPOINT": "true",
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_supported",
        "AWS_AUTH_SCHEME_PREFERENCE": "sigv4a",
    }.items():
        monkeypatch.setenv(name, value)
    with recording() as server:
        everything(storage_at(server))
        assert not any("stray" in str(request) for request in server.requests)
        assert not any("checksum" in name for request in server.requests for name in request.headers)


def test_a_region_is_read_from_the_endpoint() -> None:
    for endpoint, region in {
        "https://obs.eu-de.otc.t-systems.com": "eu-de",
        "https://obs.cn-north-4.myhuaweicloud.com": "cn-north-4",
        "https://obs.ap-southeast-1.myhuaweicloud.com:443": "ap-southeast-1",
        "https://s3.eu-west-1.amazonaws.com": "eu-west-1",
        "https://s3-us-gov-west-1.amazonaws.com": "us-gov-west-1",
        "https://s3.amazonaws.com": "us-east-1",
        "http://127.0.0.1:9000": "us-east-1",
        "https://minio.example": "us-east-1",
    }.items():
        assert region_of(endpoint) == region


def refusing(status: int, code: str, **headers: str) -> Callable[[Request], Answer]:
    body = f"<Error><Code>{code}</Code><Message>{SECRET}</Message><StringToSign>{SECRET}</StringToSign></Error>"
    return lambda request: Answer(status, body.encode() if code else b"", headers)


REFUSALS: list[tuple[int, str, type[Trouble], str]] = [
    (404, "NoSuchKey", NotFound, "There is no file f"),
    (404, "NoSuchBucket", NotFound, "There is no bucket backups"),
    (403, "AccessDenied", AccessDenied, "refuses access"),
    (403, "", AccessDenied, "refuses access"),
    (401, "Unauthorized", AccessDenied, "refuses access"),
    (403, "InvalidAccessKeyId", AccessDenied, "does not know the access key"),
    (403, "SignatureDoesNotMatch", AccessDenied, "does not accept the signature"),
    (403, "RequestTimeTooSkewed", AccessDenied, "clock"),
    (301, "PermanentRedirect", Invalid, "another region"),
    (307, "", Invalid, "another region"),
    (400, "AuthorizationHeaderMalformed", Invalid, "another region"),
    (403, "VirtualHostDomainRequired", Invalid, "cannot be addressed"),
    (400, "InvalidBucketName", Invalid, "cannot be addressed"),
    (412, "PreconditionFailed", BadData, "replaced"),
    (416, "InvalidRange", BadData, "replaced"),
    (429, "", ServerBusy, "not ready"),
    (500, "InternalError", ServerBusy, "not ready"),
    (503, "SlowDown", ServerBusy, "not ready"),
    (400, "QuotaExceeded", TargetFull, "no room"),
    (409, "SomethingElse", NeedsOperator, "SomethingElse"),
]


@pytest.mark.parametrize(("status", "code", "kind", "part"), REFUSALS)
def test_a_refusal_is_told_in_words_that_help(status: int, code: str, kind: type[Trouble], part: str) -> None:
    with recording(refusing(status, code)) as server:
        storage = storage_at(server)
        calls: list[Callable[[], object]] = [lambda: storage.open("f"), lambda: storage.write("f", [b"1"])]
        for call in calls:
            with pytest.raises(kind) as trouble:
                call()
            assert type(trouble.value) is kind
            assert part in trouble.value.message
            said = trouble.value.message + trouble.value.hint + repr(trouble.value)
            assert SECRET not in said


def test_a_region_that_the_store_names_is_passed_on() -> None:
    with recording(refusing(301, "PermanentRedirect", **{"x-amz-bucket-region": "eu-9"})) as server:
        with pytest.raises(Invalid, match="it is in eu-9") as refused:
            list(storage_at(server).list())
        assert refused.value.field == "region"
        assert "--region" in refused.value.hint


def test_a_busy_store_is_asked_again() -> None:
    asked = 0

    def answers(request: Request) -> Answer | None:
        nonlocal asked
        asked += 1
        return Answer(503) if asked < 3 else None

    with recording(answers) as server:
        assert storage_at(server).head("f").size == 5
        assert asked == 3


def test_what_is_no_object_store_is_said_to_be_none() -> None:
    with recording(lambda request: Answer(200, b"<html><p>Hello")) as server:
        with pytest.raises(ServerBusy) as trouble:
            list(storage_at(server).list())
        assert "no object store" in trouble.value.hint


LISTED = b"<ListBucketResult><IsTruncated>false</IsTruncated><Contents>%s</Contents></ListBucketResult>"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><p>Log in</p></html>",
        LISTED % b"<Size>1</Size>",
        LISTED % b"<Key>a</Key>",
        LISTED % b"<Key>a</Key><Size>many</Size>",
        LISTED % b"<Key>a</Key><Size>-1</Size>",
        LISTED % b"<Key>a</Key><Size>1</Size><LastModified>now</LastModified>",
    ],
)
def test_a_listing_that_is_none_is_not_taken_for_an_empty_bucket(body: bytes) -> None:
    with recording(lambda request: Answer(200, body)) as server, pytest.raises(NeedsOperator, match="not S3"):
        list(storage_at(server).list())


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Length": "-5"},
        {"Content-Length": "9" * 30},
        {"Content-Length": "5", "Last-Modified": "yesterday"},
    ],
    ids=str,
)
def test_facts_of_a_file_that_cannot_be_are_not_believed(headers: dict[str, str]) -> None:
    with recording(lambda request: Answer(headers=headers)) as server:
        for ask in (storage_at(server).head, storage_at(server).open):
            with pytest.raises(NeedsOperator, match="not S3"):
                ask("f")


def test_a_listing_that_goes_in_circles_is_ended() -> None:
    page = b"<ListBucketResult><IsTruncated>true</IsTruncated><Contents><Key>a</Key><Size>1</Size></Contents>"
    answers = Answer(200, page + b"</ListBucketResult>")
    with recording(lambda request: answers) as server, pytest.raises(BadData, match="repeats"):
        list(storage_at(server).list())


def part_of(data: bytes, **headers: str) -> Callable[[Request], Answer]:
    """A file whose parts come in an answer with these headers besides."""

    def answers(request: Request) -> Answer:
        if request.method == "HEAD":
            return Answer(headers={"ETag": '"e"', "Content-Length": "10"})
        return Answer(206, data, {"ETag": '"e"', **headers})

    return answers


@pytest.mark.parametrize(
    ("answers", "part"),
    [
        (part_of(b"12345", **{"Content-Range": "bytes 0-4/10"}), "part"),
        (part_of(b"12345", **{"Content-Range": "bytes 2-6/11"}), "replaced"),
        (part_of(b"12345", **{"Content-Range": "bytes 2-6/10", "ETag": '"other"'}), "replaced"),
        (part_of(b"1234567890"), "part"),
    ],
)
def test_another_part_than_was_asked_for_is_never_taken(answers: Callable[[Request], Answer], part: str) -> None:
    with recording(answers) as server, pytest.raises(BadData, match=part):
        storage_at(server).open_plain("f").read_at(2, 5)


def test_only_the_file_that_was_opened_is_asked_for() -> None:
    with recording() as server:
        storage_at(server).open_plain("f").read_at(1, 3)
        asked = server.requests[-1].headers
        assert (asked["range"], asked["if-match"]) == ("bytes=1-3", '"e"')


def stored(told: bytes, **headers: str) -> Callable[[Request], Answer]:
    """A file of which the store sends ``told``, and as whose MD5 it tells that of ten digits."""
    etag = f'"{hashlib.md5(b"0123456789").hexdigest()}"'

    def answers(request: Request) -> Answer:
        if request.method == "HEAD":
            return Answer(headers={"ETag": etag, "Content-Length": "10", **headers})
        first, last = map(int, request.headers["range"].removeprefix("bytes=").split("-"))
        ranged = {"ETag": etag, "Content-Range": f"bytes {first}-{last}/10"}
        return Answer(206, told[first : last + 1], ranged)

    return answers


def test_a_file_read_from_front_to_end_is_checked_against_its_md5() -> None:
    with recording(stored(b"0123456789")) as server:
        blob = storage_at(server).open_plain("f")
        assert blob.read_at(0, 4) + blob.read_at(4, 6) == b"0123456789"
    with recording(stored(b"012345678X")) as server:
        blob = storage_at(server).open_plain("f")
        assert blob.read_at(0, 4) == b"0123"
        with pytest.raises(BadData, match="MD5"):
            blob.read_at(4, 6)
        with pytest.raises(BadData, match="MD5"):
            storage_at(server).open("f").read_at(0, 10)
        assert storage_at(server).open_plain("f").read_at(5, 5) == b"5678X"


def test_an_etag_of_an_encrypted_file_is_not_taken_for_its_md5() -> None:
    with recording(stored(b"012345678X", **{"x-amz-server-side-encryption": "aws:kms"})) as server:
        assert storage_at(server).open("f").read_at(0, 10) == b"012345678X"


def test_parts_that_a_store_has_not_kept_all_of_are_noticed() -> None:
    def answers(request: Request) -> Answer | None:
        return Answer(headers={"ETag": '"e"', "Content-Length": "7"}) if request.method == "HEAD" else None

    with recording(answers) as server:
        with pytest.raises(BadData, match="has not kept all"):
            storage_at(server).write("f", [bytes(6 * MB)])
        assert server.requests[-1].method == "DELETE"


def test_an_upload_whose_last_answer_was_lost_is_found_complete() -> None:
    completed = 0

    def answers(request: Request) -> Answer | None:
        nonlocal completed
        if request.method == "POST" and "uploadId" in request.path:
            completed += 1
            lost = Answer(503), Answer(404, b"<Error><Code>NoSuchUpload</Code></Error>")
            return lost[completed - 1]
        return None

    with recording(answers) as server:
        assert storage_at(server).write("f", [bytes(6 * MB)]).size == 6 * MB
        assert completed == 2


def test_an_upload_holds_one_part_and_aborts_when_its_source_fails() -> None:
    taken = 0

    def source() -> Iterator[bytes]:
        nonlocal taken
        for _ in range(24):
            taken += 1
            yield bytes(MB)
        raise KeyboardInterrupt

    with recording() as server:
        with pytest.raises(KeyboardInterrupt):
            storage_at(server).write("f", source())
        sent = [request for request in server.requests if "partNumber" in request.path]
        assert [len(request.body) for request in sent] == [5 * MB] * 4
        assert (server.requests[-1].method, "uploadId=u" in server.requests[-1].path) == ("DELETE", True)


@pytest.mark.parametrize("name", ["", "..", "a/../b", ".", "a/.", "\0", "\ud800", "x" * 1025])
def test_a_name_that_would_lead_elsewhere_is_never_sent(name: str) -> None:
    with recording() as server:
        storage = storage_at(server, prefix="in/")
        for call in (storage.head, storage.open, storage.delete, lambda it: storage.write(it, [b"1"])):
            with pytest.raises(Invalid):
                call(name)
        assert server.requests == []
