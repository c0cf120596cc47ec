"""From what was typed to a plan: two URLs and the options that say what of the source goes where.

Options that only one kind of server has are refused for the others: nothing that was typed is ignored.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated

import typer

from sterna.cli.objects import Wanted, selection_of
from sterna.cli.urls import POSTGRESQL, Location, read_url
from sterna.core.errors import Invalid
from sterna.core.plan import Conflict, Mode, Pace, Plan, Rename, Resume, RowFilter, Selection
from sterna.jobs.sanity import check_plan
from sterna.settings import PREFIX


class Ddl(StrEnum):
    """What happens when the shape of a table changes on the source while a migration follows."""

    STOP = "stop"
    APPLY = "apply"


SourceUrl = Annotated[
    str,
    typer.Argument(
        metavar="SRC_URL",
        help=(
            "The source: redis://user:password@host:6379 or postgresql://user@host:5432. With a database at the "
            "end, /3 or /shop, that one alone."
        ),
    ),
]
TargetUrl = Annotated[
    str,
    typer.Argument(
        metavar="DST_URL",
        help=(
            "The target: rediss://user:password@host:6379, postgresql://host/shop?sslmode=verify-full. With a "
            "database at the end everything goes into it."
        ),
    ),
]
SourceDatabase = Annotated[
    int | None,
    typer.Option("--source-db", metavar="N", min=0, help="Redis: take this database of the source alone."),
]
TargetDatabase = Annotated[
    int | None,
    typer.Option("--target-db", metavar="N", min=0, help="Redis: write everything into this database."),
]
IncludePrefix = Annotated[
    list[str] | None,
    typer.Option("--include-prefix", metavar="TEXT", help="Redis: take only keys that begin so; may be repeated."),
]
ExcludePrefix = Annotated[
    list[str] | None,
    typer.Option(
        "--exclude-prefix",
        metavar="TEXT",
        help="Redis: leave out keys that begin so; may be repeated. Stronger than --include-prefix.",
    ),
]


@dataclass(frozen=True)
class Chosen:
    """What of the source goes where, as typed."""

    source_database: int | None = None
    target_database: int | None = None
    include: Sequence[str] | None = None
    exclude: Sequence[str] | None = None
    objects: Wanted = field(default_factory=Wanted)


@dataclass(frozen=True)
class Manner:
    """How it goes there, as typed."""

    mode: Mode = Mode.FULL
    conflict: Conflict = Conflict.OVERWRITE
    resume: Resume = Resume.AUTO
    limit_mb: float = 0.0
    replay_flush: bool = False
    ddl: Ddl | None = None
    slot_limit_mb: int | None = None
    sequence_margin: int | None = None


def plan_of(source: str, target: str, chosen: Chosen, manner: Manner, environ: Mapping[str, str]) -> Plan:
    """The plan that two URLs and the options describe. Raises Invalid."""
    come_from = read_url(source, "source", environ.get(PREFIX + "SOURCE_PASSWORD", ""))
    go_to = read_url(target, "target", environ.get(PREFIX + "TARGET_PASSWORD", ""))
    _fitting(come_from, chosen, manner)
    limit = int(manner.limit_mb * (1 << 20))
    plan = Plan(
        source=come_from.endpoint,
        target=go_to.endpoint,
        mode=manner.mode,
        selection=_selection(come_from, go_to, chosen),
        pace=Pace(limit, limit),
        conflict=manner.conflict,
        resume=manner.resume,
        options=_options(manner),
    )
    check_plan(plan)
    return plan


def _fitting(source: Location, chosen: Chosen, manner: Manner) -> None:
    """Raises Invalid for an option that the source's kind of server does not have."""
    redis = {
        "source-db": chosen.source_database is not None,
        "target-db": chosen.target_database is not None,
        "include-prefix": bool(chosen.include),
        "exclude-prefix": bool(chosen.exclude),
        "replay-flush": manner.replay_flush,
    }
    postgresql = chosen.objects.given | {
        "ddl": manner.ddl is not None,
        "slot-limit-mb": manner.slot_limit_mb is not None,
        "sequence-margin": manner.sequence_margin is not None,
    }
    named = source.endpoint.engine == POSTGRESQL
    for option, given in (redis if named else postgresql).items():
        if given:
            whose = "Redis and Valkey" if named else "PostgreSQL"
            raise Invalid(option, f"--{option} is for {whose}; the source is {source.endpoint.engine}")


def _options(manner: Manner) -> dict[str, str]:
    """Settings that one engine knows, by the names under which it reads them."""
    given = {
        "replay_flush": "yes" if manner.replay_flush else None,
        "ddl": manner.ddl,
        "slot_limit_mb": manner.slot_limit_mb,
        "sequence_margin": manner.sequence_margin,
    }
    return {name: str(value) for name, value in given.items() if value is not None}


def _selection(source: Location, target: Location, chosen: Chosen) -> Selection:
    if source.endpoint.engine == POSTGRESQL:
        return selection_of(chosen.objects, source.name, target.name)
    taken = _one(source.database, chosen.source_database, "source")
    put = _one(target.database, chosen.target_database, "target")
    old = "*" if taken is None else str(taken)
    return Selection(
        only=() if taken is None else (str(taken),),
        renames=() if put is None else (Rename(old, str(put)),),
        rows=RowFilter(tuple(chosen.include or ()), tuple(chosen.exclude or ())),
    )


def _one(in_url: int | None, in_option: int | None, side: str) -> int | None:
    if in_url is not None and in_option is not None and in_url != in_option:
        raise Invalid(side, f"The URL of the {side} names database {in_url}, --{side}-db names {in_option}")
    return in_option if in_url is None else in_url
