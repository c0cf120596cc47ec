"""What the demo moves: a small blocking client, a varied data set, and a writer that never rests."""

import random
import socket
import threading
import time
from typing import Any

import hiredis

_pack: Any = hiredis.pack_command


class Client:
    """One blocking connection to a server on this machine."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._parser = hiredis.Reader()

    def many(self, commands: list[tuple[Any, ...]]) -> list[Any]:
        """Send commands together and return their replies; raises on the first error among them."""
        self._socket.sendall(b"".join(_pack(words) for words in commands))
        replies: list[Any] = []
        while len(replies) < len(commands):
            reply = self._parser.gets()
            if reply is False:
                data = self._socket.recv(1 << 16)
                if not data:
                    raise ConnectionError("the server closed the connection")
                self._parser.feed(data)
                continue
            if isinstance(reply, hiredis.ReplyError):
                raise reply
            replies.append(reply)
        return replies

    def call(self, *words: Any) -> Any:
        return self.many([words])[0]

    def close(self) -> None:
        self._socket.close()


def fill(port: int, keys: int) -> int:
    """Make ``keys`` strings, and some of everything else. Returns the number of keys."""
    client = Client(port)
    chance = random.Random(7)
    for start in range(0, keys, 5000):
        client.many([("SET", f"string:{n}", f"{n:08d}" * 12) for n in range(start, min(start + 5000, keys))])
    for start in range(0, 200_000, 5000):
        fields = [part for n in range(start, start + 5000) for part in (f"field:{n}", f"value of {n}")]
        client.many([("HSET", "a big hash", *fields)])
    commands: list[tuple[Any, ...]] = []
    for n in range(keys // 50):
        elements = [f"{chance.random():.12f}" for _ in range(20 + n % 180)]
        commands += [
            ("RPUSH", f"list:{n}", *elements),
            ("SADD", f"set:{n}", *elements),
            ("SADD", f"numbers:{n}", *range(n, n + 30)),
            ("ZADD", f"scores:{n}", *(part for e in elements for part in (float(e), e))),
            ("HSET", f"hash:{n}", *(part for e in elements for part in (e, n))),
            ("SET", f"session:{n}", "x" * 40, "PX", chance.randint(2_000, 3_600_000)),
            ("SET", bytes(chance.randbytes(12)), chance.randbytes(chance.randint(1, 400))),
        ]
        if len(commands) > 1000:
            client.many(commands)
            commands = []
    for n in range(200):
        commands += [("XADD", f"stream:{n % 10}", "*", "n", n), ("PFADD", f"visitors:{n % 10}", n)]
        commands += [("GEOADD", "places", 8 + n / 50, 50 + n / 90, f"place {n}"), ("SETBIT", "bits", n * 77, 1)]
    commands += [("XGROUP", "CREATE", f"stream:{n}", "workers", "0") for n in range(10)]
    commands += [
        ("XREADGROUP", "GROUP", "workers", "one", "COUNT", 5, "STREAMS", f"stream:{n}", ">") for n in range(10)
    ]
    commands += [("SELECT", 5), ("SET", "in another database", "yes"), ("SELECT", 0)]
    client.many(commands)
    total = int(client.call("DBSIZE")) + 1
    client.close()
    return total


class Writer(threading.Thread):
    """Writes without rest, and counts what it wrote: the proof that each write arrived exactly once."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._client = Client(port)
        self._end = threading.Event()
        self.rounds = 0
        self.commands = 0

    def run(self) -> None:
        while not self._end.is_set():
            n = self.rounds
            commands: list[tuple[Any, ...]] = [
                ("INCR", "counter"),
                ("LPUSH", "journal", n),
                ("ZADD", "latest", n, f"member {n % 500}"),
                ("XADD", "events", "*", "round", n),
                ("SET", f"brief:{n % 2000}", n, "EX", 1 + n % 30),
                ("SET", f"string:{n % 1000}", f"changed in round {n}"),
                ("EXPIRE", f"brief:{(n * 7) % 2000}", 60),
                ("DEL", f"string:{1000 + n % 5000}"),
                ("HINCRBY", "a big hash", f"field:{n % 1000}x", 1),
            ]
            self._client.many([("MULTI",), *commands, ("EXEC",)] if n % 10 == 0 else commands)
            self.rounds += 1
            self.commands += len(commands)
            time.sleep(0.001)

    def stop(self) -> None:
        self._end.set()
        self.join()
        self._client.close()
