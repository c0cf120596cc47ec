"""The bucket's secret key and the target's password stand nowhere in clear while a backup is loaded."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from huaweicloudsdkdrs import v5

from sterna.core.job import JobId
from tests.effort import PATIENCE
from tests.journeys.backup_stand import FAR, Stand, made_stand
from tests.journeys.command import Running, files_with
from tests.journeys.drs_stand import PASSWORD
from tests.journeys.test_kill import workers
from tests.servers.objectstore import SECRET_KEY

pytestmark = [pytest.mark.server, pytest.mark.timeout(900)]

WRONG_SECRET = "wrong-secret-of-the-bucket"
WRONG_PASSWORD = "wrong-password-of-the-target"
SECRETS = (SECRET_KEY, PASSWORD, WRONG_SECRET, WRONG_PASSWORD)


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    with made_stand(tmp_path) as made:
        yield made


def test_no_secret_is_shown_whether_a_task_succeeds_or_fails(stand: Stand) -> None:
    target, (_, files) = stand.target(), stand.fixture("stripes_2_compressed", far=True)
    stand.register_bucket("wrong-secret", stand.store.endpoint, WRONG_SECRET)
    right = target.server.password
    target.server.password = WRONG_PASSWORD
    closed = stand.registered(target.server, "closed")
    target.server.password = right
    seen: list[str] = []
    with stand.serving(STERNA_LOG_LEVEL="debug") as service:
        ids = [
            stand.api.create(target, "good", *files, bucket=FAR),
            stand.api.create(target, "no-bucket", *files, bucket="wrong-secret"),
            stand.api.create(closed, "no-target", *files, bucket=FAR),
            stand.api.create(target, "no-precheck", *files, bucket="wrong-secret", is_precheck=False),
        ]
        seen += _command_lines(stand, ids, service)
        shown = [stand.api.ended(id) for id in ids]
        assert shown[0].status == "SUCCESS", shown[0].error_log
        assert all("FAILED" in each.status for each in shown[1:])
        assert "secret key" in shown[1].error_log
        assert "password" in shown[2].error_log
        seen += [str(each.to_json_object()) for each in shown]
        seen.append(str(stand.api.sdk.list_replication_jobs(v5.ListReplicationJobsRequest()).to_json_object()))
        with stand.api.plain() as client:
            paths = ["replication_tasks", *(f"replication_task/{id}" for id in ids)]
            answers = [client.get(f"/drs/v1.0/{stand.api.project}/{path}") for path in paths]
            seen += [answer.raise_for_status().text for answer in answers]
        for id in ids:
            for what in ("show", "log"):
                seen += [stand.home.run("job", what, id).all, stand.home.run("job", what, id, "--json").all]
        for what in ("bucket", "instance"):
            seen.append(stand.home.run(what, "list", "--json").all)
        seen.append(stand.home.run("bucket", "test", "wrong-secret").all)
    seen.append(service.written())
    _hidden(stand, seen)


def _command_lines(stand: Stand, ids: list[str], service: Running) -> list[str]:
    """Those of the service and of the workers, until there was one for each task or all tasks have ended."""
    seen, end = [service.arguments()], time.monotonic() + PATIENCE
    found: set[int] = set()
    while len(found) < len(ids) and any(stand.api.shown(id).status == "TRANSFERRING" for id in ids):
        assert time.monotonic() < end, "the tasks do not end"
        for pid in {pid for id in ids for pid in workers(JobId(id))} - found:
            try:
                for what in ("cmdline", "environ"):
                    seen.append(Path(f"/proc/{pid}/{what}").read_bytes().replace(b"\0", b" ").decode())
            except OSError:
                continue
            found.add(pid)
    assert found, "no worker was seen"
    return seen


def _hidden(stand: Stand, seen: list[str]) -> None:
    assert len(seen) > 20
    for secret in SECRETS:
        for spelled in (secret, quote(secret, safe=""), repr(secret)[1:-1], json.dumps(secret)[1:-1]):
            assert not [text for text in seen if spelled in text], spelled
            assert files_with(stand.home.folder, spelled) == []
