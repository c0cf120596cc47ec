"""Files and archives laid out, read and sieved, without a server; and files that somebody made to do harm."""

import gzip
import io
import random
import struct
import tarfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sterna.core.errors import BadData, NotFound, StartAgain, Trouble, Unsupported
from sterna.core.files import Blob, Entry
from sterna.core.plan import StoredFile
from sterna.engines.redis.files import position, slots, zips
from sterna.engines.redis.files.manifest import parse
from sterna.engines.redis.files.position import FilePosition
from sterna.engines.redis.files.scan import scan
from sterna.engines.redis.files.shelf import Shelf, lay_out
from sterna.engines.redis.files.sieve import MOST_COMMAND, Sieve
from sterna.engines.redis.files.streams import Gzip, Plain, exactly
from sterna.engines.redis.files.tars import is_tar
from sterna.engines.redis.files.touched import Touched
from sterna.engines.redis.wire.place import Place
from sterna.engines.redis.wire.resp import command
from tests.effort import examples
from tests.unit.rdb_files import commands, database, sealed, text_key

BUCKET = "b"
RDB = sealed(database(0), text_key(b"a", b"1"))
LOG = command(b"SELECT", 0) + command(b"SET", b"a", b"1") + command(b"INCR", b"a")


class Bytes:
    """A blob in memory."""

    def __init__(self, name: str, data: bytes) -> None:
        self.name = name
        self.data = data
        self.size = len(data)

    def read_at(self, offset: int, length: int) -> bytes:
        assert offset >= 0
        assert length >= 0
        return self.data[offset : offset + length]

    def close(self) -> None:
        """Nothing is open."""


