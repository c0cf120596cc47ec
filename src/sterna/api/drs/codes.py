"""Which documented code of DRS a refusal gets: by the field that is wrong, or by what went wrong inside."""

from collections.abc import Mapping, Sequence
from typing import Any

from sterna.api.errors import Told
from sterna.core.errors import IllegalMove, Invalid, NotFound, Refused


def of_fields(problems: Sequence[Mapping[str, Any]]) -> Told:
    """The refusal of a request whose fields do not fit; only names of known fields go into it, never values.

    A problem may name its own code: a validator raises ``PydanticCustomError`` with one that begins with ``DRS.``.
    """
    problem = problems[0]
    field = ".".join(str(step) for step in problem["loc"][1:] if not isinstance(step, int))
    if str(problem["type"]).startswith("DRS."):
        return Told(problem["type"], *(str(it) for it in problem.get("ctx", {}).values()))
    if not field:
        return Told("DRS.M00007")
    empty = problem["type"] == "too_short" and not problem.get("input")
    missing = empty or problem["type"] in ("missing", "none_required")
    return Told("DRS.M00201" if missing else "DRS.M00202", field)


def of_refusal(refused: Refused) -> Told:
    """The refusal of something that the job or the store did not allow."""
    match refused:
        case NotFound():
            return Told("DRS.10000010")
        case Invalid():
            return Told("DRS.M00202", refused.field)
        case IllegalMove() | _:
            return Told("DRS.M00304")
