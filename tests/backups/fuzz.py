"""Feeds damaged files to the parsers: ``python -m tests.backups.fuzz --seconds 60 [--seed N] [--parser redis]``.

A child process reads; the parent watches that every case ends in time. What a case may do: give rows, or raise an
error of the product's own. Anything else is a find, and is printed with the number that makes it again.
"""

import argparse
import gzip
import io
import itertools
import math
import multiprocessing
import random
import resource
import tarfile
import tempfile
import time
import traceback
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TypeVar

from sterna.core.errors import BadData, NotFound, Unsupported
from sterna.core.files import Entry
from sterna.core.plan import Path as Name
from sterna.core.plan import StoredFile
from sterna.engines.redis.files.scan import scan
from sterna.engines.sqlserver.wire.database import DatabaseBackup, databases_of
from sterna.engines.sqlserver.wire.inspecting import inspect
from sterna.engines.sqlserver.wire.media import open_media
from sterna.engines.sqlserver.wire.tables import PageRange
from sterna.engines.sqlserver.wire.verify import verify
from tests.backups.corpus import all_fixtures
from tests.backups.damage import damaged
from tests.backups.reading import MemoryBlob, in_bytes
from tests.unit.rdb_files import DATA

LIMIT = 30.0
"""Seconds that a case may take on a busy machine; sound ones take a tenth of a second."""
BEGIN = 300.0
"""Seconds until a child has its files."""
MEMORY = 2 << 30
"""Bytes that the child may have at most."""
FAULTS = 2000
OURS = (BadData, Unsupported, NotFound)
Files = Sequence[MemoryBlob]
Case = Callable[[Files], None]
T = TypeVar("T")


@dataclass(frozen=True)
class Parser:
    """What is fuzzed: good files to begin with, and what reads them."""

    seeds: Sequence[Files]
    case: Case


Make = Callable[[], Parser]
"""Makes a parser in the process that runs it; a function of a module, so that another process finds it."""


def read_backup(files: Files) -> None:
    """Everything that the product does with a backup; errors of its own are an answer."""
    answered(lambda: inspect(files))
    media = []
    for blob in files:
        try:
            media.append(open_media(blob))
        except OURS:
            continue
    if not media:
        return
    answered(lambda: list(itertools.islice(verify(media), FAULTS)))
    for database in answered(lambda: databases_of(media)) or ():
        read_database(database)


def answered(ask: Callable[[], T]) -> T | None:
    """The answer, or None for an error of our own."""
    try:
        return ask()
    except OURS:
        return None


def read_database(database: DatabaseBackup) -> None:
    """The schema and all rows, both as text and as values."""
    schema = answered(database.schema)
    for table in schema.tables if schema else ():
        for part in answered(partial(database.parts, table.path)) or ():
            answered(partial(count_pieces, database, table.path, part))
            answered(partial(count_rows, database, table.path, part))


def count_pieces(database: DatabaseBackup, table: Name, part: PageRange) -> int:
    """A part's rows as text."""
    rows = 0
    for piece in database.copy_text(table, part):
        for _ in in_bytes(piece.data):
            pass
        rows += piece.rows
    return rows


def count_rows(database: DatabaseBackup, table: Name, part: PageRange) -> int:
    """A part's rows as values."""
    return sum(1 for _ in database.rows(table, part))


@dataclass(frozen=True)
class Shelf:
    """A bucket in memory."""

    files: Files

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """All files."""
        return (Entry(blob.name, blob.size) for blob in self.files if blob.name.startswith(prefix))

    def head(self, name: str) -> Entry:
        """One file."""
        return Entry(name, self.open(name).size)

    def open(self, name: str) -> MemoryBlob:
        """One file."""
        for blob in self.files:
            if blob.name == name:
                return blob
        raise NotFound(name)

    def write(self, name: str, pieces: Iterable[bytes]) -> Entry:
        """Nothing is written here."""
        raise NotFound(f"{name}: {sum(map(len, pieces))}")

    def delete(self, name: str) -> None:
        """Nothing is deleted here."""


def read_redis(files: Files) -> None:
    """A look through all of the files, as before an import."""
    stored = [StoredFile("bucket", blob.name) for blob in files]
    answered(lambda: scan({"bucket": Shelf(files)}, stored, 64 << 20, all_of_it=True))


def backup_seeds() -> list[Files]:
    """The corpus, without what is too big to be read often."""
    with tempfile.TemporaryDirectory() as folder:
        made = all_fixtures(Path(folder)).values()
        sets = [[MemoryBlob(path.name, path.read_bytes()) for path in one.paths] for one in made]
    return [files for files in sets if sum(blob.size for blob in files) < 1_400_000]


