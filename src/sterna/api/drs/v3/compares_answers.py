"""What DRS v3 answers about comparisons: first the older operations, which speak in words, then the newer ones."""

from pydantic import BaseModel, Field


class Begun(BaseModel):
    compare_task_id: str | None = None
    error_code: str | None = None
    error_msg: str | None = None


class AllBegun(BaseModel):
    job_id: str
    object_level_compare_create_result: Begun | None = None
    data_level_compare_create_result: Begun | None = None


class ObjectOverview(BaseModel):
    object_type: str = Field(examples=["TABLE"])
    object_compare_result: str = Field(examples=["CONSISTENT"])
    target_count: int
    source_count: int
    diff_count: int


class ObjectDetail(BaseModel):
    source_db_name: str
    target_db_name: str
    source_db_value: str | None = None
    target_db_value: str | None = None
    error_message: str | None = None


class ObjectResult(BaseModel):
    compare_task_id: str
    object_compare_overview: list[ObjectOverview] | None = None
    object_compare_details: dict[str, list[ObjectDetail]] | None = None
    error_code: str | None = None
    error_msg: str | None = None


class LineOverview(BaseModel):
    source_db_name: str
    target_db_name: str
    line_compare_result: str


class LineDetail(BaseModel):
    source_table_name: str
    target_table_name: str
    source_row_num: int
    target_row_num: int
    diff_row_num: int
    line_compare_result: str
    message: str | None = None


class LineDetails(BaseModel):
    source_db_name: str
    line_compare_detail: list[LineDetail]
    line_compare_detail_count: int


class LineResult(BaseModel):
    compare_task_id: str
    line_compare_overview: list[LineOverview] | None = None
    line_compare_overview_count: int | None = None
    line_compare_details: list[LineDetails] | None = None
    error_code: str | None = None
    error_msg: str | None = None


class ContentOverview(BaseModel):
    source_db_name: str
    target_db_name: str
    content_compare_result: str


class ContentDetail(BaseModel):
    source_db_name: str
    target_db_name: str
    source_table_name: str
    target_table_name: str
    source_row_num: int
    target_row_num: int
    diff_row_num: int
    line_compare_result: str | None = None
    content_compare_result: str
    message: str | None = None


class ContentDetails(BaseModel):
    source_db_name: str
    content_compare_detail: list[ContentDetail]
    content_compare_detail_count: int
    content_uncompare_detail: list[ContentDetail]
    content_uncompare_detail_count: int


class ContentDifference(BaseModel):
    source_key_value: list[str]
    target_key_value: list[str]


class ContentDifferences(BaseModel):
    source_db_name: str
    source_table_name: str
    content_compare_diff: list[ContentDifference]
    content_compare_diff_count: int


class ContentResult(BaseModel):
    compare_task_id: str
    content_compare_overview: list[ContentOverview] | None = None
    content_compare_overview_count: int | None = None
    content_compare_details: list[ContentDetails] | None = None
    content_compare_diffs: list[ContentDifferences] | None = None
    error_code: str | None = None
    error_msg: str | None = None


class ListedComparison(BaseModel):
    compare_task_id: str
    compare_type: str = Field(examples=["object_comparison"])
    compare_task_status: str = Field(examples=["SUCCESSFUL"])
    create_time: str = Field(description="Epoch milliseconds.")
    end_time: str | None = None


class ComparisonList(BaseModel):
    compare_task_list: list[ListedComparison]
    compare_task_list_count: int


class Results(BaseModel):
    job_id: str
    object_level_compare_results: ObjectResult | None = None
    line_compare_results: LineResult | None = None
    content_compare_results: ContentResult | None = None
    compare_task_list_results: ComparisonList


# The newer operations.


class ComparisonId(BaseModel):
    id: str


class TableComparison(BaseModel):
    id: str
    type: str
    options: dict[str, str] = Field(default_factory=dict)
    start_time: str | None = None
    end_time: str | None = None
    status: str
    export_status: str = "INIT"
    report_remain_seconds: int = -1


class TableComparisons(BaseModel):
    compare_jobs: list[TableComparison]
    count: int


class ObjectCount(BaseModel):
    type: str
    source_count: int
    target_count: int
    status: int = Field(description="0: different, 2: the same.")


class ObjectComparison(BaseModel):
    create_time: str | None = None
    start_time: str | None = None
    status: str | None = None
    export_status: str | None = None
    report_remain_seconds: int | None = None
    compare_job_id: str | None = None
    error_msg: str | None = None
    compare_result: list[ObjectCount]


class ObjectPair(BaseModel):
    source_db_name: str
    target_db_name: str
    source_db_value: str
    target_db_value: str | None = None
    status: int
    error_message: str | None = None


class ObjectPairs(BaseModel):
    count: int
    compare_detail: list[ObjectPair]


class DatabaseOverview(BaseModel):
    source_db_name: str
    target_db_name: str
    status: int
    compare_num: int
    compare_end_num: int
    data_inconsistent_num: int
    uncomparable_num: int


class LineOverviews(BaseModel):
    total_count: int
    data_compare_overview_infos: list[DatabaseOverview]


class TableLines(BaseModel):
    source_table_name: str
    source_row_num: int
    target_table_name: str
    target_row_num: int
    difference_row_num: int
    status: int


class AllTableLines(BaseModel):
    total_count: int
    table_line_compare_result_infos: list[TableLines]


class DatabaseContents(BaseModel):
    source_db: str
    target_db: str
    status: int
    compare_num: int
    compare_end_num: int
    data_inconsistent_num: int
    uncomparable_num: int


class AllDatabaseContents(BaseModel):
    total_count: int
    content_compare_result_infos: list[DatabaseContents]


class TableContents(BaseModel):
    source_db: str
    target_db: str
    source_table_name: str
    target_table_name: str
    source_row_num: int
    target_row_num: int
    difference_row_num: int
    line_compare_result: bool
    content_compare_result: bool
    message: str | None = None
    status: int
    complete_shard_count: int = 1
    total_shard_count: int = 1
    progress: float = 100


class AllTableContents(BaseModel):
    total_count: int
    content_compare_result_infos: list[TableContents]


class RowDifference(BaseModel):
    source_key_value: list[str]
    target_key_value: list[str]


class RowDifferences(BaseModel):
    count: int
    target_meta_is_null: int = Field(description="Rows that the target lacks.")
    source_meta_is_null: int = Field(description="Rows that the source lacks.")
    source_target_meta_not_null: int = Field(description="Rows that both have, with other contents.")
    contents_infos: list[RowDifference]
