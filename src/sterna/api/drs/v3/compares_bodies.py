"""What clients send to DRS v3 to compare both sides of tasks."""

from typing import Annotated, Any, Literal

from pydantic import Field

from sterna.api.drs.fields import Body, TaskId, Text
from sterna.api.drs.v3.bodies import Moment

MOST_TABLES = 10_000


class Tables(Body):
    """Tables of a database; none: all of it."""

    db_name: Text
    table_name: Annotated[list[Text], Field(max_length=MOST_TABLES)] = Field(default_factory=list)


SomeTables = Annotated[list[Tables], Field(max_length=MOST_TABLES)]


class DataComparison(Body):
    """A comparison of rows."""

    conflict_policy: Literal["cancel", "keep"] = Field(
        default="keep", description="cancel: comparisons of the same kind that have not ended are given up."
    )
    compare_type: Literal["lines", "contents"]
    compare_mode: Text | None = None
    start_time: Moment = Field(default="", description="Epoch milliseconds; left out: now.")
    compare_object_infos: SomeTables = Field(default_factory=list)
    compare_object_infos_with_token: list[Any] = Field(default_factory=list)


class Comparisons(Body):
    """Compares objects, rows, or both."""

    job_id: TaskId
    object_level_compare_type: Literal["objects"] | None = None
    data_level_compare_info: DataComparison | None = None


class ResultQuery(Body):
    """Results of comparisons, a page of each list."""

    job_id: TaskId
    object_level_compare_id: Text | None = None
    line_compare_id: Text | None = None
    content_compare_id: Text | None = None
    current_page: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    per_page: Annotated[int, Field(ge=1, le=1000)] = 10

    def page(self, rows: list[Any]) -> list[Any]:
        """What of a list is on the page."""
        first = (self.current_page - 1) * self.per_page
        return rows[first : first + self.per_page]


class ObjectComparison(Body):
    """Compares objects."""

    compare_task_num: Annotated[int, Field(ge=1, le=1000)] = 1


class TableComparison(Body):
    """Compares rows of tables."""

    type: Literal["lines", "contents", "random"]
    start_time: Moment = Field(default="", description="Epoch milliseconds; left out: now.")
    compare_mode: Text | None = None
    compare_object: SomeTables = Field(default_factory=list)
    compare_object_with_token: list[Any] = Field(default_factory=list)
    options: dict[str, Any] = Field(default_factory=dict)
    compare_transformation_infos: list[Any] = Field(default_factory=list)


class ResultFile(Body):
    """A comparison whose result is wanted as a file."""

    compare_type: Literal["objects_comparison", "lines", "contents"]
    compare_job_id: Text | None = None
    time_zone: Text | None = None
