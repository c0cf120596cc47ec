"""A bucket of OBS, or of any other object store that speaks S3."""

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import unquote_plus

from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError

from sterna.core.errors import BadData, Invalid, NeedsOperator, NotFound, Refused
from sterna.core.files import Blob, Entry, Remote
from sterna.core.people import Bucket
from sterna.storage.buffered import Buffered
from sterna.storage.checksums import md5_of
from sterna.storage.names import check_name
from sterna.storage.patience import Patience
from sterna.storage.s3blob import S3Blob
from sterna.storage.s3client import client_of, name_of
from sterna.storage.s3errors import told
from sterna.storage.s3writing import PART, Upload

LARGEST = 1 << 60
"""Bytes; no store has a file of that size."""
PAGE = 1000
"""How many files a page of a listing has; object stores give no more."""


class S3Storage:
    """``Storage`` in a bucket of an object store."""

    def __init__(
        self, bucket: Bucket, patience: Patience | None = None, part: int = PART, page: int = PAGE
    ) -> None:
        """Connects to nothing yet. Raises Invalid for an endpoint or a name that cannot be."""
        self._client: Any = client_of(bucket)
        self._registered = bucket
        self._bucket = bucket.remote_name or bucket.name
        self._prefix = bucket.prefix
        self._where = name_of(bucket)
        self._patience = patience or Patience()
        self._part = part
        self._page_size = page

    def __repr__(self) -> str:
        return f"S3Storage({self._where!r})"

    def list(self, prefix: str = "") -> Iterator[Entry]:
        wanted = self._prefix + prefix
        marker = ""
        while True:
            page = self._patience.try_again(lambda: self._page(wanted, marker))  # noqa: B023
            with told(self._where):
                found = {str(each["Key"]): self._entry(each) for each in page.get("Contents", ())}
                more = page["IsTruncated"]
            names = list(found)
            # Some consoles keep folders as empty files of such names.
            yield from (entry for key, entry in found.items() if not key.endswith("/"))
            if not more:
                return
            if not names or names[-1] <= marker:
                raise BadData(f"{self._where} repeats the same page of its listing")
            marker = names[-1]

    def head(self, name: str) -> Entry:
        return self._entry_of(name, self._facts(name))

    def open(self, name: str) -> Blob:
        return Buffered(self.open_plain(name))

    def open_plain(self, name: str) -> S3Blob:
        """The same, each read a request of its own."""
        facts = self._facts(name)
        entry = self._entry_of(name, facts)
        encrypted = facts.get("ServerSideEncryption", "AES256") != "AES256" or "SSECustomerAlgorithm" in facts
        md5 = md5_of(entry.etag, encrypted=encrypted)

        def get(**words: Any) -> Any:
            return self._client.get_object(Bucket=self._bucket, Key=self._key(name), **words)

        return S3Blob(get, self._where, entry, md5, self._patience)

    def write(self, name: str, pieces: Iterable[bytes]) -> Entry:
        upload = Upload(self._client, self._bucket, self._key(name), self._where, name, self._patience, self._part)
        upload.write(pieces)
        return self.head(name)

    def delete(self, name: str) -> None:
        def delete() -> None:
            with told(self._where, name):
                self._client.delete_object(Bucket=self._bucket, Key=self._key(name))

        with contextlib.suppress(NotFound):
            self._patience.try_again(delete)

    def remote(self, name: str) -> Remote:
        facts = self._registered
        virtual = facts.style == "virtual"
        key, region = self._key(name), facts.region
        return Remote(facts.endpoint, self._bucket, key, region, virtual, facts.access_key, facts.secret_key)

    def _facts(self, name: str) -> Any:
        """What HEAD says. Its errors come without a reason (HTTP has no body there): GET is asked for that."""

        def ask() -> Any:
            with told(self._where, name):
                return self._client.head_object(Bucket=self._bucket, Key=self._key(name))

        try:
            return self._patience.try_again(ask)
        except (NeedsOperator, Refused):
            with told(self._where, name):
                answer = self._client.get_object(Bucket=self._bucket, Key=self._key(name), Range="bytes=0-0")
            answer["Body"].close()
            raise

    def _page(self, prefix: str, marker: str) -> Any:
        """One page of the listing, by the older of its two forms, which all stores have."""
        words = {"Bucket": self._bucket, "Prefix": prefix, "Marker": marker, "MaxKeys": self._page_size}
        with told(self._where):
            try:
                return self._client.list_objects(**words)
            except (ResponseParserError, ClientError) as error:
                if isinstance(error, ClientError) and _status(error) != 500:
                    raise
                # A name that XML cannot hold does either, by the server: only now is the encoded form asked for.
                return _decoded(self._client.list_objects(**words, EncodingType="url"))

    def _entry(self, told: Any) -> Entry:
        name = str(told["Key"])[len(self._prefix) :]
        return _sound(name, told["Size"], told)

    def _entry_of(self, name: str, facts: Any) -> Entry:
        with told(self._where, name):
            return _sound(name, facts["ContentLength"], facts)

    def _key(self, name: str) -> str:
        key = check_name(self._prefix + check_name(name))
        try:
            key.encode()
        except UnicodeEncodeError:
            raise Invalid("name", f"The name {name!r} is not text") from None
        return key


def _sound(name: str, size: Any, facts: Any) -> Entry:
    """Raises ValueError for a size that no file has."""
    if not 0 <= int(size) <= LARGEST:
        raise ValueError("no size of a file")
    return Entry(name, int(size), _ms(facts.get("LastModified")), str(facts.get("ETag", "")))


def _decoded(page: Any) -> Any:
    if page.get("EncodingType") == "url":
        for each in page.get("Contents", ()):
            each["Key"] = unquote_plus(each["Key"])
    return page


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _ms(moment: Any) -> int:
    """Epoch milliseconds of a datetime, or 0."""
    return int(moment.timestamp() * 1000) if moment else 0
