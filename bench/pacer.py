"""Writes to a server at a steady rate until it is ended.

Usage: python -m bench.pacer PORT COMMANDS_PER_SECOND
"""

import sys
import time

from bench.redis_wire import Line
from bench.redis_work import commands


def main() -> None:
    port, rate = int(sys.argv[1]), int(sys.argv[2])
    work = commands(start=0)
    began, sent = time.perf_counter(), 0
    with Line("127.0.0.1", port) as line:
        line.mute()
        while True:
            due = int((time.perf_counter() - began) * rate)
            if due > sent:
                line.send(b"".join(next(work) for _ in range(due - sent)))
                sent = due
            time.sleep(0.001)


if __name__ == "__main__":
    main()
