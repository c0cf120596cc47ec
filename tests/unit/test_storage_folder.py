"""Folders as buckets: what is written is complete or not there, and nothing outside can be reached."""

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sterna.core.errors import AccessDenied, BadData, Invalid, NotFound, Refused
from sterna.core.people import Bucket
from sterna.storage.folder import FolderStorage
from sterna.storage.opening import open_storage


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """The folder; beside it lies a file that must stay out of reach."""
    (tmp_path / "secret").write_text("out of reach")
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture
def storage(home: Path) -> FolderStorage:
    return FolderStorage(home)


def read(storage: FolderStorage, name: str) -> bytes:
    blob = storage.open(name)
    try:
        return blob.read_at(0, blob.size)
    finally:
        blob.close()


def test_a_file_comes_back_as_it_was_written(storage: FolderStorage, home: Path) -> None:
    entry = storage.write("a/b/备份.bak", [b"one ", b"", b"two"])
    assert (entry.name, entry.size) == ("a/b/备份.bak", 7)
    assert storage.head("a/b/备份.bak") == entry
    assert read(storage, "a/b/备份.bak") == b"one two"
    assert (home / "a/b/备份.bak").read_bytes() == b"one two"
    blob = storage.open("a/b/备份.bak")
    assert blob.read_at(4, 2) == b"tw"
    assert blob.read_at(4, 100) == b"two"
    assert blob.read_at(7, 1) == blob.read_at(900, 1) == b""
    blob.close()
    blob.close()


def test_a_listing_is_by_name_and_by_prefix(storage: FolderStorage) -> None:
    names = ["a.bak", "a/1", "a/2", "ab", "b/c/d", "b/c/e", "b0", "é"]
    for name in reversed(names):
        storage.write(name, [name.encode()])
    assert [entry.name for entry in storage.list()] == sorted(names, key=lambda name: name.encode())
    assert [entry.name for entry in storage.list("a")] == ["a.bak", "a/1", "a/2", "ab"]
    assert [entry.name for entry in storage.list("a/")] == ["a/1", "a/2"]
    assert [entry.name for entry in storage.list("b/c/e")] == ["b/c/e"]
    assert list(storage.list("zzz")) == []
    assert {entry.name: entry.size for entry in storage.list("b/")} == {"b/c/d": 5, "b/c/e": 5}


def test_a_prefix_hides_all_else(home: Path) -> None:
    FolderStorage(home).write("outside", [b"1"])
    inner = FolderStorage(home, "in/deep/")
    inner.write("a", [b"2"])
    assert [entry.name for entry in inner.list()] == ["a"]
    assert (home / "in/deep/a").read_bytes() == b"2"
    with pytest.raises(NotFound):
        inner.head("outside")
    with pytest.raises(Invalid):
        inner.head("../../outside")


HOSTILE = ["", "..", ".", "../secret", "a/../../secret", "./a", "/etc/passwd", "//etc/passwd", "a//b", "a/", "/"]
HOSTILE += ["a/./b", "a\0b", "\0", "../home/../secret", "\ud800", "x" * 1025]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_refused_everywhere(storage: FolderStorage, home: Path, name: str) -> None:
    (home / "a").mkdir()
    for call in (storage.head, storage.open, storage.delete, lambda it: storage.write(it, [b"mine"])):
        with pytest.raises(Invalid) as refused:
            call(name)
        assert refused.value.field == "name"
    assert (home.parent / "secret").read_text() == "out of reach"
    assert [path.name for path in home.rglob("*")] == ["a"]


@settings(max_examples=300)
@given(st.lists(st.sampled_from(["..", ".", "", "a", "link", "secret", "home", "\\", "%2e%2e", "~"]), max_size=6))
def test_no_name_reaches_a_file_outside(tmp_path_factory: pytest.TempPathFactory, parts: list[str]) -> None:
    global _made
    if _made is None:
        _made = tmp_path_factory.mktemp("outer")
        (_made / "secret").write_text("out of reach")
        (_made / "home").mkdir()
        (_made / "home/link").symlink_to(_made)
        (_made / "home/a").mkdir()
        (_made / "home/a/link").symlink_to(_made / "secret")
    storage = FolderStorage(_made / "home")
    with pytest.raises(Refused):
        storage.open("/".join(parts))


_made: Path | None = None


def test_links_are_not_followed_and_not_listed(storage: FolderStorage, home: Path) -> None:
    storage.write("real/f", [b"1"])
    (home / "out").symlink_to(home.parent / "secret")
    (home / "up").symlink_to(home.parent)
    (home / "absolute").symlink_to("/etc/hostname")
    (home / "inside").symlink_to("real/f")
    (home / "folder").symlink_to("real")
    (home / "nowhere").symlink_to("gone")
    assert [entry.name for entry in storage.list()] == ["real/f"]
    for name in ("out", "up/secret", "absolute", "inside", "folder/f", "nowhere"):
        with pytest.raises(Refused):
            storage.open(name)
        with pytest.raises(Refused):
            storage.head(name)
    with pytest.raises(Refused):
        storage.write("up/new", [b"2"])
    assert not (home.parent / "new").exists()
    storage.write("out", [b"3"])  # takes the link's place, and leaves what it led to alone
    assert (home.parent / "secret").read_text() == "out of reach"
    assert read(storage, "out") == b"3"
    storage.delete("absolute")
    assert Path("/etc/hostname").exists()


