"""What can be proved of a file's bytes on their way: the MD5 that an object store tells as the file's ETag.

It is told for files that were written in one piece and are not encrypted with a key of the customer's or of a
key service (Amazon S3 User Guide, "Checking object integrity"). For all others only the length is checked, besides
what TCP and TLS prove.
"""

import hashlib
import re
import threading

from sterna.core.errors import BadData

_MD5 = re.compile(r'"?([0-9a-fA-F]{32})"?')


def md5_of(etag: str, *, encrypted: bool = False) -> str:
    """The MD5 in an ETag, lower-case hexadecimal; empty if it is not one."""
    match = _MD5.fullmatch(etag)
    return match[1].lower() if match and not encrypted else ""


def md5(data: bytes = b"") -> "hashlib._Hash":
    """MD5 as a checksum, which is also there where it is forbidden as a cipher."""
    return hashlib.md5(data, usedforsecurity=False)


class Front:
    """Follows a reader that goes once from the front of a file to its end, and checks the MD5 there.

    Reads ahead may arrive before those in front of them. Any other order of reading ends the following, without a
    word: then nothing is proved.
    """

    AHEAD = 4
    """How many reads may be ahead."""
    MOST = 64 << 20
    """How many bytes of them are held."""

    def __init__(self, name: str, size: int, expected: str) -> None:
        self._name = name
        self._size = size
        self._expected = expected
        self._digest = md5()
        self._next = 0
        self._ahead: dict[int, bytes] = {}
        self._lock = threading.Lock()

    def read(self, offset: int, data: bytes) -> None:
        """These bytes were read. Raises BadData at the end if they are not what was stored."""
        if not self._expected:
            return
        with self._lock:
            if offset < self._next or self._too_far(offset, data):
                self._expected = ""
                self._ahead.clear()
                return
            self._ahead[offset] = data
            while next := self._ahead.pop(self._next, b""):
                self._digest.update(next)
                self._next += len(next)
            if self._next == self._size and self._digest.hexdigest() != self._expected:
                raise BadData(
                    f"{self._name} did not arrive as it was stored: its MD5 is not that of the object store",
                    hint="Read it again; if that fails too, the stored file is damaged.",
                )

    def _too_far(self, offset: int, data: bytes) -> bool:
        held = sum(len(each) for each in self._ahead.values())
        return offset != self._next and (len(self._ahead) == self.AHEAD or held + len(data) > self.MOST)
