"""What a source must be, and what it is better set to."""

from collections.abc import Callable

from sterna.core.finding import Verdict, alarm, failed, passed, size
from sterna.engines.redis import checks_either as either
from sterna.engines.redis.verdict import Scene

OLDEST = (2, 8)
"""PSYNC came with 2.8."""
BACKLOG_S = 60
"""A backlog should hold the writes of at least so many seconds: that long a broken connection may last."""
BUFFER_SHARE = 0.2
"""The output buffer of a replica should take this share of the data: what is written while the copy is sent."""
SHORT_TIMEOUT_S = 60
KEYLESS = frozenset({"lua"})
"""Parts of the server that call themselves modules and keep no keys. (``vectorset`` is in every Redis 8: only its
use counts.)"""
MODULE_TYPES = frozenset({"ReJSON", "bf", "timeseries", "graph", "TairHash", "TairString", "TairZset", "tairdoc"})
"""Modules that are known to keep keys of their own types. Others are named, but may keep none."""


def version(scene: Scene) -> Verdict:
    """2.8 or later."""
    source = scene.source
    if not source.version:
        return alarm("The server does not say its version", "Make sure that it is 2.8 or later: INFO server")
    if source.version < OLDEST and source.product == "redis":
        return failed(source.label, "Upgrade the source to 2.8 or later: it must know PSYNC")
    return passed(source.label)


def role(scene: Scene) -> Verdict:
    """A replica will do as long as its own link is up."""
    said = scene.source.info
    if said.get("role") != "slave":
        return passed(f"{said.get('role', 'unknown')}, {said.get('connected_slaves', '?')} replicas")
    master = f"replica of {said.get('master_host')}:{said.get('master_port')}"
    if said.get("master_link_status") != "up":
        return failed(
            f"{master}, link down", "Name the master instead, or mend the replica's link (INFO replication)"
        )
    return alarm(
        f"{master}, link up", "Better name the master: a replica lags, and stops when it is made a master"
    )


def rights(scene: Scene) -> Verdict:
    """What a migration needs; what only a comparison needs is an alarm."""
    user = scene.plan.source.user or "default"
    if scene.source.denied or not scene.source.missing:
        return either.rights(scene.source, user)
    names = " ".join(f"+{text.partition(':')[0].lower()}" for text in scene.source.missing)
    return alarm(
        f"Enough to move, not to compare: {'; '.join(scene.source.missing)}", f"ACL SETUSER {user} ~* {names}"
    )


def psync(scene: Scene) -> Verdict:
    """Whether the source would let a replica in."""
    said, user = scene.source.psync, scene.plan.source.user or "default"
    if said.startswith("NOPERM"):
        return failed(said, f"ACL SETUSER {user} +psync +replconf")
    if "unknown command" in said.lower():
        return failed(
            said, "Remove rename-command PSYNC from the source's settings, or ask its provider to allow PSYNC"
        )
    if "pending output" in said or said.startswith(("FULLRESYNC", "CONTINUE")):
        return passed("PSYNC is allowed")
    if said.startswith("NOMASTERLINK"):
        return failed(said, "Wait until the replica has synchronised with its own master, or name the master")
    return alarm(
        f"PSYNC was answered with: {said}",
        "Find out whether the source lets replicas in: redis-cli --rdb /dev/null",
    )


def output_buffer(scene: Scene) -> Verdict:
    """A replica that falls behind during the copy is cut off once its buffer is over the limit."""
    text = (scene.source.config or {}).get("client-output-buffer-limit")
    limits = _replica_limits(text or "")
    if not limits:
        return passed("client-output-buffer-limit could not be read: the server does not show its settings")
    hard, soft, seconds = limits
    seen = f"replica: hard {size(hard) if hard else 'none'}, soft {size(soft) if soft else 'none'} for {seconds} s"
    data = scene.source.number("used_memory") or 0
    wanted = int(data * BUFFER_SHARE)
    soft_small = soft and scene.source.write_rate * seconds > soft
    if (not hard or hard >= wanted) and not soft_small:
        return passed(f"{seen}; data {size(data)}")
    word = "replica" if scene.source.product == "valkey" or scene.source.version >= (5,) else "slave"
    enough = max(wanted, 256 << 20, int(scene.source.write_rate * 120))
    return alarm(
        f"{seen}; small beside {size(data)} of data and {size(scene.source.write_rate)}/s of writes",
        f'CONFIG SET client-output-buffer-limit "{word} {enough} {enough} 120"',
    )


