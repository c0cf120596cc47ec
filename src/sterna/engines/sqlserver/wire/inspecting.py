"""What backup files hold, as JSON: the sets as RESTORE HEADERONLY tells them, and what it takes to read them."""

from collections.abc import Mapping, Sequence
from typing import Any

from sterna.core.errors import BadData, Trouble, Unsupported
from sterna.core.files import Blob
from sterna.engines.sqlserver.wire import page as pages_
from sterna.engines.sqlserver.wire.faults import Sealed
from sterna.engines.sqlserver.wire.media import MediaFile, is_container, open_partly
from sterna.engines.sqlserver.wire.sets import BackupSet

_READABLE = ("full", "differential", "log")


def inspect(blobs: Sequence[Blob]) -> Mapping[str, Any]:
    """Of one file its ``media`` and ``sets``; of several ``files``, and ``sets`` with the stripes joined.

    Beside ``media``, ``trouble`` tells why not everything can be told. Raises BadData, Unsupported for files of
    which nothing can be.
    """
    looked = [_look(blob) for blob in blobs]
    joined = [_set_json(each) for each in join([media for media, _ in looked if media])]
    if len(looked) == 1:
        return {**looked[0][1], "sets": joined}
    files = [
        {
            "file": blob.name,
            **told,
            "sets": [_set_json([share]) for share in (media.sets if media else ())],
        }
        for blob, (media, told) in zip(blobs, looked, strict=True)
    ]
    return {"files": files, "sets": joined}


def _look(blob: Blob) -> tuple[MediaFile | None, Mapping[str, Any]]:
    """A file as far as it can be read; its ``media``, and ``trouble`` if there is some."""
    try:
        media, trouble = open_partly(blob)
    except (BadData, Unsupported) as error:
        if not is_container(blob):
            raise
        trouble = f"{error.message}. {error.hint}" if error.hint else error.message
        return None, {"media": _container_json(blob, error), "trouble": trouble}
    return media, {"media": _media_json(media), **({"trouble": trouble} if trouble else {})}


def _container_json(blob: Blob, error: Trouble) -> Mapping[str, Any]:
    """What a container says of itself where no record of it can be read."""
    version = int.from_bytes(blob.read_at(8, 4), "little")
    return {
        "file": blob.name,
        "compressed": True,
        "mssqlbak_version": version,
        "encrypted": isinstance(error, Sealed),
    }


def join(medias: Sequence[MediaFile]) -> list[list[BackupSet]]:
    """The sets of several files, each with its shares in all of them, in the order of the files and positions."""
    found: dict[tuple[object, ...], list[BackupSet]] = {}
    for media in medias:
        for share in media.sets:
            found.setdefault((share.media.media_set, share.guid, share.position), []).append(share)
    return list(found.values())


def missing_stripes(shares: Sequence[BackupSet]) -> list[int]:
    """The places in the media set of which a set has no share."""
    there = {each.media.family_sequence for each in shares}
    return sorted(set(range(1, shares[0].media.family_count + 1)) - there)


def has_encrypted_pages(share: BackupSet) -> bool:
    """Whether the database was encrypted (TDE): most of the first pages say so. A few say so in any database."""
    if not share.regions or not share.regions[0].pieces:
        return False
    piece = share.regions[0].pieces[0]
    try:
        data = share.source.read_at(piece.start, min(piece.length, 2 * pages_.EXTENT_SIZE))
    except BadData:
        return False  # who reads the pages will tell
    said = [
        bool(data[at + 4] & pages_.ENCRYPTED)
        for at in range(0, len(data) - pages_.HEAD, pages_.SIZE)
        if pages_.own_id(data, at) != (0, 0)
    ]
    return sum(said) * 2 > len(said)


def _media_json(media: MediaFile) -> Mapping[str, Any]:
    return {"file": media.name, **media.media.as_json(), "password": media.media.password}


def _set_json(shares: Sequence[BackupSet]) -> Mapping[str, Any]:
    """A set, from one or more of its shares."""
    first = min(shares, key=lambda each: each.media.family_sequence)
    tde = has_encrypted_pages(first)
    return {
        **first.as_json(),
        "stripes": [each.file for each in shares],
        "complete": all(each.complete for each in shares),
        "compressed": first.media.compressed,
        "encrypted": False,
        "tde": tde,
        "needs": "; ".join(_needs(shares, tde)) or None,
    }


def _needs(shares: Sequence[BackupSet], tde: bool) -> list[str]:
    """What is missing for its pages to be read."""
    first = shares[0]
    needs = [f"the rest of {each.file}: it ends before the set does" for each in shares if not each.complete]
    count = first.media.family_count
    missing = missing_stripes(shares)
    needs += [f"file {each} of {count} of the striped backup" for each in missing[:10]]
    if len(missing) > 10:
        needs.append(f"{len(missing) - 10} more files of it")
    if tde:
        needs.append("SQL Server and the certificate of the database: its pages are encrypted (TDE)")
    if first.record.kind not in _READABLE:
        needs.append(f"SQL Server: this is a {first.record.kind} backup")
    others = sorted({each.type for each in first.files if each.kind not in (1, 2)})
    if others or first.unknown_streams:
        needs.append(f"SQL Server for what lies in {', '.join([*others, *first.unknown_streams])}")
    return needs
