"""Buckets of real object stores: everything that storage promises, kept while transfers break and files change."""

import hashlib
import json
import random
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from sterna.core.errors import AccessDenied, BadData, NotFound, Retryable, Trouble, Unreachable
from sterna.core.people import Bucket
from sterna.storage.patience import Patience
from sterna.storage.s3 import S3Storage
from tests.servers.moto import moto
from tests.servers.objectstore import SECRET_KEY, ObjectStore
from tests.servers.places import Unavailable
from tests.servers.proxy import Proxy, proxy
from tests.servers.seaweedfs import DOMAIN, seaweedfs

pytestmark = [pytest.mark.server, pytest.mark.long]

MB = 1 << 20
HASTY = Patience(tries=4, first=0.01, longest=0.05)
SOME = random.Random(7).randbytes(13 * MB + 123)


@pytest.fixture(scope="module")
def weed() -> Iterator[ObjectStore]:
    """SeaweedFS with one empty bucket."""
    try:
        with seaweedfs() as server:
            server.client().create_bucket(Bucket="backups")
            yield server
    except Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="module")
def pretended() -> Iterator[ObjectStore]:
    with moto() as server:
        server.client().create_bucket(Bucket="backups")
        yield server


@pytest.fixture(params=["weed", "pretended"])
def store(request: pytest.FixtureRequest) -> ObjectStore:
    """Each of the two."""
    server: ObjectStore = request.getfixturevalue(request.param)
    return server


@pytest.fixture
def bucket(store: ObjectStore, request: pytest.FixtureRequest) -> Bucket:
    """A bucket of its own for each test: everything below a prefix."""
    return store.bucket(prefix=f"{abs(hash(request.node.name)):x}/")


def storage_of(bucket: Bucket, **facts: Any) -> S3Storage:
    return S3Storage(replace(bucket, **facts), HASTY, part=5 * MB)


@pytest.fixture
def storage(bucket: Bucket) -> S3Storage:
    return storage_of(bucket)


def pieces(data: bytes, size: int = 700_001) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def through(way: Proxy, bucket: Bucket) -> S3Storage:
    return storage_of(bucket, endpoint=f"http://{way.address}")


@pytest.mark.parametrize("size", [0, 1, 5 * MB - 1, 5 * MB, 5 * MB + 1, len(SOME)])
def test_a_file_comes_back_as_it_was_written(storage: S3Storage, size: int) -> None:
    entry = storage.write("a/b.bak", pieces(SOME[:size]))
    assert (entry.name, entry.size) == ("a/b.bak", size)
    assert storage.head("a/b.bak") == entry
    blob = storage.open("a/b.bak")
    assert blob.size == size
    assert blob.read_at(0, size + 5) == SOME[:size]
    assert blob.read_at(size, 5) == b""
    assert blob.read_at(size + 7, 5) == b""
    blob.close()
    blob.close()


def test_any_part_of_a_file_can_be_read_from_many_threads(storage: S3Storage) -> None:
    storage.write("f", [SOME])
    blob = storage.open("f")
    wrong: list[int] = []

    def read(seed: int) -> None:
        dice = random.Random(seed)
        for _ in range(60):
            start, length = dice.randrange(len(SOME)), dice.choice([1, 100, 70_000, 5 * MB])
            if blob.read_at(start, length) != SOME[start : start + length]:
                wrong.append(start)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    blob.close()


def test_names_of_every_kind_are_kept(storage: S3Storage) -> None:
    names = ["a b.bak", "a+b.bak", "100%.bak", "%20", "ü/备份/é.bak", "a&b=c?d#e", "x'y\"z<>", "~"]
    for name in names:
        storage.write(name, [name.encode()])
    assert [entry.name for entry in storage.list()] == sorted(names, key=lambda name: name.encode())
    for name in names:
        blob = storage.open(name)
        assert blob.read_at(0, 1000) == name.encode()
        storage.delete(name)
    assert list(storage.list()) == []


