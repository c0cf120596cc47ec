"""A pretended object store as a child process: moto, in memory. It takes any key and any secret."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.servers.objectstore import ObjectStore
from tests.servers.redis import NotStarted, free_port


class Moto(ObjectStore):
    """Loses everything at its end."""

    def __init__(self, *, tls: bool = False) -> None:
        super().__init__("moto", free_port(), tls=tls)

    def start(self) -> None:
        """Raises NotStarted."""
        words = [sys.executable, "-m", "moto.server", "-H", self.host, "-p", str(self.port)]
        if self.certificates:
            words += ["-c", str(self.certificates.server_cert), "-k", str(self.certificates.server_key)]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        self.run(words, environment, lambda: self.answers(self.port, tls=bool(self.certificates))[0] < 500)


@contextmanager
def moto(*, tls: bool = False) -> Iterator[Moto]:
    """A server for the length of a block. Raises NotStarted."""
    for tries_left in (2, 1, 0):
        server = Moto(tls=tls)
        try:
            server.start()
            break
        except NotStarted as failure:
            server.close()
            if not tries_left or "in use" not in str(failure):
                raise
    try:
        yield server
    finally:
        server.close()
