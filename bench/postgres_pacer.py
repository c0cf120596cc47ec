"""Writes single-row transactions to a PostgreSQL at a steady rate until it is ended.

Usage: python -m bench.postgres_pacer DSN TRANSACTIONS_PER_SECOND
"""

import sys
import time

import psycopg

_WRITE = "UPDATE public.work SET balance = balance + 1 WHERE id = %s"


def main() -> None:
    dsn, rate = sys.argv[1], int(sys.argv[2])
    began, sent = time.perf_counter(), 0
    with psycopg.connect(dsn, autocommit=True) as connection:
        while True:
            due = int((time.perf_counter() - began) * rate)
            while sent < due:
                connection.execute(_WRITE, (1 + sent * 7919 % 100_000,), prepare=True)
                sent += 1
            time.sleep(0.0005)


if __name__ == "__main__":
    main()
