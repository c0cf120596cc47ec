"""What DRS v3 answers when tasks are configured."""

from pydantic import BaseModel, Field


class Tried(BaseModel):
    """How a connection test went."""

    id: str
    status: str = Field(examples=["success"])
    success: bool
    error_code: str | None = None
    error_msg: str | None = None


class AllTried(BaseModel):
    results: list[Tried]
    count: int


class ObjectsOutcome(BaseModel):
    job_id: str
    status: bool
    error_code: str | None = None
    error_msg: str | None = None


class ObjectsOutcomes(BaseModel):
    all_counts: int
    results: list[ObjectsOutcome]


class PasswordOutcome(BaseModel):
    id: str
    status: str
    end_point_type: str
    error_code: str | None = None
    error_msg: str | None = None


class PasswordOutcomes(BaseModel):
    results: list[PasswordOutcome]
    count: int
