"""Which documented code of DRS a refusal gets: by the field that is wrong, or by what went wrong inside."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sterna.api.errors import Told
from sterna.core.errors import IllegalMove, Invalid, NotFound, Refused

LONGEST_FIELD = 64
"""Letters that the name of a field may have in a refusal."""


def of_fields(problems: Sequence[Mapping[str, Any]]) -> Told:
    """The refusal of a request whose fields do not fit; only names of known fields go into it, never values.

    A problem may name its own code: a validator raises ``PydanticCustomError`` with one that begins with ``DRS.``.
    """
    return _of_problem(problems[0], "DRS.M00201", "DRS.M00202", "DRS.M00007")


def of_old_fields(problems: Sequence[Mapping[str, Any]]) -> Told:
    """The same in the codes of v1.0."""
    return _of_problem(problems[0], "DRS.0099", "DRS.0100", "DRS.0100.body")


def _of_problem(problem: Mapping[str, Any], missing: str, wrong: str, body: str) -> Told:
    field = ".".join(_known(problem["loc"][1:]))
    if str(problem["type"]).startswith("DRS."):
        return Told(problem["type"], *(str(it) for it in problem.get("ctx", {}).values()))
    if not field:
        return Told(body)
    empty = problem["type"] == "too_short" and not problem.get("input")
    return Told(missing if empty or problem["type"] in ("missing", "none_required") else wrong, field)


def _known(place: Sequence[Any]) -> Iterator[str]:
    """The names of fields in a place, up to one that is no name: a key that the client made up."""
    for step in place:
        if isinstance(step, str):
            if not step.isidentifier() or len(step) > LONGEST_FIELD:
                return
            yield step


def of_refusal(refused: Refused) -> Told:
    """The refusal of something that the job or the store did not allow."""
    match refused:
        case NotFound():
            return Told("DRS.10000010")
        case Invalid():
            return Told("DRS.M00202", refused.field)
        case IllegalMove() | _:
            return Told("DRS.M00304")


def of_old_refusal(refused: Refused) -> Told:
    """The same in the codes of v1.0."""
    match refused:
        case NotFound():
            return Told("DRS.0016")
        case Invalid():
            return Told("DRS.0100", refused.field)
        case IllegalMove() | _:
            return Told("DRS.0100.unfinished")
