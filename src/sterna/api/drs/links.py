"""Which databases can be moved to which, in the words of DRS and in our own."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sterna.api.errors import Told
from sterna.core.plan import Mode


@dataclass(frozen=True, slots=True)
class Link:
    """One kind of task."""

    engine_type: str
    engine: str
    """The name of the engine that does it."""
    source_types: tuple[str, ...]
    """What ``db_type`` of the source may be; the first is what it is unless said otherwise."""
    target_types: tuple[str, ...]
    port: int
    """Where its servers listen unless said otherwise."""


_POSTGRES = ("postgresql", "postgres")
_REDIS = ("redis", "rediscluster", "gaussredis", "valkey")

LINKS: Mapping[str, Link] = {
    it.engine_type: it
    for it in (
        Link("postgresql", "postgresql", _POSTGRES, _POSTGRES, 5432),
        Link("redis", "redis", _REDIS, _REDIS, 6379),
        Link("redis-to-gaussredis", "redis", _REDIS, ("gaussredis", *_REDIS), 6379),
        Link("rediscluster-to-gaussredis", "redis", ("rediscluster", *_REDIS), ("gaussredis", *_REDIS), 6379),
    )
}

USES = ("migration", "sync")
"""What a task may be for. Disaster recovery, which swaps its sides, does not exist here."""

MODES = {"FULL_TRANS": Mode.FULL, "FULL_INCR_TRANS": Mode.INCREMENTAL}


def link_of(engine_type: str, db_use_type: str, engines: Collection[str]) -> Link:
    """The link that a task asks for. Raises Told, naming those that there are."""
    link = LINKS.get(engine_type)
    if link is None or link.engine not in engines or db_use_type not in USES:
        offered = ", ".join(it.engine_type for it in LINKS.values() if it.engine in engines)
        raise Told("DRS.M00302.offered", offered, ", ".join(USES))
    return link


def mode_of(task_type: str) -> Mode:
    """Raises Told for what is no mode here: incremental alone would need a position to begin at."""
    if task_type not in MODES:
        raise Told("DRS.M00305.mode", task_type, ", ".join(MODES))
    return MODES[task_type]


def task_type_of(mode: Mode) -> str:
    """The word for a mode."""
    return next(word for word, it in MODES.items() if it is mode)
