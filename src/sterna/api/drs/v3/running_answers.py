"""What DRS v3 answers when tasks are checked and started."""

from pydantic import BaseModel, Field


class CheckBegun(BaseModel):
    id: str
    status: str
    precheck_id: str | None = None
    error_code: str | None = None
    error_msg: str | None = None


class ChecksBegun(BaseModel):
    results: list[CheckBegun]
    count: int


class CheckItem(BaseModel):
    """One thing that was looked at."""

    item: str = Field(examples=["srcWalLevel"])
    result: str = Field(examples=["PASSED"])
    data: str
    group: str
    failed_reason: str | None = None


class CheckReport(BaseModel):
    """What the checks of a task have found so far."""

    precheck_id: str
    result: bool | None = None
    process: str | None = Field(default=None, examples=["100%"])
    total_passed_rate: str | None = Field(
        default=None, description="100% exactly when nothing stands against a start.", examples=["100%"]
    )
    rds_instance_id: str | None = None
    job_direction: str | None = None
    precheck_result: list[CheckItem] | None = None
    error_code: str | None = None
    error_msg: str | None = None


class CheckReports(BaseModel):
    count: int
    results: list[CheckReport]


class Switched(BaseModel):
    job_id: str
    error_code: str
    error_msg: str


class AllSwitched(BaseModel):
    results: list[Switched]
    count: int
