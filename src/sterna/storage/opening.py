"""Opens what was registered: from a bucket's facts to the storage behind them."""

import asyncio
from pathlib import Path

from sterna.core.errors import Invalid, NotFound
from sterna.core.files import Storage
from sterna.core.people import Bucket
from sterna.core.stores import PeopleStore

KINDS = ("s3", "folder")
_ODD = ("", ".", "..")


def open_storage(bucket: Bucket) -> Storage:
    """The storage of a bucket. Nothing is asked of it yet. Raises Invalid for facts that make no sense."""
    if bucket.prefix and (
        not bucket.prefix.endswith("/") or not set(bucket.prefix[:-1].split("/")).isdisjoint(_ODD)
    ):
        raise Invalid("prefix", "A prefix is folders, each with a / after it, none of them . or ..")
    if bucket.kind == "folder":
        from sterna.storage.folder import FolderStorage

        if not Path(bucket.folder).is_absolute():
            raise Invalid("folder", f"The folder of the bucket {bucket.name} is not an absolute path")
        return FolderStorage(Path(bucket.folder), bucket.prefix)
    if bucket.kind == "s3":
        if (bucket.remote_name or bucket.name) in _ODD:
            raise Invalid("remote_name", "A bucket is called neither . nor ..: the address would lead elsewhere")
        from sterna.storage.s3 import S3Storage  # its client library takes time and memory that folders need not

        return S3Storage(bucket)
    raise Invalid("kind", f"A bucket is one of {', '.join(KINDS)}, not {bucket.kind}")


class Buckets:
    """``Opens`` by the buckets that are registered in a store."""

    def __init__(self, store: PeopleStore) -> None:
        self._store = store

    async def __call__(self, bucket_id: str) -> Storage:
        try:
            bucket = await self._store.bucket(bucket_id)
        except NotFound as gone:
            hint = "One that is registered again, though by the same name, is another: describe the job anew."
            raise NotFound(f"The bucket of these files is no longer registered ({bucket_id})", hint=hint) from gone
        return await asyncio.to_thread(open_storage, bucket)
