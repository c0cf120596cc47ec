"""The file with a received data set: a part of one is of no use, and must not keep a disk full."""

import errno
import os
from pathlib import Path

import pytest

from sterna.core.errors import DiskFull
from sterna.engines.redis.dump import Dump, DumpFacts


def test_a_part_of_a_data_set_goes_and_a_whole_one_stays(tmp_path: Path) -> None:
    dump = Dump(tmp_path)
    dump.begin(DumpFacts("a" * 40, 7))
    dump.append(b"half")
    assert dump.read(0, 10) == b"half"
    dump.close()
    assert list(tmp_path.iterdir()) == []
    dump.begin(DumpFacts("a" * 40, 7))
    dump.append(b"whole")
    dump.complete()
    dump.close()
    dump.close()
    again = Dump(tmp_path)
    assert (again.written, again.read(0, 10)) == (5, b"whole")
    again.close()


def test_a_data_set_that_fills_the_disk_leaves_room_to_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dump = Dump(tmp_path)
    dump.begin(DumpFacts("a" * 40, 7))
    dump.append(b"half")
    with monkeypatch.context() as patch:

        def full(*_: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        patch.setattr(os, "write", full)
        with pytest.raises(DiskFull):
            dump.append(b"more")
    assert dump.read(0, 10) == b"half"
    dump.close()
    assert not (tmp_path / "dump.rdb").exists()
