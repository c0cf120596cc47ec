"""Makes keys of the target what they are on the source."""

import hashlib
from collections.abc import Sequence

from sterna.engines.redis import windows
from sterna.engines.redis.connection import Argument, ReplyError
from sterna.engines.redis.names import REPAIR_PREFIX
from sterna.engines.redis.pages import Group, Pair
from sterna.engines.redis.reading import ABSENT, BIG, FOOTER, FOREVER, bunches
from sterna.engines.redis.wire.crc64 import crc64
from sterna.engines.redis.wire.expiry import UNHELD_FROM
from sterna.engines.redis.wire.kinds import kind_in


async def mend_all(pair: Pair, group: Group, keys: Sequence[bytes], hold_ms: int) -> None:
    """Mend many keys: the plain ones together, the others one by one. See ``mend`` for what becomes of each."""
    left = list(keys)
    if len(group.sources) == 1:
        await pair.use(group.sources[0], group.target)
        left = await _mend_plain(pair, keys, hold_ms)
    for key in left:
        await mend(pair, group, key, hold_ms)


async def _mend_plain(pair: Pair, keys: Sequence[bytes], hold_ms: int) -> list[bytes]:
    """Restore what is small and delete what the source does not have; returns the keys where that did not do."""
    sizes, expiries = await pair.source.weigh(keys)
    target = pair.target.connection
    gone = [key for key, expiry in zip(keys, expiries, strict=True) if expiry == ABSENT]
    await target.pipeline([("DEL", key) for key in gone])
    small = [at for at, expiry in enumerate(expiries) if expiry != ABSENT and sizes[at] <= BIG]
    left = [key for at, key in enumerate(keys) if expiries[at] != ABSENT and sizes[at] > BIG]
    for bunch in bunches(small, sizes):
        dumps = await pair.source.dump([keys[at] for at in bunch])
        replies = await target.pipeline(
            [
                _restoring(keys[at], dump, _held(expiries[at], hold_ms)) if dump else ("DEL", keys[at])
                for at, dump in zip(bunch, dumps, strict=True)
            ]
        )
        left += [keys[at] for at, reply in zip(bunch, replies, strict=True) if isinstance(reply, ReplyError)]
    return left


def _restoring(key: bytes, dump: bytes, expiry: int) -> tuple[Argument, ...]:
    return ("RESTORE", key, expiry, stamped(dump), "REPLACE", *(["ABSTTL"] if expiry else []))


def stamped(dump: bytes) -> bytes:
    """The serialised value under the least version that has its kind: servers refuse what claims a newer one."""
    kind = kind_in(int.from_bytes(dump[-FOOTER : 2 - FOOTER], "little"), dump[0])
    if kind is None:
        return dump
    body = dump[:-FOOTER] + kind.since.to_bytes(2, "little")
    return body + crc64(body).to_bytes(8, "little")


def _held(expiry: int, hold_ms: int) -> int:
    return 0 if expiry == FOREVER else expiry + hold_ms if expiry < UNHELD_FROM else expiry


async def mend(pair: Pair, group: Group, key: bytes, hold_ms: int) -> None:
    """Copy the key from the source, or delete it on the target where the source has none.

    Where databases are merged it is taken from the highest that has it. A value that is large, or whose
    serialised form the target does not take, is built from ordinary commands under another name and then moved to
    its own, so that nobody sees half of it. What the target cannot hold at all is left as it is: the look that
    follows says so. ``hold_ms`` is added to expiries. Raises Unreachable, TargetFull, AccessDenied.
    """
    await pair.target.use(group.target)
    for database in reversed(group.sources):
        await pair.source.use(database)
        (size,), (expiry,) = await pair.source.weigh([key])
        if expiry != ABSENT:
            break
    else:
        await pair.target.connection.call("DEL", key)
        return
    held = _held(expiry, hold_ms)
    try:
        if size > BIG or not await _restore(pair, key, held):
            await _rebuild(pair, key, held)
    except ReplyError:
        return  # such a value does not exist on the target's version


async def _restore(pair: Pair, key: bytes, expiry: int) -> bool:
    """Move the serialised value. False: the target does not take it."""
    (dump,) = await pair.source.dump([key])
    if dump is None:
        return True  # gone meanwhile: the next look finds it extra
    target = pair.target.connection
    try:
        await target.call(*_restoring(key, dump, expiry))
    except ReplyError as error:
        if not expiry or "syntax" not in str(error):
            return False
        return await _restore_for(pair, key, dump, expiry)
    return True


async def _restore_for(pair: Pair, key: bytes, dump: bytes, expiry: int) -> bool:
    """The same for servers before 5.0, which do not know ABSTTL."""
    target = pair.target.connection
    seconds, micros = await target.call("TIME")
    left = max(1, expiry - int(seconds) * 1000 - int(micros) // 1000)
    try:
        await target.call("RESTORE", key, left, stamped(dump), "REPLACE")
    except ReplyError:
        return False
    return True


async def _rebuild(pair: Pair, key: bytes, expiry: int) -> None:
    source, target = pair.source.connection, pair.target.connection
    kind = (await source.call("TYPE", key)).decode()
    if kind not in windows.LENGTHS:
        return
    away = REPAIR_PREFIX + hashlib.blake2b(key, digest_size=16).hexdigest().encode()
    await target.call("DEL", away)
    try:
        async for window in windows.elements(source, key, kind, pair.source.field_expiries):
            await windows.write(target, away, kind, window)
        if kind == "stream":
            await windows.write_stream_state(source, target, key, away)
        if expiry:
            await target.call("PEXPIREAT", away, expiry)
        await target.call("RENAME", away, key)
    finally:
        await target.call("DEL", away)
