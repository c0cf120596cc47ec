"""Backups come into PostgreSQL by every way to a store: encrypted, by host name, deep down, and with odd names."""

import http.client
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException

from tests.effort import PATIENCE
from tests.journeys.backup_stand import FAR, FOLDER, Stand, made_stand
from tests.servers.objectstore import ACCESS_KEY, SECRET_KEY, ObjectStore
from tests.servers.places import Unavailable
from tests.servers.recording import Answer, Recording, Request, recording
from tests.servers.seaweedfs import DOMAIN, seaweedfs

pytestmark = [pytest.mark.server, pytest.mark.timeout(900)]

ODD = "Ünï çödé 日本/с пробелом (1) +&=%25#?;'.bak"
DEEP = "n/" * 200 + "deep.bak"
KEYS = ("--access-key", ACCESS_KEY, "--secret-env", "SECRET")


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    with made_stand(tmp_path_factory.mktemp("ways")) as made:
        yield made


@pytest.mark.slow
def test_a_backup_comes_by_every_way_to_a_store(stand: Stand) -> None:
    target, (fixture, files) = stand.target(), stand.fixture("types_2016")
    ((_, tables),) = fixture.databases.items()
    path = stand.bucket / files[0]
    for name in (ODD, DEEP):
        place = stand.bucket / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(path.read_bytes())
        stand.upload(path, name)
    try:
        with seaweedfs(tls=True) as closed, by_name(stand.store) as proxy:
            closed.client().create_bucket(Bucket=FAR)
            closed.client().put_object(Bucket=FAR, Key=ODD, Body=path.read_bytes())
            assert closed.certificates
            add(stand, "own-ca", closed.endpoint, "--ca-file", str(closed.certificates.ca))
            add(stand, "no-ca", closed.endpoint)
            add(stand, "by-name", f"http://{DOMAIN}", "--style", "virtual")
            add(stand, "one-folder", stand.store.endpoint, "--prefix", ODD.partition("/")[0])
            with stand.serving(HTTP_PROXY=proxy.endpoint, NO_PROXY="127.0.0.1,localhost"):
                ways = [("own-ca", ODD), ("by-name", ODD), (FAR, DEEP), (FOLDER, ODD), (FOLDER, DEEP)]
                ways.append(("one-folder", ODD.partition("/")[2]))
                ids = {
                    f"way_{number}": stand.api.create(
                        target, f"way-{number}", file, bucket=bucket, reset_db_name_map={"": f"way_{number}"}
                    )
                    for number, (bucket, file) in enumerate(ways)
                }
                untrusted = stand.api.create(target, "no-ca", ODD, bucket="no-ca")
                for database, id in ids.items():
                    stand.api.succeeds(id)
                    target.holds(database, tables)
                refused = stand.api.ended(untrusted)
                assert refused.status == "PRECHECK FAILED"
                assert "--ca-file" in refused.error_log
            assert {urlsplit(request.path).hostname for request in proxy.requests} == {f"{FAR}.{DOMAIN}"}
    except Unavailable as reason:
        pytest.skip(str(reason))


def test_a_bucket_that_an_open_chain_needs_is_missed_by_name(stand: Stand) -> None:
    target, (_, files) = stand.target(), stand.fixture("log_chain")
    folder = str(stand.bucket)
    stand.home.good("bucket", "add", "leaves", "--folder", folder)
    with stand.serving():
        first = stand.api.create(target, "chain-1", files[0], bucket="leaves", is_last_backup=False)
        stand.api.succeeds(first)
        refused = stand.home.run("bucket", "remove", "leaves")
        assert refused.code == 2
        assert f"chain-1 ({first}), whose chain waits" in refused.err
        stand.home.good("bucket", "remove", "leaves", "--force")
        stand.home.good("bucket", "add", "leaves", "--folder", folder)
        id = stand.api.create(target, "chain-2", *files[1:], bucket="leaves", recovery_mode="incre")
        ended = stand.api.ended(id)
        assert ended.status == "PRECHECK FAILED"
        assert "no longer registered" in ended.error_log
        with pytest.raises(ClientRequestException) as none:
            stand.api.create(target, "gone", files[0], bucket="gone-bucket")
        assert none.value.error_code == "DRS.M00202"


def add(stand: Stand, name: str, endpoint: str, *options: str) -> None:
    words = ("bucket", "add", name, "--endpoint", endpoint, "--remote-name", FAR, *KEYS, *options)
    stand.home.good(*words, SECRET=SECRET_KEY)


@contextmanager
def by_name(store: ObjectStore) -> Iterator[Recording]:
    """A proxy by which host names of buckets lead to the store, since no name server knows them here."""

    def passed_on(request: Request) -> Answer:
        to, named = http.client.HTTPConnection(store.host, store.port, timeout=PATIENCE), urlsplit(request.path)
        try:
            path = request.path.removeprefix(f"{named.scheme}://{named.netloc}")
            headers = {name: value for name, value in request.headers.items() if not name.startswith("proxy-")}
            to.request(request.method, path, request.body, headers)
            answer = to.getresponse()
            kept: dict[str, Any] = dict(answer.getheaders())
            for name in ("Connection", "Transfer-Encoding"):
                kept.pop(name, None)
            return Answer(answer.status, answer.read(), kept)
        finally:
            to.close()

    with recording(passed_on) as proxy:
        yield proxy
