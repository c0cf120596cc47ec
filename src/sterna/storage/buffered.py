"""Reads a far file in large blocks, so that many small reads are few requests, and one block ahead of a reader."""

import threading
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor

from sterna.core.files import Blob

BLOCK = 4 << 20


class Buffered:
    """A ``Blob`` in front of another, which may be closed while it is read.

    At most ``keep`` blocks are held, and those that are being read.
    """

    def __init__(self, blob: Blob, block: int = BLOCK, keep: int = 4) -> None:
        assert block > 0
        assert keep > 1
        self._blob = blob
        self._block = block
        self._keep = keep
        self._blocks: OrderedDict[int, Future[bytes]] = OrderedDict()
        self._last = -1
        self._lock = threading.Lock()
        self._threads: ThreadPoolExecutor | None = None
        self._closed = False

    @property
    def name(self) -> str:
        return self._blob.name

    @property
    def size(self) -> int:
        return self._blob.size

    def read_at(self, offset: int, length: int) -> bytes:
        """As ``Blob`` promises. What is larger than all blocks that are kept is read past them."""
        end = min(offset + length, self.size)
        if offset >= end:
            return b""
        if end - offset >= self._block * self._keep:
            return self._blob.read_at(offset, end - offset)
        first, last = offset // self._block, (end - 1) // self._block
        if first == last:
            start = offset - first * self._block
            return self._get(first)[start : start + end - offset]
        pieces = [self._get(number) for number in range(first, last + 1)]
        joined = memoryview(b"".join(pieces))
        start = offset - first * self._block
        return bytes(joined[start : start + end - offset])

    def close(self) -> None:
        """As ``Blob`` promises, at once: a read ahead that is under way ends by itself."""
        with self._lock:
            self._closed = True
            threads, self._threads = self._threads, None
            self._blocks.clear()
        self._blob.close()
        if threads:
            threads.shutdown(wait=False, cancel_futures=True)

    def _get(self, number: int) -> bytes:
        with self._lock:
            wanted = self._future(number)
            if number == self._last + 1 and (number + 1) * self._block < self.size:
                self._future(number + 1)  # a reader that goes on: what it will want next is on its way
            self._blocks.move_to_end(number)
            self._last = number
            while len(self._blocks) > self._keep:
                self._drop_oldest()
        try:
            return wanted.result()
        except BaseException:
            with self._lock:
                if self._blocks.get(number) is wanted:
                    del self._blocks[number]  # asked for again, it is read again
            raise

    def _future(self, number: int) -> "Future[bytes]":
        found = self._blocks.get(number)
        if found is None:
            if self._closed:
                raise ValueError(f"{self.name} is closed")
            if self._threads is None:
                self._threads = ThreadPoolExecutor(2, "read-ahead")
            found = self._threads.submit(self._blob.read_at, number * self._block, self._block)
            self._blocks[number] = found
        return found

    def _drop_oldest(self) -> None:
        _, oldest = self._blocks.popitem(last=False)
        oldest.cancel()
