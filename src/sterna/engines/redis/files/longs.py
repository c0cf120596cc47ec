"""Gets what is long of a command out of the way while it comes: one long word, or very many words.

A command must be whole before any of it is carried out, since the end of a file may be missing. So what is long
goes into a store, and a mark stands for it. Of a command whose words are many, all after its key are kept as they
stand in the file.
"""

from sterna.core.errors import Unsupported
from sterna.engines.redis.files.scratch import Holding, Store
from sterna.engines.redis.wire import commands
from sterna.engines.redis.wire.draft import Words
from sterna.engines.redis.wire.resp import Framer, bulk
from sterna.engines.redis.wire.tape import MOST_ELEMENT

LONG_WORD = 1 << 20
"""A word of so many bytes goes into the store."""
LONG_RUN = 4 << 20
"""So do many words that have so many bytes together."""
MIDDLING = 4 << 10
"""Where a command is that long and may not have any number of words, each one of so many bytes goes there."""
MOST_WORD = 512 << 20
"""What a server takes (``proto-max-bulk-len``)."""
_AFTER_ONE_KEY = b"RPUSH LPUSH RPUSHX LPUSHX SADD SREM ZADD ZREM HSET HMSET HDEL PFADD XADD GEOADD".split()
_ALL_KEYS = b"MSET DEL UNLINK".split()
_GHOST = b"$0\r\n"
"""Stands for the head and the bytes of a long word among many; its line end follows in the file."""


class Long:
    """Works on the first command in a buffer, which has not come to its end, and on the framer that is in it.

    ``keys_matter``: somebody has to look at each key of a command.
    """

    def __init__(self, name: str, store: Store, *, keys_matter: bool) -> None:
        self._name = name
        self._store = store
        self._runs = dict.fromkeys(_AFTER_ONE_KEY, 2) | ({} if keys_matter else dict.fromkeys(_ALL_KEYS, 1))
        self.gone = 0
        """How many bytes more the command has in the file than in the buffer."""
        self._word: Holding | None = None
        self._left = 0
        self._run: Holding | None = None
        self._kept = 0
        """Words that stay before those of the run."""
        self._ghost = False
        self._looked = 0
        """How many bytes the buffer had after the last look at each word."""

    def swallow(self, data: bytes, buffer: bytearray) -> bytes:
        """Of the file's next bytes, keep those of a long word; the rest is given back."""
        if self._word is None:
            return data
        part = data[: self._left]
        self._word.write(part)
        self._left -= len(part)
        self.gone += len(part)
        if not self._left:
            stand_in = _GHOST if self._run else b"$%d\r\n%b" % (len(self._word.mark), self._word.mark)
            buffer += stand_in
            self.gone -= len(stand_in)
            self._word = None
        return data[len(part) :]

    def takes(self, buffer: bytearray, framer: Framer) -> bool:
        """Whether the command may have any number of words."""
        return self._run is not None or self._words_before_run(buffer, framer) > 0

    def relieve(self, buffer: bytearray, framer: Framer, offset: int) -> None:
        """Put away what is long. ``offset``: where in the file the command begins. Raises Unsupported."""
        place, begin, length = framer.awaited(buffer)
        if length > MOST_WORD:
            at = f"{self._name}: the command at byte {offset}"
            raise Unsupported(f"{at} has a word of {length} bytes; servers take {MOST_WORD}")
        is_long = length >= LONG_WORD
        if is_long or len(buffer) > self._looked + LONG_RUN:
            self._take_run(buffer, framer, place, offset)
            if not self._run:
                self._take_words(buffer, framer, offset)
            place, begin, _ = framer.awaited(buffer)
        if not is_long:
            return
        self._word = self._run or self._store.begin(offset)
        head, rest = bytes(buffer[place:begin]), bytes(buffer[begin:])
        del buffer[place:]
        self.gone += len(head)
        if self._run:
            self._run.write(head)
            self._ghost = True
        self._left = length
        buffer += self.swallow(rest, buffer)

    def finish(self, buffer: bytearray, framer: Framer, end: int, base: int) -> int:
        """The command is whole; make it one that stands for all of it. Returns where that ends in the buffer."""
        if self._run:
            self._take_run(buffer, framer, end, base)
            start, first = self._run_start(framer), buffer.rindex(b"$", 0, framer.spans[0])
            run = self._run
            run.whole_head = bytes(buffer[:start])
            run.short_head = b"*%d\r\n%b" % (self._kept + 1, bytes(buffer[first:start]))
            self._replace(buffer, 0, start, run.short_head + bulk(run.mark))
        elif not self._restore_keys(buffer, framer):
            return end
        framer.restart()
        return framer.next(buffer, 0, base)

    def done(self) -> None:
        """The command was given out."""
        self.gone = self._kept = self._looked = 0
        self._run, self._ghost = None, False

    def _words_before_run(self, buffer: bytearray, framer: Framer) -> int:
        spans = framer.spans
        return self._runs.get(bytes(buffer[spans[0] : spans[1]]).upper(), 0) if spans else 0

    def _run_start(self, framer: Framer) -> int:
        return framer.spans[2 * self._kept - 1] + 2

    def _take_run(self, buffer: bytearray, framer: Framer, upto: int, offset: int) -> int:
        """Put away all whole words after the key of a command that may have many. How many bytes went."""
        if self._run is None:
            kept = self._words_before_run(buffer, framer)
            words = Words(buffer, framer.spans, 0)
            if not kept or len(words) < kept or any(self._store.held(words[place]) for place in range(kept)):
                return 0
            self._run, self._kept = self._store.begin(offset), kept
        start = self._run_start(framer)
        if upto > start:
            self._run.write(bytes(buffer[start + (len(_GHOST) if self._ghost else 0) : upto]))
            self._ghost = False
            del buffer[start:upto]
            self.gone += upto - start
            framer.cut(self._kept, upto - start)
        return upto - start

    def _take_words(self, buffer: bytearray, framer: Framer, offset: int) -> None:
        """Put away each word that is not short."""
        spans, kept, done = framer.spans, bytearray(), 0
        for place in range(2, len(spans), 2):
            begin, end = spans[place : place + 2]
            if end - begin >= MIDDLING:
                holding = self._store.begin(offset)
                holding.write(bytes(buffer[begin:end]))
                kept += buffer[done : buffer.rindex(b"$", 0, begin)] + bulk(holding.mark)
                done = end + 2
        self._replace(buffer, 0, done, bytes(kept))
        self._looked = len(buffer)
        framer.restart()
        framer.next(buffer, 0, offset)

    def _restore_keys(self, buffer: bytearray, framer: Framer) -> bool:
        """A long word that is a key is needed as it is."""
        words = Words(buffer, framer.spans, 0)
        found = False
        for place in reversed(commands.keys(words[0].upper(), words) or []):
            if holding := self._store.held(words[place]):
                if holding.size > MOST_ELEMENT:
                    raise Unsupported(
                        f"{self._name}: a key has {holding.size} bytes; at most {MOST_ELEMENT} can be held"
                    )
                begin, end = framer.spans[2 * place : 2 * place + 2]
                self._replace(buffer, buffer.rindex(b"$", 0, begin), end + 2, bulk(b"".join(holding.read())))
                found = True
        return found

    def _replace(self, buffer: bytearray, start: int, end: int, data: bytes) -> None:
        self.gone += end - start - len(data)
        buffer[start:end] = data