def test_a_listing_has_all_pages_and_begins_where_it_should(bucket: Bucket) -> None:
    storage = S3Storage(bucket, HASTY, page=7)
    names = [f"{folder}/{number:02}" for folder in ("a", "ab", "b") for number in range(21)]
    client: Any = storage._client
    for name in names:
        client.put_object(Bucket="backups", Key=bucket.prefix + name, Body=b"")
    assert [entry.name for entry in storage.list()] == names
    assert [entry.name for entry in storage_of(bucket).list()] == names
    assert len(list(storage.list("a"))) == 42
    assert len(list(storage.list("a/"))) == 21
    assert [entry.name for entry in storage.list("b/1")] == [f"b/1{digit}" for digit in range(10)]


def test_the_empty_files_that_stand_for_folders_are_in_no_listing(bucket: Bucket) -> None:
    storage = storage_of(bucket)
    client: Any = storage._client
    client.put_object(Bucket="backups", Key=bucket.prefix + "folder/", Body=b"")
    storage.write("folder/f", [b"1"])
    assert [entry.name for entry in storage.list()] == ["folder/f"]


def test_a_prefix_hides_all_else(bucket: Bucket) -> None:
    storage = storage_of(bucket)
    storage.write("in/a", [b"1"])
    inner = storage_of(bucket, prefix=bucket.prefix + "in/")
    inner.write("b", [b"2"])
    storage.write("outside", [b"3"])
    assert [entry.name for entry in inner.list()] == ["a", "b"]
    assert inner.open("a").read_at(0, 9) == b"1"
    with pytest.raises(NotFound):
        inner.head("outside")
    with pytest.raises(Trouble):
        inner.open("../outside")


def test_what_is_deleted_is_gone_and_twice_is_once(storage: S3Storage) -> None:
    storage.write("f", [b"1"])
    storage.delete("f")
    storage.delete("f")
    with pytest.raises(NotFound, match="There is no file f"):
        storage.open("f")
    with pytest.raises(NotFound):
        storage.head("f")


def test_a_bucket_that_is_not_there_is_named(bucket: Bucket, pretended: ObjectStore) -> None:
    storage = storage_of(bucket, remote_name="no-such-bucket")
    calls: list[Callable[[], object]] = [
        lambda: list(storage.list()),
        lambda: storage.open("f"),
    ]
    if bucket.endpoint.endswith(str(pretended.port)):  # the other one makes buckets by itself
        calls.append(lambda: storage.write("f", [b"1"]))
    for call in calls:
        with pytest.raises(NotFound, match="There is no bucket no-such-bucket"):
            call()


def test_a_file_that_is_replaced_is_never_read_as_a_mix(storage: S3Storage) -> None:
    storage.write("f", [SOME])
    blob = storage.open("f")
    assert blob.read_at(0, 100) == SOME[:100]
    storage.write("f", [bytes(len(SOME))])
    with pytest.raises(BadData, match="replaced"):
        blob.read_at(12 * MB, 100)
    blob.close()


def test_a_file_that_shrank_is_noticed(storage: S3Storage) -> None:
    storage.write("f", [SOME])
    blob = storage.open_plain("f")
    storage.write("f", [b"short"])
    with pytest.raises(BadData, match="replaced"):
        blob.read_at(MB, 100)


def test_what_fails_while_it_is_written_leaves_nothing(storage: S3Storage, bucket: Bucket) -> None:
    def broken() -> Iterator[bytes]:
        yield SOME
        raise RuntimeError("the source ended")

    storage.write("f", [b"before"])
    with pytest.raises(RuntimeError, match="the source ended"):
        storage.write("f", broken())
    assert storage.open("f").read_at(0, 99) == b"before"
    client: Any = storage._client
    open_ones = client.list_multipart_uploads(Bucket="backups", Prefix=bucket.prefix).get("Uploads", [])
    assert open_ones == []


