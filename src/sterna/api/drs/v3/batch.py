"""Doing something to each of many tasks: what goes wrong with one is told in its place, and the others go on."""

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from sterna.api.drs.codes import of_refusal
from sterna.api.drs.v3 import answers
from sterna.api.errors import Told
from sterna.api.front import Front, front_of
from sterna.api.language import chosen
from sterna.core.errors import IllegalMove, Refused

BUSY = Told("DRS.M01504")


@dataclass(frozen=True, slots=True)
class Wrong:
    """What went wrong with one task, as clients are told it."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Call:
    """One request: who answers it, for which project, in which language."""

    front: Front
    project_id: str
    language: str

    async def tried(self, work: Awaitable[object]) -> Wrong | None:
        """Do it. None: it went well. A task that is in no state for it is busy."""
        try:
            await work
        except Told as told:
            return self.wrong(told)
        except IllegalMove:
            return self.wrong(BUSY)
        except Refused as refused:
            return self.wrong(of_refusal(refused))
        return None

    def wrong(self, told: Told) -> Wrong:
        """A refusal as a value."""
        return Wrong(told.shown_code, told.text(self.language))

    async def outcome(self, id: str, work: Awaitable[object]) -> answers.Outcome:
        """The usual answer for one task."""
        wrong = await self.tried(work)
        if wrong is None:
            return answers.Outcome(id=id, status="success")
        return answers.Outcome(id=id, status="failed", error_code=wrong.code, error_msg=wrong.text)


def outcomes(results: list[answers.Outcome]) -> answers.Outcomes:
    """The usual answer."""
    return answers.Outcomes(results=results, count=len(results))


def _call(request: Request, project_id: str) -> Call:
    return Call(front_of(request), project_id, chosen(request.headers.get("x-language")))


CallDep = Annotated[Call, Depends(_call)]
