"""What clients send to DRS v3 to check, start, pause and end tasks."""

from typing import Annotated, Literal

from pydantic import Field

from sterna.api.drs.fields import MOST_ITEMS, Body, Ids, TaskId
from sterna.api.drs.v3.bodies import Moment
from sterna.api.drs.v3.settings_bodies import Once

_Items = Field(min_length=1, max_length=MOST_ITEMS)


class ToCheck(Body):
    job_id: TaskId
    precheck_mode: Literal["forStartJob", "forRetryJob"] = "forStartJob"


class Checks(Body):
    """Tasks to be checked."""

    jobs: Annotated[list[ToCheck], _Items, Once]


class ToStart(Body):
    job_id: TaskId
    start_time: Moment = Field(default="", description="Epoch milliseconds; left out or 0: now.")


class Starts(Body):
    """Tasks to be started."""

    jobs: Annotated[list[ToStart], _Items, Once]


class ToPause(Body):
    job_id: TaskId
    pause_mode: Literal["target", "all"] = Field(
        default="target", description="Both are the same here: nothing is read that is not written."
    )


class Pauses(Body):
    """Tasks to be paused."""

    jobs: Annotated[list[ToPause], _Items, Once]


class ToRetry(Body):
    job_id: TaskId
    is_sync_re_edit: bool = False


class Retries(Body):
    """Tasks to go on."""

    jobs: Annotated[list[ToRetry], _Items, Once]


class ToEnd(Body):
    job_id: TaskId
    delete_type: Literal["terminate", "force_terminate", "delete"]


class Ends(Body):
    """Tasks to be ended or deleted."""

    jobs: Annotated[list[ToEnd], _Items, Once]


class Switches(Body):
    """Tasks of disaster recovery, whose sides are to be swapped."""

    jobs: Ids
    is_pause_job: bool = False
