"""One file of an object store, read in ranges. A transfer that breaks goes on at the byte where it broke."""

from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError
from urllib3.exceptions import HTTPError

from sterna.core.errors import BadData, Retryable, Unreachable
from sterna.core.files import Entry
from sterna.storage.checksums import Front
from sterna.storage.patience import Patience
from sterna.storage.s3errors import replaced, told

_PIECE = 64 << 10
"""What has arrived of a piece that breaks off is lost and asked for again: so they are small."""


class S3Blob:
    """``Blob`` of an object: of the one with the entry's ETag and no other, if the store tells one.

    ``get(Range=…, IfMatch=…)`` sends one request; ``md5`` is what the contents must have, or empty.
    """

    def __init__(self, get: Callable[..., Any], where: str, entry: Entry, md5: str, patience: Patience) -> None:
        self._get = get
        self._where = where
        self._name = entry.name
        self._size = entry.size
        self._etag = entry.etag
        self._patience = patience
        self._closed = False
        self._front = Front(entry.name, entry.size, md5)

    @property
    def name(self) -> str:
        return self._name

    @property
    def size(self) -> int:
        return self._size

    def read_at(self, offset: int, length: int) -> bytes:
        """As ``Blob`` promises. Read once from front to end, the whole is checked against its MD5, if known."""
        length = max(0, min(length, self._size - offset))
        if not length:
            return b""
        got = bytearray()
        failures = 0
        while len(got) < length:
            before = len(got)
            try:
                self._fetch(offset, length, got)
            except Retryable:
                failures = 1 if len(got) > before else failures + 1
                if self._closed or self._patience.over(failures):
                    raise
                self._patience.pause(failures)
        data = bytes(got)
        self._front.read(offset, data)
        return data

    def close(self) -> None:
        """Nothing is held open between two reads; one that is under way is not tried again."""
        self._closed = True

    def _fetch(self, offset: int, length: int, got: bytearray) -> None:
        """Ask for what is missing, and add what arrives, all of it or up to a break."""
        first, last = offset + len(got), offset + length - 1
        condition = {"IfMatch": self._etag} if self._etag and not self._etag.startswith("W/") else {}
        with told(self._where, self._name):
            answer = self._get(Range=f"bytes={first}-{last}", **condition)
        body = answer["Body"]
        try:
            self._check(answer, first, last)
            while len(got) < length:
                piece = body.read(min(_PIECE, length - len(got)))
                if not piece:
                    raise Unreachable(f"{self._where}: the transfer of {self._name} ended too early")
                got += piece
        except (BotoCoreError, HTTPError, OSError) as error:
            raise Unreachable(f"{self._where}: the transfer of {self._name} broke") from error
        finally:
            if len(got) < length:
                body.close()  # the connection has more to come: it cannot be used again

    def _check(self, answer: Any, first: int, last: int) -> None:
        """Raises BadData unless the answer is that part of that very file."""
        if self._etag and answer.get("ETag", self._etag) != self._etag:
            raise replaced(self._where, self._name)
        told_range = str(answer.get("ContentRange", ""))
        if told_range == f"bytes {first}-{last}/{self._size}":
            return
        whole = not told_range and answer.get("ContentLength") == self._size
        if whole and (first, last) == (0, self._size - 1):
            return
        if told_range and not told_range.endswith(f"/{self._size}"):
            raise replaced(self._where, self._name)
        raise BadData(f"{self._where} does not send the part of {self._name} that it was asked for")
