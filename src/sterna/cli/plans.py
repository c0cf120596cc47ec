"""From what was typed to a plan: two URLs and the options that say what of the source goes where."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import typer

from sterna.cli.urls import Location, read_url
from sterna.core.errors import Invalid
from sterna.core.plan import Conflict, Mode, Pace, Plan, Rename, Resume, RowFilter, Selection
from sterna.settings import PREFIX

SourceUrl = Annotated[
    str,
    typer.Argument(
        metavar="SRC_URL",
        help="The source: redis://user:password@host:6379, or redis://host:6379/3 for database 3 alone.",
    ),
]
TargetUrl = Annotated[
    str,
    typer.Argument(
        metavar="DST_URL",
        help="The target: rediss://user:password@host:6379. With /N at the end everything goes into database N.",
    ),
]
SourceDatabase = Annotated[
    int | None, typer.Option("--source-db", metavar="N", min=0, help="Take this database of the source alone.")
]
TargetDatabase = Annotated[
    int | None,
    typer.Option("--target-db", metavar="N", min=0, help="Write everything into this database of the target."),
]
IncludePrefix = Annotated[
    list[str] | None,
    typer.Option("--include-prefix", metavar="TEXT", help="Take only keys that begin so; may be repeated."),
]
ExcludePrefix = Annotated[
    list[str] | None,
    typer.Option(
        "--exclude-prefix",
        metavar="TEXT",
        help="Leave out keys that begin so; may be repeated. Stronger than --include-prefix.",
    ),
]


@dataclass(frozen=True)
class Chosen:
    """What of the source goes where, as typed."""

    source_database: int | None = None
    target_database: int | None = None
    include: Sequence[str] | None = None
    exclude: Sequence[str] | None = None


@dataclass(frozen=True)
class Manner:
    """How it goes there, as typed."""

    mode: Mode = Mode.FULL
    conflict: Conflict = Conflict.OVERWRITE
    resume: Resume = Resume.AUTO
    limit_mb: float = 0.0
    replay_flush: bool = False


def plan_of(source: str, target: str, chosen: Chosen, manner: Manner, environ: Mapping[str, str]) -> Plan:
    """The plan that two URLs and the options describe. Raises Invalid."""
    come_from = read_url(source, "source", environ.get(PREFIX + "SOURCE_PASSWORD", ""))
    go_to = read_url(target, "target", environ.get(PREFIX + "TARGET_PASSWORD", ""))
    limit = int(manner.limit_mb * (1 << 20))
    return Plan(
        source=come_from.endpoint,
        target=go_to.endpoint,
        mode=manner.mode,
        selection=_selection(come_from, go_to, chosen),
        pace=Pace(limit, limit),
        conflict=manner.conflict,
        resume=manner.resume,
        options={"replay_flush": "yes"} if manner.replay_flush else {},
    )


def _selection(source: Location, target: Location, chosen: Chosen) -> Selection:
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
