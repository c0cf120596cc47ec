"""What source and target must be to one another."""

from collections.abc import Callable

from sterna.core.finding import Verdict, alarm, failed, passed
from sterna.engines.redis.survey import Facts
from sterna.engines.redis.verdict import Scene

SKEW_MS = 1000
"""Expiries are points in time: clocks that differ by more let keys live visibly shorter or longer."""

_NEVER = (999,)
FEATURES: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...] = (
    ("streams", (5,), (7,)),
    ("functions", (7,), (7,)),
    ("expiries of single hash fields", (7, 4), (9,)),
    ("vector sets", (8,), _NEVER),
)
"""What came with which version of Redis, and of Valkey."""


def versions(scene: Scene) -> Verdict:
    """From older to newer all fits; from newer to older something may not."""
    source, target = scene.source, scene.target
    seen = f"{source.label} (RDB {_rdb(source)}) → {target.label} (RDB {_rdb(target)})"
    unfit = [
        name for name, redis, valkey in FEATURES if _has(source, redis, valkey) and not _has(target, redis, valkey)
    ]
    if unfit:
        return alarm(
            f"{seen}: the target has no {', no '.join(unfit)}",
            "Use a newer target, or make sure that the source uses none of these",
        )
    if source.product == target.product and source.version[:2] > target.version[:2]:
        return alarm(
            f"{seen}: newer to older",
            "Use a newer target, or make sure that clients use no commands newer than it",
        )
    return passed(seen)


def distinct(scene: Scene) -> Verdict:
    """A server cannot be moved into itself."""
    mine, its = scene.source.info.get("run_id"), scene.target.info.get("run_id")
    if mine and mine == its:
        return failed(f"Source and target are the same server (run_id {mine})", "Name another target")
    if not mine or not its:
        return alarm(
            "A server does not say its run_id", "Make sure that source and target are not the same server"
        )
    return passed("Two servers")


def loop(scene: Scene) -> Verdict:
    """Neither may replicate from the other, or both from a third: what is written would come back."""
    mine, its = scene.source.info.get("master_replid"), scene.target.info.get("master_replid")
    if mine and mine == its:
        return failed(
            f"Both belong to one replication (replid {mine})", "Detach one of them first: REPLICAOF NO ONE"
        )
    for name, follower, endpoint in (
        ("source", scene.source, scene.plan.target),
        ("target", scene.target, scene.plan.source),
    ):
        host, port = follower.info.get("master_host"), follower.info.get("master_port")
        if host and port and (host, int(port)) in endpoint.addresses:
            return failed(
                f"The {name} replicates from {host}:{port}", f"Detach it first, on the {name}: REPLICAOF NO ONE"
            )
    return passed("Neither replicates from the other")


def clock(scene: Scene) -> Verdict:
    """Whether both clocks agree."""
    if scene.source.clock_ms is None or scene.target.clock_ms is None:
        return passed("A server does not say its time")
    ahead = scene.target.clock_ms - scene.source.clock_ms
    seen = f"The target's clock is {abs(ahead):.0f} ms {'ahead of' if ahead >= 0 else 'behind'} the source's"
    if abs(ahead) > SKEW_MS:
        return alarm(seen, "Set both machines' clocks by NTP: keys would expire that much too early or too late")
    return passed(seen)


def _has(facts: Facts, redis: tuple[int, ...], valkey: tuple[int, ...]) -> bool:
    return facts.version >= (valkey if facts.product == "valkey" else redis)


def _rdb(facts: Facts) -> str:
    """The version of the RDB format that a server writes (``rdb.h`` of each release)."""
    if facts.product == "valkey":
        return "80" if facts.version >= (9,) else "11"
    for version, number in (
        ((7, 4), "12 or later"),
        ((7, 2), "11"),
        ((7,), "10"),
        ((5,), "9"),
        ((4,), "8"),
        ((3, 2), "7"),
    ):
        if facts.version >= version:
            return number
    return "6"


_BOTH = ("source", "target")
JUDGES: dict[str, tuple[Callable[[Scene], Verdict], tuple[str, ...]]] = {
    "versions": (versions, _BOTH),
    "distinct": (distinct, _BOTH),
    "loop": (loop, _BOTH),
    "clock": (clock, _BOTH),
}