@pytest.mark.parametrize("after", [0, 1, 70_000, 3 * MB, 9 * MB])
def test_a_transfer_that_is_cut_goes_on_where_it_broke(store: ObjectStore, bucket: Bucket, after: int) -> None:
    storage_of(bucket).write("f", [SOME])
    with proxy(store.host, store.port) as way:
        blob = through(way, bucket).open_plain("f")
        before = way.moved("to_client")
        way.limit(32 * MB)  # slow enough for the reader: what waits in the machine's buffers is lost by a reset
        way.cut(after=after + 1, direction="to_client")
        assert blob.read_at(0, len(SOME)) == SOME
        assert way.moved("to_client") - before < len(SOME) + 2 * MB


def test_cut_again_and_again_it_still_arrives(store: ObjectStore, bucket: Bucket) -> None:
    storage_of(bucket).write("f", [SOME])
    with proxy(store.host, store.port) as way:
        blob = through(way, bucket).open("f")
        for number in range(12):
            way.cut(after=300_000 + number * 70_001, direction="to_client")
        got = b"".join(blob.read_at(start, 65_536) for start in range(0, len(SOME), 65_536))
        assert hashlib.sha256(got).digest() == hashlib.sha256(SOME).digest()
        blob.close()


def test_an_upload_that_is_cut_is_complete_all_the_same(store: ObjectStore, bucket: Bucket) -> None:
    with proxy(store.host, store.port) as way:
        storage = through(way, bucket)
        for after in (1_000, 2 * MB, 3 * MB):
            way.cut(after=after, direction="to_server")
        way.cut(after=3_000, direction="to_client")
        assert storage.write("f", pieces(SOME)).size == len(SOME)
        way.cut_no_more()
        assert storage.open("f").read_at(0, len(SOME)) == SOME


def test_a_store_that_cannot_be_reached_is_said_to_be_so_and_is_there_again(
    store: ObjectStore, bucket: Bucket
) -> None:
    storage_of(bucket).write("f", [SOME])
    with proxy(store.host, store.port) as way:
        storage = through(way, bucket)
        blob = storage.open_plain("f")
        way.refuse()
        way.drop()
        calls: list[Callable[[], object]] = [
            lambda: list(storage.list()),
            lambda: storage.open("f"),
            lambda: blob.read_at(5, 5),
            lambda: storage.write("g", [b"1"]),
        ]
        for call in calls:
            with pytest.raises(Unreachable) as trouble:
                call()
            assert isinstance(trouble.value, Retryable)
        way.accept()
        assert blob.read_at(5, 5) == SOME[5:10]


def test_many_small_reads_are_few_requests(store: ObjectStore, bucket: Bucket) -> None:
    storage = storage_of(bucket)
    storage.write("f", [SOME])
    asked: list[str] = []
    client: Any = storage._client
    client.meta.events.register("before-send.s3.GetObject", lambda request, **_: asked.append(request.url))
    blob = storage.open("f")
    got = b"".join(blob.read_at(start, 8192) for start in range(0, len(SOME), 8192))
    assert got == SOME
    assert len(asked) == 4
    blob.close()


def test_a_wrong_secret_is_refused_with_a_hint(weed: ObjectStore) -> None:
    storage = storage_of(weed.bucket(secret_key="not-the-secret"))
    calls: list[Callable[[], object]] = [
        lambda: list(storage.list()),
        lambda: storage.head("f"),
        lambda: storage.open("f"),
        lambda: storage.write("f", [b"1"]),
        lambda: storage.write("f", [SOME]),
        lambda: storage.delete("f"),
    ]
    for call in calls:
        with pytest.raises(AccessDenied) as refused:
            call()
        assert "signature" in refused.value.message
        assert "secret key" in refused.value.hint


