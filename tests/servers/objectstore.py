"""What all object stores that tests run have in common: a process, a port, keys, and buckets made for a test."""

import http.client
import shutil
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sterna.core.people import Bucket
from tests.effort import PATIENCE
from tests.servers.certificates import Certificates, certificates_in, make_certificates
from tests.servers.guardian import Guardian
from tests.servers.places import made_once
from tests.servers.redis import HOST, NotStarted

START_SECONDS = PATIENCE
ACCESS_KEY = "STERNATESTKEY"
SECRET_KEY = "geheim-the-bucket-secret"
_guardian = Guardian()


class ObjectStore:
    """One server that runs, or can be started again on the same folder and port."""

    host = HOST

    def __init__(self, name: str, port: int, *, tls: bool) -> None:
        self.name = name
        self.port = port
        self.folder = Path(tempfile.mkdtemp(prefix=f"sterna-{name}-"))
        self.certificates: Certificates | None = None
        if tls:
            self.certificates = certificates_in(made_once("certificates", make_certificates))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"http{'s' if self.certificates else ''}://{self.host}:{self.port}"

    def bucket(self, name: str = "backups", **facts: Any) -> Bucket:
        """The facts of a bucket on this server, as somebody would register it."""
        known: dict[str, Any] = {"id": "b", "project_id": "p", "name": name, "kind": "s3"}
        known |= {"endpoint": self.endpoint, "access_key": ACCESS_KEY, "secret_key": SECRET_KEY}
        return Bucket(**(known | facts))

    def client(self) -> Any:
        """A client of the cloud's own, to put things there and look at them."""
        import botocore.session

        return botocore.session.Session().create_client(
            "s3",
            region_name="us-east-1",
            endpoint_url=self.endpoint,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            verify=str(self.certificates.ca) if self.certificates else None,
        )

    def run(self, words: Sequence[str], environment: Mapping[str, str], ready: Callable[[], bool]) -> None:
        """Start the process and wait until it is ready. Raises NotStarted."""
        with (self.folder / "server.log").open("ab") as output:
            self._process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env=dict(environment),
                start_new_session=True,
            )
        _guardian.watch(self._process.pid, self.folder)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                if ready():
                    return
            except (OSError, http.client.HTTPException):
                pass  # not listening yet
            time.sleep(0.02)
        log = (self.folder / "server.log").read_text(errors="replace")
        self.kill9()
        raise NotStarted(f"{self.name} on port {self.port}\n{log[-2000:]}")

    def answers(self, port: int, path: str = "/", *, tls: bool = False) -> tuple[int, bytes]:
        """Status and body of one unsigned GET."""
        if tls:
            context = ssl._create_unverified_context()
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                self.host, port, timeout=2, context=context
            )
        else:
            connection = http.client.HTTPConnection(self.host, port, timeout=2)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def kill9(self) -> None:
        """End the process at once, as a power cut would."""
        if self._process:
            self._process.kill()
            self._process.wait()
            _guardian.forget(self._process.pid)
            self._process = None

    def close(self) -> None:
        """End it for good and remove its folder. Twice is once."""
        self.kill9()
        shutil.rmtree(self.folder, ignore_errors=True)
