"""The loop that people write by hand: SCAN, DUMP and RESTORE in pipelines, with redis-py and hiredis.

Usage: python -m bench.dump_restore SOURCE_PORT TARGET_PORT
"""

import sys

import redis

PAGE = 1000


def main() -> None:
    source, target = (redis.Redis(port=int(port), protocol=2) for port in sys.argv[1:3])
    cursor = 0
    while True:
        cursor, keys = source.scan(cursor, count=PAGE)
        asked = source.pipeline(transaction=False)
        for key in keys:
            asked.dump(key)
            asked.pttl(key)
        answers = asked.execute()
        written = target.pipeline(transaction=False)
        for key, value, left in zip(keys, answers[::2], answers[1::2], strict=True):
            if value is not None:
                written.restore(key, max(left, 0), value, replace=True)
        written.execute()
        if not cursor:
            return


if __name__ == "__main__":
    main()