def backlog(scene: Scene) -> Verdict:
    """After a broken connection the source must still hold what was written meanwhile; else all is copied anew."""
    held, rate = (
        scene.source.number("repl_backlog_size") or _setting(scene, "repl-backlog-size"),
        scene.source.write_rate,
    )
    if not held:
        return passed("repl-backlog-size could not be read: the server does not show it")
    if rate * BACKLOG_S <= held:
        lasts = f"lasts {held / rate:.0f} s" if rate >= 1 else "no writes seen"
        return passed(f"{size(held)}; {size(rate)}/s of writes: {lasts}")
    wanted = 1 << (int(rate * BACKLOG_S * 5) - 1).bit_length()
    return alarm(
        f"{size(held)} lasts {held / rate:.0f} s at {size(rate)}/s of writes",
        f"CONFIG SET repl-backlog-size {wanted}",
    )


def replication(scene: Scene) -> Verdict:
    """How the source sends its copy, and when it gives a silent replica up."""
    settings = scene.source.config or {}
    timeout, diskless = settings.get("repl-timeout"), settings.get("repl-diskless-sync")
    if not timeout:
        return passed("repl-timeout could not be read: the server does not show its settings")
    seen = f"repl-timeout {timeout} s, repl-diskless-sync {diskless or 'no'}"
    if int(timeout) < SHORT_TIMEOUT_S:
        return alarm(seen, "CONFIG SET repl-timeout 300")
    return passed(seen)


def modules(scene: Scene) -> Verdict:
    """Keys of a module's own type cannot be moved."""
    loaded = [name for name in scene.source.modules or () if name not in KEYLESS]
    if "vectorset" in loaded and "VADD" not in scene.source.used:
        loaded.remove("vectorset")
    if not loaded:
        return passed(
            "No modules with types of their own" if scene.source.modules is not None else "No modules shown"
        )
    lacking = [name for name in loaded if name not in (scene.target.modules or ())]
    typed = [name for name in lacking if name in MODULE_TYPES]
    seen = f"Loaded on the source: {', '.join(loaded)}; the target lacks: {', '.join(lacking) or 'none'}"
    remedy = (
        "Keys of these modules' types stop the migration: delete them first, or leave them out with a key filter"
    )
    return failed(seen, remedy) if typed else alarm(seen, remedy)


def functions(scene: Scene) -> Verdict:
    """Libraries of functions go along where the target knows them."""
    count = scene.source.functions
    if not count:
        return passed("No functions" if count == 0 else "The server has no functions, or does not say")
    if scene.target.functions is None and not scene.target.trouble:
        return alarm(
            f"{count} libraries; {scene.target.label} has no functions or does not show them",
            "Use a target of 7.0 or later, or do without functions",
        )
    return passed(f"{count} libraries")


def _replica_limits(text: str) -> tuple[int, int, int] | None:
    words = text.split()
    for at, word in enumerate(words[:-3]):
        if word in ("replica", "slave"):
            hard, soft, seconds = words[at + 1 : at + 4]
            return int(hard), int(soft), int(seconds)
    return None


def _setting(scene: Scene, name: str) -> int | None:
    text = (scene.source.config or {}).get(name, "")
    return int(text) if text.isdigit() else None


_SEEN = ("source",)
JUDGES: dict[str, tuple[Callable[[Scene], Verdict], tuple[str, ...]]] = {
    "reachable": (lambda scene: either.reachable(scene.source), ()),
    "authenticated": (lambda scene: either.authenticated(scene.source, scene.plan.source), ()),
    "version": (version, _SEEN),
    "mode": (lambda scene: either.mode(scene.source, scene.plan.source), _SEEN),
    "loading": (lambda scene: either.loading(scene.source), _SEEN),
    "role": (role, _SEEN),
    "rights": (rights, _SEEN),
    "psync": (psync, _SEEN),
    "output_buffer": (output_buffer, _SEEN),
    "backlog": (backlog, _SEEN),
    "replication": (replication, _SEEN),
    "modules": (modules, _SEEN),
    "functions": (functions, _SEEN),
}
