"""The file that holds the encryption key."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sterna.core.errors import NeedsOperator
from sterna.store.secrets import Vault, WrongKey, load_or_make_key


def test_a_new_key_is_kept_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "data" / "key"
    before = os.umask(0)
    try:
        key = load_or_make_key(path)
    finally:
        os.umask(before)
    assert len(key) == 32
    assert load_or_make_key(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_all_who_make_a_key_at_once_get_the_same(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        keys = set(threads.map(load_or_make_key, [tmp_path / "key"] * 32))
    assert len(keys) == 1
    assert list(tmp_path.iterdir()) == [tmp_path / "key"]


@pytest.mark.parametrize("text", ["", "abc", "ab" * 31, "xy" * 32, "\xff\xfe"])
def test_a_file_that_holds_no_key_is_refused_and_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "key"
    path.write_text(text)
    with pytest.raises(NeedsOperator) as refusal:
        load_or_make_key(path)
    assert path.read_text() == text
    assert str(path) in str(refusal.value)


def test_a_key_file_that_cannot_be_read_needs_the_operator(tmp_path: Path) -> None:
    with pytest.raises(NeedsOperator):
        load_or_make_key(tmp_path)


@pytest.mark.parametrize("text", ["", "p", "ü\0\ud800", "x" * 100_000])
def test_what_is_sealed_opens_at_its_place_and_nowhere_else(text: str) -> None:
    vault = Vault(bytes(32))
    sealed = vault.seal(text, "table", "row", "field")
    assert vault.open(sealed, "table", "row", "field") == text
    with pytest.raises(WrongKey):
        vault.open(sealed, "table", "row/field", "")
    with pytest.raises(WrongKey):
        Vault(bytes(31) + b"1").open(sealed, "table", "row", "field")
    with pytest.raises(WrongKey):
        vault.open(sealed[:-1] + bytes([sealed[-1] ^ 1]), "table", "row", "field")
