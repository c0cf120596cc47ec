"""The documented operations of DRS, all versions, and which of them are offered here.

The list is that of the vendor's SDK (huaweicloudsdkdrs 3.1.219: v3, v5, v5.1), of the API reference of Open
Telekom Cloud (two more of v3), of the published OpenAPI description (one more of v5),
and of the reference of v1.0.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

JSON = "application/json"
MULTIPART = "multipart/form-data"


class Version(StrEnum):
    V1 = "v1.0"  #: backup migration of 2018; its create is called v2.0 in the path
    V3 = "v3"  #: many tasks in a call
    V5 = "v5"  #: one task in a call
    V51 = "v5.1"


@dataclass(frozen=True, slots=True)
class Operation:
    """One documented operation."""

    name: str
    version: Version
    method: str
    path: str
    """As documented, from the root of the host."""
    takes: str = JSON
    """The content type of its body."""

    @property
    def served(self) -> str:
        """The path that routes have: without ``/drs``, which any path may begin with."""
        return self.path.removeprefix("/drs")


_V3 = (
    ("BatchChangeData", "POST", "/jobs/batch-transformation"),
    ("BatchCheckJobs", "POST", "/jobs/batch-precheck"),
    ("BatchCheckResults", "POST", "/jobs/batch-precheck-result"),
    ("BatchCreateJobs", "POST", "/jobs/batch-creation"),
    ("BatchDeleteJobs", "DELETE", "/jobs/batch-jobs"),
    ("BatchListJobDetails", "POST", "/jobs/batch-detail"),
    ("BatchListJobStatus", "POST", "/jobs/batch-status"),
    ("BatchListProgresses", "POST", "/jobs/batch-progress"),
    ("BatchListRposAndRtos", "POST", "/jobs/batch-rpo-and-rto"),
    ("BatchListStructDetail", "POST", "/jobs/{type}/batch-struct-detail"),
    ("BatchListStructProcess", "POST", "/jobs/batch-struct-process"),
    ("BatchResetPassword", "PUT", "/jobs/batch-modify-pwd"),
    ("BatchRestoreTask", "POST", "/jobs/batch-retry-task"),
    ("BatchSetDefiner", "POST", "/jobs/batch-replace-definer"),
    ("BatchSetObjects", "PUT", "/jobs/batch-select-objects"),
    ("BatchSetPolicy", "POST", "/jobs/batch-sync-policy"),
    ("BatchSetSmn", "POST", "/jobs/batch-set-smn"),
    ("BatchSetSpeed", "PUT", "/jobs/batch-limit-speed"),
    ("BatchShowParams", "POST", "/jobs/batch-get-params"),
    ("BatchStartJobs", "POST", "/jobs/batch-starting"),
    ("BatchStopJobs", "POST", "/jobs/batch-pause-task"),
    ("BatchSwitchover", "POST", "/jobs/batch-switchover"),
    ("BatchUpdateJob", "PUT", "/jobs/batch-modification"),
    ("BatchUpdateUser", "PUT", "/jobs/batch-update-user"),
    ("BatchValidateClustersConnections", "POST", "/jobs/cluster/batch-connection"),
    ("BatchValidateConnections", "POST", "/jobs/batch-connection"),
    ("CreateCompareResultFile", "POST", "/jobs/{job_id}/compare/result/file"),
    ("CreateCompareTask", "POST", "/jobs/create-compare-task"),
    ("CreateDataLevelTableCompareJob", "POST", "/jobs/{job_id}/table/compare"),
    ("CreateObjectLevelCompareJob", "POST", "/jobs/{job_id}/object/compare"),
    ("DeleteCompareJob", "DELETE", "/jobs/{job_id}/compare/{compare_job_id}"),
    ("DownloadCompareResultFile", "GET", "/jobs/{job_id}/compare/result/file"),
    ("ListAvailableNodeTypes", "GET", "/node-type"),
    ("ListAvailableZone", "POST", "/available-zone"),
    ("ListCompareResult", "POST", "/jobs/query-compare-result"),
    ("ListContentCompareDetail", "GET", "/jobs/{job_id}/compare/{compare_job_id}/content-detail"),
    ("ListContentCompareDifference", "GET", "/jobs/{job_id}/compare/{compare_job_id}/content-difference"),
    ("ListContentCompareOverview", "GET", "/jobs/{job_id}/compare/{compare_job_id}/content-overview"),
    ("ListDataCompareDetail", "GET", "/jobs/{job_id}/compare/{compare_job_id}/line-detail"),
    ("ListDataCompareOverview", "GET", "/jobs/{job_id}/compare/{compare_job_id}/line-overview"),
    ("ListDataLevelTableCompareJobs", "GET", "/jobs/{job_id}/table/compare"),
    ("ListObejectLevelCompareDetail", "GET", "/jobs/{job_id}/object/compare/{compare_type}"),
    ("ListObejectLevelCompareOverview", "GET", "/jobs/{job_id}/object/compare"),
    ("ListUsers", "GET", "/jobs/{job_id}/get-src-user"),
    ("ModifyGroupAndStream", "PUT", "/jobs/{job_id}/lts-log-switch"),
    ("QueryTuningParams", "GET", "/job/{job_id}/tuning-params/query-params"),
    ("SelectGroupAndStream", "GET", "/jobs/{job_id}/lts-log-switch"),
    ("ShowJobList", "POST", "/jobs"),
    ("ShowMonitoringData", "POST", "/jobs/disaster-recovery-monitoring-data"),
    ("ShowQuotas", "GET", "/quotas"),
    ("StartPromptlyDataLevelTableCompareJob", "POST", "/jobs/{job_id}/table/compare/{compare_job_id}"),
    ("UpdateParams", "POST", "/jobs/{job_id}/params"),
    ("UpdateTuningParams", "PUT", "/job/{job_id}/tuning-params/modify-params"),
    ("SwitchVip", "POST", "/jobs/{job_id}/switch-vip"),
    ("GetSwitchVipStatus", "GET", "/jobs/{job_id}/get-switch-vip-status"),
)

_V5 = (
    ("AssociateSmnTopic", "POST", "/jobs/{job_id}/associate-smn-topic"),
    ("BatchCreateJobsAsync", "POST", "/jobs/batch-async-create"),
    ("BatchCreateTags", "POST", "/{resource_type}/{resource_id}/tags/create"),
    ("BatchDeleteJobsById", "DELETE", "/jobs"),
    ("BatchDeleteTags", "POST", "/{resource_type}/{resource_id}/tags/delete"),
    ("BatchExecuteJobActions", "POST", "/jobs/action"),
    ("BatchStopJobsAction", "POST", "/jobs/batch-stop"),
    ("BatchTagAction", "POST", "/jobs/{resource_type}/{job_id}/tags/action"),
    ("ChangeJobFlavor", "POST", "/jobs/{job_id}/change-flavor"),
    ("ChangeToPeriod", "POST", "/job/{job_id}/change-to-period"),
    ("CheckDataFilter", "POST", "/job/{job_id}/data-filtering/check"),
    ("CheckDataFilterRules", "POST", "/jobs/{job_id}/check-filter-rules"),
    ("CleanAlarms", "POST", "/jobs/{job_id}/alarms/{alarm_id}/clean"),
    ("CollectColumns", "POST", "/job/{job_id}/columns/collect"),
    ("CollectDataFilterRules", "POST", "/jobs/{job_id}/filter-rules"),
    ("CollectDbObjectsAsync", "POST", "/jobs/{job_id}/db-objects/collect"),
    ("CollectPositionAsync", "POST", "/jobs/{job_id}/collect-db-position"),
    ("CommitAsyncJob", "POST", "/batch-async-jobs/{async_job_id}/commit"),
    ("CopyJob", "POST", "/jobs/clone"),
    ("CountInstanceByTags", "POST", "/{resource_type}/resource-instances/count"),
    ("CreateConnection", "POST", "/connections"),
    ("CreateJob", "POST", "/jobs"),
    ("CreateReplicationJob", "POST", "/backup-migration-jobs"),
    ("CreateSubscription", "POST", "/subscription"),
    ("DeleteColumnInfos", "DELETE", "/job/{job_id}/column-info"),
    ("DeleteConnection", "DELETE", "/connections/{connection_id}"),
    ("DeleteDataFilterRules", "DELETE", "/jobs/{job_id}/filter-rules"),
    ("DeleteJdbcDriver", "DELETE", "/jdbc-drivers"),
    ("DeleteJob", "DELETE", "/jobs/{job_id}"),
    ("DeleteReplicationJob", "DELETE", "/backup-migration-jobs/{job_id}"),
    ("DeleteSubscription", "DELETE", "/subscriptions/{job_id}"),
    ("DeleteUserJdbcDriver", "DELETE", "/drivers"),
    ("DownloadBatchCreateTemplate", "GET", "/jobs/template"),
    ("DownloadCreateTemplate", "POST", "/templates/download"),
    ("DownloadDbObjectTemplate", "GET", "/jobs/{job_id}/db-object/template"),
    ("DownloadFile", "POST", "/download"),
    ("ExecuteJobAction", "POST", "/jobs/{job_id}/action"),
    ("ExportCreationTemplate", "POST", "/jobs/export/template"),
    ("ExportJobList", "POST", "/export-jobs"),
    ("ExportOperationInfo", "POST", "/jobs/{job_id}/operation-statistics/export"),
    ("ExportReplayReport", "POST", "/jobs/{job_id}/export-replay-sql"),
    ("ImportBatchCreateJobs", "POST", "/jobs/template", MULTIPART),
    ("ListAsyncJobDetail", "GET", "/batch-async-jobs/{async_job_id}"),
    ("ListAsyncJobs", "GET", "/batch-async-jobs"),
    ("ListConnections", "GET", "/connections"),
    ("ListDbObjects", "GET", "/jobs/{job_id}/db-objects"),
    ("ListExtraColumns", "GET", "/jobs/{job_id}/extra-column-info"),
    ("ListInstanceByTags", "POST", "/{resource_type}/resource-instances/filter"),
    ("ListInstanceTags", "GET", "/{resource_type}/{resource_id}/tags"),
    ("ListJdbcDrivers", "GET", "/jdbc-drivers"),
    ("ListJobDdls", "GET", "/jobs/{job_id}/ddl"),
    ("ListJobHistoryParameters", "GET", "/jobs/{job_id}/configuration-histories"),
    ("ListJobParameters", "GET", "/jobs/{job_id}/configurations"),
    ("ListJobs", "GET", "/jobs"),
    ("ListLinks", "GET", "/links"),
    ("ListProjectTags", "GET", "/jobs/{resource_type}/tags"),
    ("ListReplaySupportSourceConfig", "GET", "/support-replay-config"),
    ("ListReplicationJobs", "GET", "/backup-migration-jobs"),
    ("ListSupportLinks", "GET", "/support-links"),
    ("ListTags", "GET", "/{resource_type}/tags"),
    ("ListTemplates", "GET", "/templates"),
    ("ListUserJdbcDrivers", "GET", "/drivers"),
    ("ListsAgencyPermissions", "GET", "/agency/permissions"),
    ("ModifyColumnInfos", "POST", "/job/{job_id}/column-info-modification"),
    ("ModifyConnection", "PUT", "/connections/{connection_id}"),
    ("PauseCompareJobs", "POST", "/jobs/{job_id}/compare/pause"),
    ("ResetSubscription", "POST", "/subscription/{job_id}/reset"),
    ("RestartCompareJobs", "POST", "/jobs/{job_id}/compare/restart"),
    ("RetrySubscription", "POST", "/subscription/{job_id}/retry"),
    ("SaveDataFilterRules", "PUT", "/jobs/{job_id}/filter-rules"),
    ("ShowActions", "GET", "/jobs/{job_id}/actions"),
    ("ShowAgencyInfo", "GET", "/agency/{agency_name}"),
    ("ShowChildNum", "GET", "/jobs/child-count"),
    ("ShowColumnInfoResult", "GET", "/job/{job_id}/columns"),
    ("ShowColumnInfos", "POST", "/job/{job_id}/column-info"),
    ("ShowComparePolicy", "GET", "/jobs/{job_id}/compare-policy"),
    ("ShowCompareProgress", "GET", "/jobs/{job_id}/compare-progress/{compare_job_id}"),
    ("ShowCompareUsersDetail", "GET", "/jobs/{job_id}/compare/users/{compare_job_id}"),
    ("ShowDataFilterRulesResult", "GET", "/jobs/{job_id}/filter-rules/result"),
    ("ShowDataFilteringResult", "GET", "/job/{job_id}/data-filtering/result"),
    ("ShowDataProcessingRulesResult", "GET", "/jobs/{job_id}/data-processing-rules/result"),
    ("ShowDataProgress", "GET", "/jobs/{job_id}/data-processing-rules"),
    ("ShowDbObjectCollectionStatus", "GET", "/jobs/{job_id}/db-objects/collection-status"),
    ("ShowDbObjectTemplateProgress", "GET", "/jobs/{job_id}/db-object/template/progress"),
    ("ShowDbObjectTemplateResult", "GET", "/jobs/{job_id}/db-object/template/result"),
    ("ShowDirtyData", "GET", "/jobs/{job_id}/dirty-data"),
    ("ShowEnterpriseProject", "GET", "/enterprise-projects"),
    ("ShowExportProgress", "GET", "/jobs/{async_job_id}/export/progress"),
    ("ShowFiles", "GET", "/files"),
    ("ShowHealthCompareJobDetail", "GET", "/jobs/{job_id}/health-compare-jobs/{compare_job_id}"),
    ("ShowHealthCompareJobList", "GET", "/jobs/{job_id}/health-compare-jobs"),
    ("ShowHealthObjectCompareJobOverview", "GET", "/jobs/{job_id}/health-compare-jobs/object/{compare_job_id}"),
    ("ShowIncrementComponentsDetail", "GET", "/jobs/{job_id}/increment-components-detail"),
    ("ShowInstanceTags", "GET", "/jobs/{resource_type}/{job_id}/tags"),
    ("ShowJobDetail", "GET", "/jobs/{job_id}"),
    ("ShowLinkFlavors", "GET", "/link-flavors"),
    ("ShowMetering", "GET", "/jobs/{job_id}/metering"),
    ("ShowMonitorData", "GET", "/jobs/{job_id}/monitor-data"),
    ("ShowObjectColumnInfo", "GET", "/job/{job_id}/object-column-info"),
    ("ShowObjectMapping", "POST", "/jobs/{job_id}/object-mappings"),
    ("ShowPositionResult", "GET", "/jobs/{job_id}/db-position"),
    ("ShowProgressData", "GET", "/jobs/{job_id}/progress-data/{type}"),
    ("ShowReplayExecuteRecord", "GET", "/jobs/{job_id}/replay-execute-record"),
    ("ShowReplayProgress", "GET", "/jobs/{job_id}/replay-progress"),
    ("ShowReplayRecord", "GET", "/jobs/{job_id}/replay-record"),
    ("ShowReplayReportExportStatus", "GET", "/jobs/{job_id}/sql-export-status"),
    ("ShowReplayResults", "GET", "/jobs/{job_id}/replay-results"),
    ("ShowReplicationJob", "GET", "/backup-migration-jobs/{job_id}"),
    ("ShowReportFileObsUris", "GET", "/jobs/{job_id}/export/obs-uris"),
    ("ShowSmnSubscriptionDetail", "GET", "/jobs/{job_id}/smn-subscription-detail"),
    ("ShowSmnTopicInfo", "GET", "/smn/topic-info"),
    ("ShowSubscriptionDetail", "GET", "/subscriptions/{job_id}"),
    ("ShowSubscriptionLists", "POST", "/subscriptions"),
    ("ShowSupportObjectType", "GET", "/jobs/{job_id}/object/support"),
    ("ShowSwitchoverInfo", "GET", "/jobs/{job_id}/switchover-info"),
    ("ShowTaskExecuteProgress", "GET", "/jobs/{async_job_id}/progress"),
    ("ShowTimeline", "GET", "/jobs/{job_id}/timelines"),
    ("ShowUpdateObjectSavingStatus", "GET", "/jobs/{job_id}/db-objects/saving-status"),
    ("StartSubscription", "POST", "/subscription/{job_id}/start"),
    ("StopJobAction", "POST", "/jobs/{job_id}/stop"),
    ("SyncJdbcDriver", "PUT", "/jobs/{job_id}/update-jdbc-driver"),
    ("SyncUserJdbcDriver", "PUT", "/jobs/{job_id}/update-driver"),
    ("UpdateAgencyPolicy", "PUT", "/agency/{agency_name}/policy"),
    ("UpdateBatchAsyncJobs", "PUT", "/batch-async-jobs/{async_job_id}"),
    ("UpdateComparePolicy", "PUT", "/jobs/{job_id}/compare-policy"),
    ("UpdateDataProgress", "PUT", "/jobs/{job_id}/data-processing-rules"),
    ("UpdateJob", "PUT", "/jobs/{job_id}"),
    ("UpdateJobConfigurations", "PUT", "/jobs/{job_id}/modify-configuration"),
    ("UpdateReplicationJob", "PUT", "/backup-migration-jobs/{job_id}"),
    ("UpdateStartPosition", "PUT", "/jobs/{job_id}/start-position"),
    ("UpdateSubscriptionInfo", "PUT", "/subscriptions/{job_id}/info"),
    ("UploadDbObjectTemplate", "POST", "/jobs/{job_id}/db-object/template", MULTIPART),
    ("UploadJdbcDriver", "POST", "/jdbc-driver", MULTIPART),
    ("UploadUserJdbcDriver", "POST", "/driver", MULTIPART),
    ("ValidateJobName", "POST", "/jobs/name-validation"),
    ("ListFeatures", "GET", "/features"),
)

_V51 = (
    ("CollectDbObjectsInfo", "POST", "/jobs/{job_id}/db-objects/collect"),
    ("ShowDbObjectsList", "GET", "/jobs/{job_id}/db-object"),
)

_V1 = (
    ("CreateReplicationTaskV1", "POST", "/drs/v2.0/{project_id}/replication_task"),
    ("ShowReplicationTaskV1", "GET", "/drs/v1.0/{project_id}/replication_task/{task_id}"),
    ("ListReplicationTasksV1", "GET", "/drs/v1.0/{project_id}/replication_tasks"),
    ("DeleteReplicationTaskV1", "DELETE", "/drs/v1.0/{project_id}/replication_task/{task_id}"),
)


def _documented() -> Iterator[Operation]:
    for version, rows in ((Version.V3, _V3), (Version.V5, _V5), (Version.V51, _V51)):
        for row in rows:
            name, method, path, *takes = row
            yield Operation(name, version, method, f"/{version}/{{project_id}}{path}", *takes)
    for name, method, path in _V1:
        yield Operation(name, Version.V1, method, path)


OPERATIONS = tuple(_documented())


def coverage(openapi: Mapping[str, Any]) -> str:
    """A page that says of each operation whether it is offered, as the description of the routes has it."""
    return "\n".join([*_HEAD, *(_section(openapi, it) for it in Version)])


def _section(openapi: Mapping[str, Any], version: Version) -> str:
    mine = [it for it in OPERATIONS if it.version is version]
    states = [state(openapi, it) for it in mine]
    rows = [f"| `{it.method}` | `{it.path}` | {it.name} | {word} |" for it, word in zip(mine, states, strict=True)]
    offered = sum(not word.startswith("refused") for word in states)
    return "\n".join([f"## DRS {version}: {offered} of {len(mine)} offered", "", *_TABLE, *rows, ""])


def state(openapi: Mapping[str, Any], operation: Operation) -> str:
    """``supported``, what of it is, or ``refused`` and the code."""
    route = openapi["paths"][operation.served][operation.method.lower()]
    refused = route.get(REFUSED)
    return f"refused: {refused}" if refused else route.get(PARTLY, "supported")


REFUSED = "x-sterna-refused"
"""Marks an operation in the description that is answered with a refusal only; its value is the code."""

PARTLY = "x-sterna-partly"
"""Marks an operation of which a part is refused; its value says which."""

_HEAD = (
    "# DRS",
    "",
    "Every path may begin with `/drs`. What is refused is answered after the caller and the project were checked.",
    "",
)

_TABLE = ("| method | path | operation | state |", "|---|---|---|---|")