def redis_seeds() -> list[Files]:
    """Recorded RDB files, logs of commands, and both in archives."""
    dumps = {path.name: path.read_bytes() for path in sorted(DATA.glob("*.rdb"))}
    log = b"".join(command("SET", f"key {n}", "value " * (n % 9)) for n in range(200)) + command("SELECT", "3")
    log = b"#TS:1700000000\r\n" + log + command("MULTI") + command("RPUSH", "list", "a", "b") + command("EXEC")
    first = next(iter(dumps.values()))
    manifest = b"file a.base.rdb seq 1 type b\nfile a.incr.aof seq 1 type i\n"
    parts = {"a.base.rdb": first, "a.incr.aof": log, "a.manifest": manifest}
    seeds = [[MemoryBlob(name, data)] for name, data in dumps.items()]
    seeds += [[MemoryBlob("appendonly.aof", log)], [MemoryBlob("appendonly.aof", first + log)]]
    seeds += [[MemoryBlob(name, data) for name, data in parts.items()]]
    seeds += [[MemoryBlob("dump.rdb.gz", gzip.compress(first, 1))], [MemoryBlob("all.zip", zipped(parts))]]
    return [
        *seeds,
        [MemoryBlob("all.tar", tarred(parts))],
        [MemoryBlob("all.tgz", gzip.compress(tarred(parts), 1))],
    ]


def command(*words: str) -> bytes:
    """A command as a log holds it."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w.encode()) for w in words)


def zipped(files: dict[str, bytes]) -> bytes:
    """A ZIP archive."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return out.getvalue()


def tarred(files: dict[str, bytes]) -> bytes:
    """A TAR archive."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


def backup_parser() -> Parser:
    """The reader of SQL Server backups."""
    return Parser(backup_seeds(), read_backup)


def redis_parser() -> Parser:
    """The readers of RDB and AOF files, and of archives around them."""
    return Parser(redis_seeds(), read_redis)


PARSERS: dict[str, Make] = {"backup": backup_parser, "redis": redis_parser}


def made_case(seeds: Sequence[Files], number: int) -> Files:
    """The files of a case: a seed of which one or all are damaged."""
    dice = random.Random(number)
    files = list(dice.choice(seeds))
    chosen = dice.randrange(len(files))
    return [MemoryBlob(b.name, damaged(b.data, dice)) if n == chosen else b for n, b in enumerate(files)]


def work(make: Make, first: int, pipe: Connection) -> None:
    """The child: tells each case before it begins, and what went wrong in it."""
    parser = make()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for number in itertools.count(first):
        pipe.send((number, ""))
        try:
            parser.case(made_case(parser.seeds, number))
        except BaseException:
            pipe.send((number, traceback.format_exc()))


@dataclass
class Watch:
    """Runs children and notes what they find."""

    make: Make
    seed: int
    finds: list[str] = field(default_factory=list)
    cases: int = 0
    _end: float = math.inf
    """When the time is over; it begins with the first case."""

    def run(self, seconds: float, most: int = 20, least: int = 0) -> list[str]:
        """Cases until the time is over and there were at least so many, or until so many finds."""
        number = self.seed
        while not self._over(least) and len(self.finds) < most:
            number = self._child(number, seconds, most, least)
        return self.finds

    def _over(self, least: int) -> bool:
        return time.monotonic() >= self._end and self.cases >= least

    def _child(self, number: int, seconds: float, most: int, least: int) -> int:
        """One child, until it dies, hangs or all is over; the number of the next case."""
        context = multiprocessing.get_context("spawn")
        mine, theirs = context.Pipe(duplex=False)
        child = context.Process(target=work, args=(self.make, number, theirs), daemon=True)
        child.start()
        theirs.close()
        try:
            if not mine.poll(BEGIN):
                raise TimeoutError(f"the files to damage were not there within {BEGIN:.0f} s")
            self._end = min(self._end, time.monotonic() + seconds)
            while len(self.finds) < most and not self._over(least):
                if not mine.poll(LIMIT):
                    self.finds.append(f"case {number}: no end within {LIMIT:.0f} s")
                    return number + 1
                number, trouble = mine.recv()
                self.cases += not trouble
                if trouble:
                    self.finds.append(f"case {number}:\n{trouble}")
        except EOFError:
            child.join()
            self.finds.append(f"case {number}: the process died, {child.exitcode}")
        finally:
            child.kill()
            child.join()
            mine.close()
        return number + 1


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Feed damaged files to a parser.")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 40))
    parser.add_argument("--parser", choices=sorted(PARSERS), default="backup")
    parser.add_argument("--one", type=int, help="run this one case here, with its traceback")
    given = parser.parse_args()
    if given.one is not None:
        chosen = PARSERS[given.parser]()
        chosen.case(made_case(chosen.seeds, given.one))
        return
    watch = Watch(PARSERS[given.parser], given.seed)
    for find in watch.run(given.seconds):
        print(find)
    print(f"seed {given.seed}: {watch.cases} cases, {len(watch.finds)} finds")
    raise SystemExit(bool(watch.finds))


if __name__ == "__main__":
    main()
