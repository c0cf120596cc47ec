"""What a target must be: writable, large enough, and known to be empty or not."""

from collections.abc import Callable

from sterna.core.finding import Verdict, alarm, failed, passed, size
from sterna.core.plan import Selection
from sterna.engines.redis import checks_either as either
from sterna.engines.redis.verdict import Scene

OLDEST = (2, 8)
CLEARLY_SMALL = 0.8
"""A target with less than this share of the source's memory cannot hold the data, however it is encoded."""
TIGHT = 1.2


def version(scene: Scene) -> Verdict:
    """2.8 or later."""
    target = scene.target
    if not target.version:
        return alarm("The server does not say its version", "Make sure that it is 2.8 or later: INFO server")
    if target.version < OLDEST and target.product == "redis":
        return failed(target.label, "Upgrade the target to 2.8 or later")
    return passed(target.label)


def role(scene: Scene) -> Verdict:
    """Only a master takes writes."""
    said = scene.target.info
    if said.get("role") == "slave":
        master = f"{said.get('master_host')}:{said.get('master_port')}"
        return failed(
            f"replica of {master}", f"Name the master, {master}, or make this one a master: REPLICAOF NO ONE"
        )
    return passed(said.get("role", "unknown"))


def writable(scene: Scene) -> Verdict:
    """Settings under which a server refuses all writes for reasons of its own."""
    said, settings = scene.target.info, scene.target.config or {}
    if said.get("rdb_last_bgsave_status") == "err" and settings.get("stop-writes-on-bgsave-error") != "no":
        return failed(
            "The last background save failed",
            "Mend the disk, then BGSAVE; or CONFIG SET stop-writes-on-bgsave-error no",
        )
    wanted = settings.get("min-replicas-to-write") or settings.get("min-slaves-to-write") or "0"
    good = said.get("min_slaves_good_slaves")
    if wanted.isdigit() and int(wanted) > int(good or wanted):
        return failed(
            f"min-replicas-to-write {wanted}, good replicas {good}",
            "Attach replicas, or CONFIG SET min-replicas-to-write 0",
        )
    return passed("No setting forbids writes")


def memory(scene: Scene) -> Verdict:
    """Whether the data fits."""
    needed = scene.source.number("used_memory_dataset") or scene.source.number("used_memory")
    used = scene.target.number("used_memory") or 0
    limit = scene.target.number("maxmemory")
    if needed is None or limit is None:
        return passed("Memory could not be read: a server does not show it")
    if limit == 0:
        return _machine(scene, needed)
    seen = f"maxmemory {size(limit)}, of it used {size(used)}; data on the source {size(needed)}"
    remedy = f"CONFIG SET maxmemory {int((needed + used) * 1.3)}, or a larger target"
    if limit < needed * CLEARLY_SMALL and scene.plan.selection == Selection():
        return failed(seen, remedy)
    if limit - used < needed * TIGHT:
        return alarm(seen, remedy)
    return passed(seen)


def _machine(scene: Scene, needed: int) -> Verdict:
    total = scene.target.number("total_system_memory")
    seen = (
        f"maxmemory 0 (no limit), machine {size(total) if total else 'unknown'}; data on the source {size(needed)}"
    )
    if total and total < needed * TIGHT:
        return alarm(seen, "Use a machine with more memory: the target would be killed by its system")
    return passed(seen)


def eviction(scene: Scene) -> Verdict:
    """A target that evicts loses keys silently."""
    limit = scene.target.number("maxmemory")
    policy = scene.target.info.get("maxmemory_policy") or (scene.target.config or {}).get("maxmemory-policy")
    if policy is None:
        return passed("maxmemory-policy could not be read: the server does not show its settings")
    if limit and policy != "noeviction":
        return alarm(
            f"{policy}, maxmemory {size(limit)}", "CONFIG SET maxmemory-policy noeviction (until the cutover)"
        )
    return passed(f"{policy}, maxmemory {size(limit) if limit else '0 (no limit)'}")


def databases(scene: Scene) -> Verdict:
    """Every database in use must have a number on the target that exists, and one of its own."""
    plan = scene.mapping.sources_in(scene.source.keys)
    if scene.target.out_of_range is not None:
        highest = scene.target.out_of_range
        there = (scene.target.config or {}).get("databases", "fewer")
        return failed(
            f"Database {highest} is needed, the target has {there}",
            f"Set databases {highest + 1} in the target's configuration file and restart it, or map to lower ones",
        )
    merged = {target: sources for target, sources in plan.items() if len(sources) > 1}
    used = ", ".join(f"{'+'.join(map(str, sources))}→{target}" for target, sources in plan.items())
    if merged:
        return alarm(
            f"Databases are merged: {used}",
            "Equal keys overwrite one another, the highest database wins: map them apart if any are equal",
        )
    return passed(f"Source to target: {used}" if plan else "No database in use")


def empty(scene: Scene) -> Verdict:
    """Keys that are on the target before the start."""
    concerned = scene.mapping.sources_in(scene.source.keys or range(16))
    keys = {number: count for number, count in scene.target.keys.items() if number in concerned}
    if not keys:
        return passed("No keys where the data goes")
    where = ", ".join(f"db{number}: {count}" for number, count in keys.items())
    return alarm(
        f"Not empty: {sum(keys.values())} keys ({where}); policy {scene.plan.conflict}",
        "Empty it first (FLUSHALL on the target) unless its keys are to stay",
    )


_SEEN = ("target",)
_BOTH = ("source", "target")
JUDGES: dict[str, tuple[Callable[[Scene], Verdict], tuple[str, ...]]] = {
    "reachable": (lambda scene: either.reachable(scene.target), ()),
    "authenticated": (lambda scene: either.authenticated(scene.target, scene.plan.target), ()),
    "version": (version, _SEEN),
    "mode": (lambda scene: either.mode(scene.target, scene.plan.target), _SEEN),
    "loading": (lambda scene: either.loading(scene.target), _SEEN),
    "role": (role, _SEEN),
    "rights": (lambda scene: either.rights(scene.target, scene.plan.target.user), _SEEN),
    "writable": (writable, _SEEN),
    "memory": (memory, _BOTH),
    "eviction": (eviction, _SEEN),
    "databases": (databases, _BOTH),
    "empty": (empty, _SEEN),
}
