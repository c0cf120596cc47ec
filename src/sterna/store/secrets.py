"""Keeps passwords and keys unreadable in the database, each bound to the one field that it belongs to."""

import json
import os
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from sterna.core.errors import NeedsOperator

_FORM = b"\x01"  # AES-256-GCM: nonce of 12 bytes, then text and tag
_NONCE = 12


class WrongKey(NeedsOperator):
    """The encryption key does not fit this data folder."""

    code = "STERNA.2020"
    hint = "Give Sterna the key that the data was written with: the key file of this data folder, or its copy."


class Vault:
    """Seals text with AES-256-GCM under one key of 32 bytes. A sealed text opens only at its own place."""

    def __init__(self, key: bytes) -> None:
        if len(key) != 32:
            raise NeedsOperator(f"The encryption key must have 32 bytes, not {len(key)}")
        self._cipher = AESGCM(key)

    def seal(self, text: str, *place: str) -> bytes:
        """``place``: table, row and field. Never the same bytes twice."""
        nonce = os.urandom(_NONCE)
        return _FORM + nonce + self._cipher.encrypt(nonce, text.encode("utf-8", "surrogatepass"), _bound(place))

    def open(self, sealed: bytes, *place: str) -> str:
        """Raises WrongKey if the key differs, or the bytes were changed or moved to another place."""
        nonce, body = sealed[1 : 1 + _NONCE], sealed[1 + _NONCE :]
        if sealed[:1] != _FORM or len(nonce) < _NONCE:
            raise WrongKey("A stored secret is not in a form that this version knows")
        try:
            return self._cipher.decrypt(nonce, body, _bound(place)).decode("utf-8", "surrogatepass")
        except InvalidTag:
            raise WrongKey from None

    def seal_some(self, text: str, *place: str) -> bytes | None:
        """Nothing for an empty text."""
        return self.seal(text, *place) if text else None

    def open_some(self, sealed: bytes | None, *place: str) -> str:
        return self.open(sealed, *place) if sealed else ""


def load_or_make_key(path: str | Path) -> bytes:
    """The key of 32 bytes in this file (64 hexadecimal digits); a new random one if there is no file.

    The file is readable by its owner alone and appears complete or not at all; of two processes that make it at
    once, both get the same key. Raises NeedsOperator if the file holds something else or cannot be used.
    """
    path = Path(path)
    try:
        return _parse(path) if path.exists() else _make(path)
    except OSError as error:
        raise NeedsOperator(f"The key file {path} cannot be used: {error.strerror}") from error


def _parse(path: Path) -> bytes:
    try:
        key = bytes.fromhex(path.read_text("ascii").strip())
    except ValueError:
        key = b""
    if len(key) != 32:
        raise NeedsOperator(f"The key file {path} does not hold a key", hint="It must hold 64 hexadecimal digits.")
    return key


def _make(path: Path) -> bytes:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.urandom(6).hex()}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(os.urandom(32).hex() + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    except FileExistsError:
        pass  # another process was first: its key counts
    finally:
        draft.unlink()
    _sync_folder(path.parent)
    return _parse(path)


def _sync_folder(folder: Path) -> None:
    """The name of a new file outlives a power cut only once its folder is written, too."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _bound(place: tuple[str, ...]) -> bytes:
    return json.dumps(place).encode()
