"""Writes a file to an object store: in one request if it is small, else in parts, complete or not at all."""

import base64
import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sterna.core.errors import BadData, NotFound, Trouble
from sterna.storage.checksums import md5
from sterna.storage.patience import Patience
from sterna.storage.s3errors import told

PART = 8 << 20
"""Bytes of a part; at least 5 MiB of all but the last, and 10,000 parts at most (S3: multipart upload limits)."""
_DOUBLED_EVERY = 2000


@dataclass(frozen=True)
class Upload:
    """Where a file goes."""

    client: Any
    bucket: str
    key: str
    where: str
    name: str
    patience: Patience
    part: int = PART

    def write(self, pieces: Iterable[bytes]) -> int:
        """Write all pieces; returns how many bytes they were. What fails leaves nothing behind.

        The object store checks each body by its MD5 and its signed SHA-256, and keeps nothing that differs.
        """
        parts = _parts(pieces, self.part)
        first = next(parts, b"")
        second = next(parts, None)
        if second is None:
            self._call(self.client.put_object, Body=first, ContentMD5=_md5(first))
            return len(first)
        return self._in_parts(first, second, parts)

    def _in_parts(self, first: bytes, second: bytes, rest: Iterator[bytes]) -> int:
        id = self._call(self.client.create_multipart_upload)["UploadId"]
        try:
            etags = [self._part(id, 1, first), self._part(id, 2, second)]
            size = len(first) + len(second)
            del first, second
            for number, part in enumerate(rest, 3):
                etags.append(self._part(id, number, part))
                size += len(part)
            self._complete(id, etags, size)
            return size
        except BaseException:
            # Parts that stay cost money and are in no listing. That this fails too must not hide why.
            with contextlib.suppress(Trouble), told(self.where, self.name):
                self.client.abort_multipart_upload(Bucket=self.bucket, Key=self.key, UploadId=id)
            raise

    def _part(self, id: str, number: int, body: bytes) -> str:
        call = self.client.upload_part
        answer = self._call(call, UploadId=id, PartNumber=number, Body=body, ContentMD5=_md5(body))
        return str(answer["ETag"])

    def _complete(self, id: str, etags: list[str], size: int) -> None:
        parts = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, 1)]
        tried = False

        def complete() -> None:
            nonlocal tried
            again, tried = tried, True
            try:
                with told(self.where, self.name):
                    self.client.complete_multipart_upload(
                        Bucket=self.bucket, Key=self.key, UploadId=id, MultipartUpload={"Parts": parts}
                    )
            except NotFound:
                if not again:
                    raise
                # The first answer was lost on the way, and the upload is no longer open: it must be there.
                if self._call(self.client.head_object)["ContentLength"] != size:
                    raise

        self.patience.try_again(complete)
        if self._call(self.client.head_object)["ContentLength"] != size:
            raise BadData(f"{self.where} has not kept all of {self.name}")

    def _call(self, call: Any, **words: Any) -> Any:
        def once() -> Any:
            with told(self.where, self.name):
                return call(Bucket=self.bucket, Key=self.key, **words)

        return self.patience.try_again(once)


def _parts(pieces: Iterable[bytes], part: int) -> Iterator[bytes]:
    """The same bytes in parts of equal size, but for the last; later ones are larger, so that they suffice."""
    held = bytearray()
    number = 0
    for piece in pieces:
        left = memoryview(piece)
        while left:
            full = part * 2 ** (number // _DOUBLED_EVERY)
            room = full - len(held)
            held += left[:room]
            left = left[room:]
            if len(held) == full:
                yield bytes(held)
                held.clear()
                number += 1
    if held:
        yield bytes(held)


def _md5(body: bytes) -> str:
    return base64.b64encode(md5(body).digest()).decode("ascii")