def test_the_folder_itself_may_be_a_link(home: Path) -> None:
    (home.parent / "alias").symlink_to(home)
    FolderStorage(home.parent / "alias").write("f", [b"1"])
    assert (home / "f").read_bytes() == b"1"


def test_special_files_are_refused_at_once_and_not_listed(storage: FolderStorage, home: Path) -> None:
    os.mkfifo(home / "pipe")
    here = os.open(home, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"/proc/self/fd/{here}/socket")
        for name in ("pipe", "socket"):
            with pytest.raises(Invalid, match="not an ordinary file"):
                storage.open(name)
    os.close(here)
    (home / "folder").mkdir()
    with pytest.raises(NotFound, match="it is a folder"):
        storage.open("folder")
    assert list(storage.list()) == []


def test_a_folder_that_is_not_there_is_not_found(home: Path) -> None:
    storage = FolderStorage(home / "gone")
    with pytest.raises(NotFound, match="There is no folder"):
        list(storage.list())
    with pytest.raises(NotFound):
        storage.open("f")
    with pytest.raises(NotFound):
        storage.write("f", [b"1"])
    with pytest.raises(NotFound):
        list(FolderStorage(home.parent / "secret").list())


def test_a_file_that_is_replaced_stays_what_it_was_for_who_reads_it(storage: FolderStorage) -> None:
    storage.write("f", [b"before"])
    blob = storage.open("f")
    storage.write("f", [b"after!"])
    assert blob.read_at(0, 9) == b"before"
    assert storage.head("f").etag != ""
    storage.delete("f")
    assert blob.read_at(0, 9) == b"before"
    blob.close()


def test_a_file_that_is_written_into_is_noticed(storage: FolderStorage, home: Path) -> None:
    storage.write("f", [b"before" * 100])
    blob = storage.open("f")
    with (home / "f").open("ab") as file:
        file.write(b"more")
    with pytest.raises(BadData, match="written to"):
        blob.read_at(0, 10)
    blob.close()
    blob = storage.open("f")
    os.truncate(home / "f", 3)
    with pytest.raises(BadData, match="written to"):
        blob.read_at(500, 10)
    blob.close()


def test_what_fails_while_it_is_written_leaves_nothing(storage: FolderStorage, home: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield b"half"
        assert list(storage.list()) == []  # nor is it seen on the way
        raise OSError(5, "the source broke")

    with pytest.raises(OSError, match="the source broke"):
        storage.write("f", broken())
    assert list(home.iterdir()) == []
    storage.write("f", [b"before"])
    with pytest.raises(OSError, match="the source broke"):
        storage.write("f", (piece for piece in [b"x", *_raising()]))
    assert read(storage, "f") == b"before"
    with pytest.raises(Invalid):
        storage.write(".sterna-x.part", [b"1"])


def _raising() -> Iterator[bytes]:
    raise OSError(5, "the source broke")
    yield b""


def test_what_is_deleted_is_gone_and_twice_is_once(storage: FolderStorage) -> None:
    storage.write("a/f", [b"1"])
    storage.delete("a/f")
    storage.delete("a/f")
    storage.delete("never/was")
    with pytest.raises(NotFound, match="There is no file a/f"):
        storage.head("a/f")


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is denied to root")
def test_what_the_user_may_not_read_is_denied(storage: FolderStorage, home: Path) -> None:
    storage.write("f", [b"1"])
    (home / "f").chmod(0)
    with pytest.raises(AccessDenied):
        storage.open("f")


def test_many_threads_read_one_file(storage: FolderStorage) -> None:
    data = os.urandom(1 << 20)
    storage.write("f", [data])
    blob = storage.open("f")
    wrong: list[int] = []

    def walk(step: int) -> None:
        for start in range(0, len(data), step):
            if blob.read_at(start, step) != data[start : start + step]:
                wrong.append(start)

    threads = [threading.Thread(target=walk, args=(step,)) for step in (4096, 5000, 8192, 9999)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    blob.close()
    assert wrong == []


def test_a_bucket_of_kind_folder_is_one_and_odd_facts_are_refused(home: Path) -> None:
    bucket = Bucket("b", "p", "n", "folder", folder=str(home), prefix="x/")
    open_storage(bucket).write("f", [b"1"])
    assert (home / "x/f").exists()
    for facts in (
        Bucket("b", "p", "n", "folder", folder="relative"),
        Bucket("b", "p", "n", "folder", folder=str(home), prefix="x"),
        Bucket("b", "p", "n", "folder", folder=str(home), prefix="../"),
        Bucket("b", "p", "n", "tape"),
        Bucket("b", "p", "n", "s3", endpoint="ftp://h"),
        Bucket("b", "p", "n", "s3", endpoint="https://user:pw@h"),
        Bucket("b", "p", "n", "s3", endpoint="https://h:99999"),
    ):
        with pytest.raises(Invalid):
            open_storage(facts)