def test_a_bucket_can_be_a_part_of_the_host_name(weed: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.getaddrinfo
    asked: list[str] = []

    def lookup(host: Any, *others: Any, **named: Any) -> Any:
        asked.append(str(host))
        return real(weed.host if str(host).endswith(DOMAIN) else host, *others, **named)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    facts: dict[str, Any] = {"endpoint": f"http://{DOMAIN}:{weed.port}", "style": "virtual", "prefix": "host/"}
    storage = storage_of(weed.bucket(**facts))
    storage.write("a b/é", [SOME])
    assert storage.open("a b/é").read_at(0, len(SOME)) == SOME
    assert [entry.name for entry in storage.list()] == ["a b/é"]
    assert [entry.name for entry in storage_of(weed.bucket(prefix="host/")).list()] == ["a b/é"]
    storage.delete("a b/é")
    assert list(storage.list()) == []
    assert f"backups.{DOMAIN}" in asked
    with pytest.raises(AccessDenied, match="signature"):
        list(storage_of(weed.bucket(**facts, secret_key="wrong")).list())


def test_an_unknown_access_key_and_a_missing_right_are_told_apart(weed: ObjectStore) -> None:
    with pytest.raises(AccessDenied, match="does not know the access key"):
        storage_of(weed.bucket(access_key="NOBODY")).head("f")
    with pytest.raises(AccessDenied, match="refuses access"):
        list(storage_of(weed.bucket(access_key="READER", secret_key="reads")).list())


def test_tls_with_an_authority_of_ones_own() -> None:
    try:
        with seaweedfs(tls=True) as server:
            server.client().create_bucket(Bucket="backups")
            assert server.certificates
            trusting = json.dumps({"verify": True, "ca_file": str(server.certificates.ca)})
            storage = storage_of(server.bucket(tls=trusting))
            storage.write("f", [SOME])
            assert storage.open("f").read_at(0, len(SOME)) == SOME
            with pytest.raises(AccessDenied, match="certificate"):
                storage_of(server.bucket()).head("f")
            careless = storage_of(server.bucket(tls=json.dumps({"verify": False})))
            assert careless.head("f").size == len(SOME)
            plain = storage_of(server.bucket(), endpoint=server.endpoint.replace("https", "http"))
            with pytest.raises(Trouble):
                plain.head("f")
    except Unavailable as reason:
        pytest.skip(str(reason))


def test_a_server_that_dies_in_the_middle_of_a_read_is_taken_up_when_it_is_back() -> None:
    try:
        with seaweedfs() as server:
            server.client().create_bucket(Bucket="backups")
            storage = S3Storage(server.bucket(), Patience(tries=600, first=0.05, longest=0.5))
            storage.write("f", [SOME])
            with proxy(server.host, server.port) as way:
                slow = S3Storage(
                    server.bucket(endpoint=f"http://{way.address}"), Patience(tries=600, first=0.05, longest=0.5)
                )
                blob = slow.open_plain("f")
                way.limit(8 * MB)
                got: list[bytes] = []
                reader = threading.Thread(target=lambda: got.append(blob.read_at(0, len(SOME))))
                start = way.moved("to_client")
                reader.start()
                while way.moved("to_client") - start < 2 * MB:
                    reader.join(0.01)
                server.kill9()
                way.limit(0)
                server.start()
                reader.join()
            assert got == [SOME]
    except Unavailable as reason:
        pytest.skip(str(reason))


def test_no_secret_is_in_what_is_logged_shown_or_raised(
    weed: ObjectStore, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    storage = storage_of(weed.bucket())
    storage.write("f", [SOME])
    storage.open("f").read_at(0, 10)
    wrong = storage_of(weed.bucket(access_key="NOBODY"))
    with pytest.raises(AccessDenied) as refused:
        wrong.head("f")
    shown = caplog.text + repr(storage) + repr(vars(storage)) + str(refused.value) + refused.value.hint
    assert SECRET_KEY not in shown
