"""Makes one key of the target what it is on the source."""

import hashlib

from sterna.engines.redis import windows
from sterna.engines.redis.connection import ReplyError
from sterna.engines.redis.names import REPAIR_PREFIX
from sterna.engines.redis.pages import Group, Pair
from sterna.engines.redis.reading import ABSENT, BIG, FOREVER


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
    held = 0 if expiry == FOREVER else expiry + hold_ms
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
        await target.call("RESTORE", key, expiry, dump, "REPLACE", *(["ABSTTL"] if expiry else []))
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
        await target.call("RESTORE", key, left, dump, "REPLACE")
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
