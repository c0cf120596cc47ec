"""What a file in a bucket may be called: a relative path that stays below the bucket, whoever chose it."""

from sterna.core.errors import Invalid

LONGEST = 1024
"""Bytes of UTF-8 that an object store takes for a name (S3: object keys)."""


def check_name(name: str) -> str:
    """The name itself. Raises Invalid for one that is empty, too long, or has ``.``, ``..`` or NUL in it.

    Folders do not know ``.`` and ``..`` as names, and HTTP clients and servers resolve them on the way to an
    object store: what was asked for would not be what is read.
    """
    if not name:
        raise Invalid("name", "The name of a file is empty")
    if "\0" in name:
        raise Invalid("name", f"The name {name!r} has a NUL in it")
    if any(part in (".", "..") for part in name.split("/")):
        raise Invalid("name", f"The name {name!r} leads out of its folder: it may not have . or .. in it")
    try:
        long = len(name.encode("utf-8", "surrogateescape")) > LONGEST  # folders may hold names of any bytes
    except UnicodeEncodeError:
        raise Invalid("name", f"The name {name!r} is not text") from None
    if long:
        raise Invalid("name", f"The name {name[:80]!r}… has more than {LONGEST} bytes")
    return name