class Memory:
    """A bucket in memory."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files

    def list(self, prefix: str = "") -> Iterator[Entry]:
        return (self.head(name) for name in sorted(self.files) if name.startswith(prefix))

    def head(self, name: str) -> Entry:
        if name not in self.files:
            raise NotFound(f"There is no {name}")
        return Entry(name, len(self.files[name]))

    def open(self, name: str) -> Blob:
        return Bytes(name, self.files[name])

    def write(self, name: str, pieces: object) -> Entry:
        raise NotImplementedError

    def delete(self, name: str) -> None:
        raise NotImplementedError


def laid(files: dict[str, bytes], *names: str, limit: int = 1 << 30) -> Shelf:
    wanted = [StoredFile(BUCKET, name) for name in names or files]
    return lay_out({BUCKET: Memory(files)}, wanted, limit)


def read(shelf: Shelf, at: int = 0) -> list[list[bytes]]:
    """All bytes of all files, from an offset on."""
    return [[exactly(entry.opened(at), 1 << 30) for entry in item.entries] for item in shelf.items]


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED, *, zip64: bool = False) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in files.items():
            with archive.open(name, "w", force_zip64=zip64) as file:
                file.write(data)
    return out.getvalue()


def tarred(files: dict[str, bytes], form: int = tarfile.PAX_FORMAT, mode: str = "w") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode, format=form) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            about = tarfile.TarInfo(name)
            about.size = len(data)
            archive.addfile(about, io.BytesIO(data))
    return out.getvalue()


# Archives


@pytest.mark.parametrize("at", [0, 1, 9, len(RDB)])
@pytest.mark.parametrize(
    "pack",
    [
        lambda data: data,
        gzip.compress,
        lambda data: gzip.compress(data[:5]) + gzip.compress(data[5:]) + bytes(512),
        lambda data: zipped({"x/dump.rdb": data}),
        lambda data: zipped({"x/dump.rdb": data}, zipfile.ZIP_STORED),
        lambda data: zipped({"x/dump.rdb": data}, zip64=True),
        lambda data: tarred({"x/dump.rdb": data}),
        lambda data: tarred({"x/" * 120 + "dump.rdb": data}, tarfile.GNU_FORMAT),
        lambda data: tarred({"x/" * 120 + "dump.rdb": data}, tarfile.PAX_FORMAT, "w:gz"),
        lambda data: tarred({"x/" * 60 + "dump.rdb": data}, tarfile.USTAR_FORMAT, "w:gz"),
    ],
)
def test_a_file_is_read_from_any_place_however_it_is_packed(pack: Callable[[bytes], bytes], at: int) -> None:
    shelf = laid({"file": pack(RDB)})
    assert read(shelf, at) == [[RDB[at:]]]
    assert [item.is_log for item in shelf.items] == [False]


def test_what_is_used_up_of_a_packed_file_never_exceeds_it() -> None:
    data = tarred({f"{n}.rdb": RDB for n in range(50)}, mode="w:gz")
    shelf = laid({"file": data})
    for item in shelf.items:
        stream = item.entries[0].opened(0)
        assert exactly(stream, 1 << 20) == RDB
        assert 0 < stream.spent <= len(data)


def test_folders_links_and_strangers_in_an_archive_are_passed_over() -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for kind, name in ((tarfile.DIRTYPE, "d"), (tarfile.SYMTYPE, "l.rdb"), (tarfile.FIFOTYPE, "f")):
            about = tarfile.TarInfo(name)
            about.type, about.linkname = kind, "/etc/passwd"
            archive.addfile(about)
        for name, data in {"readme": b"hello", "../../etc/dump.rdb": RDB, "._dump.rdb": b"\0\5\x16\7"}.items():
            about = tarfile.TarInfo(name)
            about.size = len(data)
            archive.addfile(about, io.BytesIO(data))
    shelf = laid({"a.tgz": out.getvalue()})
    assert [item.name for item in shelf.items] == ["a.tgz: ../../etc/dump.rdb"]
    assert list(shelf.passed_over) == ["a.tgz: readme", "a.tgz: ._dump.rdb"]


@pytest.mark.parametrize(
    "inner",
    [
        gzip.compress(RDB),
        zipped({"a": RDB}),
        tarred({"a": RDB}),
        b"\xfd7zXZ\0rest",
        b"BZh91AY",
        b"7z\xbc\xaf\x27\x1c",
    ],
    ids=["gzip", "zip", "tar", "xz", "bzip2", "7z"],
)
def test_an_archive_in_an_archive_is_refused_by_name(inner: bytes) -> None:
    for outer in (zipped({"inner.bin": inner}), tarred({"inner.bin": inner}, mode="w:gz")):
        with pytest.raises(Unsupported, match=r"inner\.bin is packed itself"):
            laid({"outer": outer})
    with pytest.raises(Unsupported, match="is packed itself"):
        laid({"outer": gzip.compress(gzip.compress(RDB))})


def test_other_packings_are_refused_by_name() -> None:
    with pytest.raises(Unsupported, match="x is packed as xz"):
        laid({"x": b"\xfd7zXZ\0rest"})
    with pytest.raises(Unsupported, match="packed with bzip2"):
        laid({"x": zipped({"a.rdb": RDB}, zipfile.ZIP_BZIP2)})
    locked = bytearray(zipped({"a.rdb": RDB}))
    locked[locked.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(Unsupported, match=r"a\.rdb is encrypted"):
        laid({"x": bytes(locked)})


@pytest.mark.parametrize("pack", [gzip.compress, lambda data: zipped({"dump.rdb": data}),
                                  lambda data: tarred({"dump.rdb": data}, mode="w:gz")])  # fmt: skip
def test_an_archive_that_unpacks_to_too_much_is_stopped_in_time(pack: Callable[[bytes], bytes]) -> None:
    bomb = pack(RDB[:9] + bytes(50_000_000))
    assert len(bomb) < 200_000
    began = time.process_time()
    with pytest.raises(Unsupported, match="more than 1000000 bytes"):
        read(laid({"bomb": bomb}, limit=1_000_000))
    assert time.process_time() - began < 5


@pytest.mark.parametrize("pack", [gzip.compress, lambda data: zipped({"dump.rdb": data}),
                                  lambda data: tarred({"dump.rdb": data}, mode="w:gz")])  # fmt: skip
def test_an_archive_that_is_cut_off_is_damaged_wherever_it_is_cut(pack: Callable[[bytes], bytes]) -> None:
    noise = random.Random(1).randbytes(3000)
    whole = pack(sealed(database(0), text_key(b"a", noise)))
    for end in range(1, len(whole) - 1100 if pack is not gzip.compress else len(whole) - 1, 37):
        with pytest.raises(Trouble):
            read(laid({"x": whole[:end]}))


def test_a_zip_with_something_before_it_is_read() -> None:
    data = zipped({"dump.rdb": RDB})
    blob = Bytes("x", b"anything" + data)
    (member,) = zips.members(blob)
    assert exactly(zips.opened(blob, member, "x"), 1 << 20) == RDB


def test_a_damaged_byte_in_a_zip_is_found_by_its_checksum() -> None:
    data = bytearray(zipped({"dump.rdb": RDB}, zipfile.ZIP_STORED))
    data[data.index(RDB) + 20] ^= 1
    with pytest.raises(BadData, match=r"dump\.rdb: the checksum"):
        read(laid({"x": bytes(data)}))


def test_what_begins_like_a_tar_header_must_have_its_checksum() -> None:
    header = tarred({"a": b""})[:512]
    assert is_tar(header)
    assert not is_tar(bytes(512))
    assert not is_tar(header[:511])
    assert not is_tar(b"x" + header[1:])


# Manifests, and what belongs together


def test_a_manifest_is_read_as_redis_writes_it() -> None:
    text = b"file a.aof.2.base.rdb seq 2 type b\nfile h seq 1 type h\n# why\n"
    text += b"file a.aof.3.incr.aof seq 3 type i startoffset 7\n"
    assert parse(text, "m").parts == ("a.aof.2.base.rdb", "a.aof.3.incr.aof")
    assert parse(b'file "a b.aof" seq 1 type i\n', "m").parts == ("a b.aof",)


@pytest.mark.parametrize(
    "text",
    [
        b"", b"\n\n", b"file a\n", b"file a seq 1 type x\n", b"file a seq x type b\n", b"file ../a seq 1 type b\n",
        b"file /etc/passwd seq 1 type b\n", b"file .. seq 1 type i\n", b'file "a seq 1 type b\n',
        b"file a seq 1 type b\nfile b seq 2 type b\n", b"file a seq 2 type i\nfile b seq 1 type i\n",
        b"file a seq 1 type b x\n", b"\xff\xfe\0\0", b"file a seq 99999999999999999999 type i\n",
    ],
)  # fmt: skip
def test_a_manifest_that_redis_would_not_take_is_refused(text: bytes) -> None:
    with pytest.raises(BadData, match=r"^m"):
        parse(text, "m")


PARTS = {
    "d/a.aof.1.base.rdb": RDB,
    "d/a.aof.1.incr.aof": LOG,
    "d/a.aof.2.incr.aof": command(b"INCR", b"b"),
    "d/a.aof.manifest": b"file a.aof.1.base.rdb seq 1 type b\nfile a.aof.1.incr.aof seq 1 type i\n"
    b"file a.aof.2.incr.aof seq 2 type i\n",
}


@pytest.mark.parametrize("names", [("d/",), ("d/a.aof.manifest",), tuple(reversed(PARTS)), tuple(PARTS)])
def test_the_parts_of_an_aof_are_put_in_the_order_of_their_manifest(names: tuple[str, ...]) -> None:
    shelf = laid(PARTS, *names)
    (item,) = shelf.items
    assert [entry.path for entry in item.entries] == list(PARTS)[:3]
    assert item.is_log
    assert not shelf.passed_over


def test_parts_of_an_aof_without_their_manifest_are_refused() -> None:
    without = {name: data for name, data in PARTS.items() if not name.endswith("manifest")}
    with pytest.raises(BadData, match="its manifest is not there"):
        laid(without, "d/")
    with pytest.raises(BadData, match="its manifest is not there"):
        laid(without, "d/a.aof.1.incr.aof")
    assert laid(without, "d/a.aof.1.base.rdb").items[0].is_log


def test_a_manifest_whose_part_is_missing_is_refused() -> None:
    with pytest.raises(Trouble, match=r"a\.aof\.2\.incr\.aof"):
        laid({name: data for name, data in PARTS.items() if ".2." not in name}, "d/")
    archive = {name: data for name, data in PARTS.items() if ".2." not in name}
    with pytest.raises(BadData, match=r"names a\.aof\.2\.incr\.aof, which is not there"):
        laid({"x.zip": zipped(archive)})


def test_what_a_file_holds_is_told_by_its_bytes() -> None:
    shelf = laid({"1": RDB, "2.rdb": LOG, "3.txt": b"hello", "4": b"#TS:1\r\n" + LOG, "5.aof": b""})
    assert [(item.name, item.is_log) for item in shelf.items] == [
        ("1", False), ("2.rdb", True), ("4", True), ("5.aof", True),
    ]  # fmt: skip
    assert list(shelf.passed_over) == ["3.txt"]
    preamble = b"\xfa\x08aof-base\xc0\x01"
    assert laid({"x": sealed(preamble, database(0), text_key(b"a", b"1"))}).items[0].is_log


@pytest.mark.parametrize(
    ("name", "data"), [("a.rdb", b""), ("a.rdb", b"hello"), ("a.aof", b"hello"), ("x", b"hello"), ("x", b"")]
)
def test_what_is_no_redis_file_is_refused_by_name(name: str, data: bytes) -> None:
    with pytest.raises(BadData, match=name):
        laid({name: data})


def test_the_mark_changes_with_the_files() -> None:
    files = {"a": RDB, "b": RDB}
    marks = {laid(files, "a").mark, laid(files, "b").mark, laid(files).mark, laid({"a": RDB + b"x"}, "a").mark}
    assert len(marks) == 4
    assert laid(files).mark == laid(files).mark


# Positions


@pytest.mark.parametrize(
    "at",
    [
        FilePosition(True),
        FilePosition(False, 3, 2, Place(17, 4, 99, "REDIS0011"), 5),
        FilePosition(True, 1).in_log(1 << 40, 15),
    ],
)
def test_a_position_is_read_as_it_was_written(at: FilePosition) -> None:
    assert position.parse(at.text("mark"), "mark") == at
    with pytest.raises(StartAgain):
        position.parse(at.text("mark"), "other")


@pytest.mark.parametrize(
    "text", ["mark/", "mark/alone/1.x/@3", "mark/alone/1.1/@3", "mark/alone/1/@3:1", "mark/a/b/c"]
)
def test_a_position_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(BadData):
        position.parse(text, "mark")


# The sieve


def sieved(data: bytes, step: int, touched: Touched | None = None, *, alone: bool = True) -> list[list[bytes]]:
    """What comes out when the bytes come in steps; the place after all must be the end."""
    sieve, out = Sieve("x.aof", 0, 0, touched, alone=alone), b""
    for at in range(0, len(data), step):
        sieve.feed(data[at : at + step])
        for piece in sieve.take():
            out += piece
    assert sieve.place(len(out)) == len(data)
    assert sieve.waiting == 0
    return commands(out)


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
def test_annotations_and_line_ends_go_and_commands_stay(step: int) -> None:
    odd = command(b"SET", b"k", b"\r\n#TS:1\r\n*1\r\n")
    data = b"#TS:1628217473\r\n" + LOG + b"#TS:1628217474\r\n" + odd + b"\r\n" + command(b"publish", b"c", b"m")
    assert sieved(data, step) == commands(LOG + odd)


def test_every_place_in_a_log_is_found_again() -> None:
    data = b"".join([b"#TS:1\r\n" + command(b"SET", b"k%d" % n, b"x" * n) for n in range(50)])
    sieve, given, ends = Sieve("x", 1000, 0, None, alone=True), 0, []
    sieve.feed(data)
    out = b"".join(sieve.take())
    for words in commands(out):
        given += len(command(*words))
        place = sieve.place(given) - 1000
        ends.append(place)
        assert data[place : place + 1] in (b"*", b"#", b"")
        again = Sieve("x", place, 0, None, alone=True)
        again.feed(data[place:])
        assert b"".join(again.take()) == out[given:]
    assert ends[-1] == len(data)


def test_the_place_behind_a_command_is_known_while_it_is_carried_on(tmp_path: Path) -> None:
    touched = Touched(tmp_path / "keys.db")
    data = command(b"SET", b"a", b"1") + command(b"FLUSHALL") + command(b"SET", b"b", b"1")
    sieve, given, places = Sieve("x", 0, 0, touched, alone=False), 0, []
    sieve.feed(data + command(b"PUBLISH", b"c", b"m"))
    for piece in sieve.take():
        given += len(piece)
        places.append(sieve.place(given))
    first = len(command(b"SET", b"a", b"1"))
    flush = len(command(b"FLUSHALL"))
    assert places == [first, *[first] * (len(places) - 3), first + flush, len(data)]
    assert sieve.place(given) == sieve.at, "what is dropped is passed"
    touched.close()


NOT_DATA = (
    "CONFIG SET a b", "shutdown", "DEBUG SEGFAULT", "ACL x", "REPLICAOF a 1", "MODULE LOAD x", "CLUSTER RESET",
    "SAVE", "nonsense a", "MIGRATE h", "AUTH x", "CLIENT KILL x", "SCRIPT\0",
)  # fmt: skip


@pytest.mark.parametrize("text", NOT_DATA)
def test_commands_that_are_not_about_data_are_refused_by_name(text: str) -> None:
    words = text.encode().split(b" ")
    sieve, out = Sieve("x.aof", 0, 0, None, alone=True), b""
    sieve.feed(LOG + command(*words) + LOG)
    pieces = sieve.take()
    while not out:
        out += next(pieces)
    with pytest.raises(Unsupported, match=rf"x\.aof: .* at byte {len(LOG)} is not a command about data") as no:
        next(pieces)
    assert words[0].upper()[:6].decode() in no.value.message
    assert out == LOG, "what comes before is given out first"


def test_a_script_is_kept_and_what_empties_libraries_is_not() -> None:
    data = command(b"SCRIPT", b"LOAD", b"return 1") + command(b"SCRIPT", b"FLUSH") + command(b"FUNCTION", b"FLUSH")
    data += command(b"FUNCTION", b"LOAD", b"#!lua name=x\n")
    assert sieved(data, 1000) == [
        [b"SCRIPT", b"LOAD", b"return 1"],
        [b"FUNCTION", b"LOAD", b"REPLACE", b"#!lua name=x\n"],
    ]


def test_a_flush_needs_to_know_which_keys_came_before(tmp_path: Path) -> None:
    data = LOG + command(b"FLUSHALL") + command(b"SET", b"b", b"2")
    sieve = Sieve("x", 0, 0, None, alone=True)
    sieve.feed(data)
    assert b"".join(sieve.take()) == LOG
    assert sieve.needs_touched
    assert sieve.at == len(LOG)
    assert b"".join(sieve.take()) == b""
    touched = Touched(tmp_path / "keys.db")
    touched.first(0, b"a")
    touched.first(3, b"c")
    sieve.touched, sieve.needs_touched = touched, False
    out = commands(b"".join(sieve.take()))
    assert out[:5] == [
        [b"SELECT", b"0"],
        [b"UNLINK", b"a"],
        [b"SELECT", b"3"],
        [b"UNLINK", b"c"],
        [b"SELECT", b"0"],
    ]
    assert out[-1] == [b"SET", b"b", b"2"]
    touched.close()


@pytest.mark.parametrize("step", [1, 5, 10_000])
def test_a_key_is_taken_away_before_the_first_command_for_it(step: int, tmp_path: Path) -> None:
    touched = Touched(tmp_path / "keys.db")
    data = (
        command(b"INCR", b"a") + command(b"INCR", b"a") + command(b"MSET", b"a", b"1", b"b", b"2")
        + command(b"SELECT", 2) + command(b"SUNIONSTORE", b"c", b"d", b"a") + command(b"MOVE", b"a", b"0")
        + command(b"COPY", b"c", b"z", b"DB", b"5")
    )  # fmt: skip
    assert sieved(data, step, touched, alone=False) == [
        [b"UNLINK", b"a"], [b"INCR", b"a"], [b"INCR", b"a"], [b"UNLINK", b"b"], [b"MSET", b"a", b"1", b"b", b"2"],
        [b"SELECT", b"2"], [b"UNLINK", b"c", b"d", b"a"], [b"SUNIONSTORE", b"c", b"d", b"a"],
        [b"MOVE", b"a", b"0"], [b"SELECT", b"5"], [b"UNLINK", b"z"], [b"SELECT", b"2"],
        [b"COPY", b"c", b"z", b"DB", b"5"],
    ]  # fmt: skip
    touched.close()


def test_very_many_keys_of_one_command_go_in_parts(tmp_path: Path) -> None:
    touched = Touched(tmp_path / "keys.db")
    names = [b"%d" % number for number in range(10_000)]
    data = command(b"SET", b"7", b"x") + command(b"MSET", *[word for name in names for word in (name, b"v")])
    data += command(b"DEL", *names)
    sieve = Sieve("x", 0, 0, touched, alone=False)
    sieve.feed(data)
    given, places = b"", []
    for piece in sieve.take():
        given += piece
        places.append(sieve.place(len(given)))
    found = commands(given)
    assert [words[0] for words in found] == [
        b"UNLINK", b"SET", b"UNLINK", b"MSET", b"UNLINK", b"MSET", b"UNLINK", b"MSET", b"DEL", b"DEL",
    ]  # fmt: skip
    assert [word for words in found if words[0] == b"MSET" for word in words[1::2]] == names
    assert [word for words in found if words[0] == b"DEL" for word in words[1:]] == names
    assert {word for words in found if words[0] == b"UNLINK" for word in words[1:]} == set(names)
    ends = [len(command(b"SET", b"7", b"x")), len(data) - len(command(b"DEL", *names)), len(data)]
    assert set(places) == set(ends), "no place is within a command"
    touched.close()


def test_databases_are_swapped_only_where_nothing_else_is(tmp_path: Path) -> None:
    touched = Touched(tmp_path / "keys.db")
    data = command(b"SET", b"a", b"1") + command(b"SWAPDB", 0, 1)
    with pytest.raises(Unsupported, match="SWAPDB at byte"):
        sieved(data, 1000, touched, alone=False)
    fresh = Touched(tmp_path / "other.db")
    assert sieved(data, 1000, fresh)[-1] == [b"SWAPDB", b"0", b"1"]
    assert list(fresh.pages(1)) == [[b"a"]]
    for each in (touched, fresh):
        each.close()


def test_a_command_that_is_too_long_to_be_held_is_refused() -> None:
    sieve = Sieve("x", 0, 0, None, alone=True)
    sieve.feed(b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$%d\r\n" % (MOST_COMMAND * 2))
    assert list(sieve.take()) == []
    with pytest.raises(Unsupported, match="command at byte 0"):
        sieve.feed(bytes(MOST_COMMAND + (16 << 20)))


def test_touched_keys_are_told_once_and_page_by_page(tmp_path: Path) -> None:
    touched = Touched(tmp_path / "keys.db")
    keys = [b"", b"\0", *(b"%d" % n for n in range(1500)), b"\xff" * 300]
    assert all(touched.first(7, key) for key in keys)
    assert not any(touched.first(7, key) for key in keys)
    assert touched.first(8, b"1")
    assert sorted(key for page in touched.pages(7) for key in page) == sorted(keys)
    assert list(touched.databases()) == [7, 8]
    touched.close()
    assert not (tmp_path / "keys.db").exists()


# Clusters


def test_slots_are_those_of_the_cluster_specification() -> None:
    assert slots.slot(b"123456789") == 0x31C3
    assert slots.slot(b"foo{bar}{zap}") == slots.slot(b"bar")
    assert slots.slot(b"foo{}{bar}") != slots.slot(b"bar")
    assert slots.slot(b"{a}1") == slots.slot(b"{a}2") == slots.slot(b"a")


def test_commands_go_to_their_slots_and_what_cannot_is_refused() -> None:
    data = command(b"SELECT", 0) + command(b"RESTORE", b"a", 0, b"x") + command(b"UNLINK", b"a", b"b", b"{a}c")
    data += command(b"MSET", b"a", b"1", b"b", b"2") + command(b"FUNCTION", b"LOAD", b"x")
    found = list(slots.routed(data))
    assert [slots.slot(b"a"), slots.slot(b"a"), slots.slot(b"b"), slots.slot(b"a"), slots.slot(b"b"), -1] == [
        sent.slot for sent in found
    ]
    assert commands(found[1].data) == [[b"UNLINK", b"a", b"{a}c"]]
    for bad in ((b"RENAME", b"a", b"b"), (b"MOVE", b"a", b"1"), (b"SWAPDB", b"0", b"1"), (b"SELECT", b"2")):
        with pytest.raises(Unsupported):
            list(slots.routed(command(*bad)))


# Harm


def _seeds() -> list[bytes]:
    parts = {name.rpartition("/")[2]: data for name, data in PARTS.items()}
    big = sealed(database(0), *(text_key(b"k%d" % n, b"v" * n) for n in range(60)))
    log = b"#TS:1\r\n" + LOG + command(b"MULTI") + LOG + command(b"EXEC") + command(b"FLUSHALL") + LOG
    return [
        big, log, big + log, gzip.compress(big + log), zipped(parts), zipped({"a.rdb": big}, zipfile.ZIP_STORED),
        zipped({"a.rdb": big}, zip64=True), tarred(parts, mode="w:gz"),
        tarred({"a" * 150: big}, tarfile.GNU_FORMAT), tarred({"ä" * 150: log}, tarfile.PAX_FORMAT),
        PARTS["d/a.aof.manifest"],
    ]  # fmt: skip


def harmed(seed: bytes, chance: random.Random) -> bytes:
    """Cut, flip, splice, repeat, or put large numbers in."""
    data = bytearray(seed)
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(len(data) + 1)
        match chance.randrange(6):
            case 0:
                del data[place:]
            case 1 if data:
                data[place % len(data)] ^= 1 << chance.randrange(8)
            case 2:
                data[place : place + chance.randrange(9)] = chance.randbytes(chance.randrange(9))
            case 3:
                data[place:place] = data[chance.randrange(len(data) + 1) :][: chance.randrange(200)]
            case 4:
                data[place : place + 4] = struct.pack("<I", chance.choice([0, 1, 0x7FFFFFFF, 0xFFFFFFFF]))
            case _:
                data[place : place + 8] = b"\xff" * 8
    return bytes(data)


@pytest.mark.parametrize("seed", range(11))
def test_whatever_a_file_holds_it_is_read_or_refused_and_never_hangs(seed: int) -> None:
    chance, original = random.Random(seed), _seeds()[seed]
    names = ("x.aof.manifest",) if seed == 10 else ("x",)
    rounds, refused, longest = examples(120), 0, 0.0
    for _ in range(rounds):
        data = harmed(original, chance)
        began = time.process_time()
        try:
            found = scan(
                {BUCKET: Memory({names[0]: data})}, [StoredFile(BUCKET, names[0])], 1 << 24, all_of_it=True
            )
            assert all(isinstance(fault, str) and fault for fault in found.faults)
        except Trouble:
            refused += 1
        longest = max(longest, time.process_time() - began)
    assert longest < 5
    assert refused < rounds, "some harm is found only by looking into what was opened"


def test_reading_a_blob_in_blocks_asks_for_no_byte_beyond_its_end() -> None:
    blob = Bytes("x", RDB)
    assert exactly(Plain(blob, 3, 10), 100) == RDB[3:10]
    with pytest.raises(BadData, match="x ends at byte"):
        exactly(Plain(blob, 0, len(RDB) + 5), 1000)
    assert exactly(Gzip(Plain(Bytes("x", gzip.compress(b"")), 0, 20), "x", 10), 10) == b""
