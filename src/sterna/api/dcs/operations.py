"""The documented operations of DCS v2 around data migration, and which of them are offered here.

The list is that of the vendor's SDK (huaweicloudsdkdcs 3.1, v2) and of the public API reference.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Operation:
    """One documented operation."""

    name: str
    method: str
    path: str


_PROJECT = "/v2/{project_id}"

_DOCUMENTED = (
    ("CreateMigrationTask", "POST", "/migration-task"),
    ("CreateOnlineMigrationTask", "POST", "/migration/instance"),
    ("SetOnlineMigrationTask", "POST", "/migration/{task_id}/task"),
    ("UpdateMigrationTask", "PUT", "/migration-task/{task_id}"),
    ("ListMigrationTask", "GET", "/migration-tasks"),
    ("ShowMigrationTask", "GET", "/migration-task/{task_id}"),
    ("ShowMigrationTaskStats", "GET", "/migration-task/{task_id}/stats"),
    ("ListMigrationTaskLogs", "GET", "/migration-task/{task_id}/logs"),
    ("StopMigrationTask", "POST", "/migration-task/{task_id}/stop"),
    ("StopMigrationTaskSync", "POST", "/migration-task/{task_id}/sync-stop"),
    ("BatchStopMigrationTasks", "POST", "/migration-task/batch-stop"),
    ("BatchRestartOnlineMigrationTasks", "POST", "/migration-tasks/batch-restart"),
    ("DeleteMigrationTask", "DELETE", "/migration-tasks/delete"),
    ("ExchangeInstanceIp", "POST", "/migration-task/{task_id}/exchange-ip"),
    ("RollbackExchangeInstanceIp", "POST", "/migration-task/{task_id}/rollback-ip"),
    ("ShowJobInfo", "GET", "/jobs/{job_id}"),
    ("ShowInstance", "GET", "/instances/{instance_id}"),
    ("ListInstances", "GET", "/instances"),
    ("ListBackupRecords", "GET", "/instances/{instance_id}/backups"),
    ("CopyInstance", "POST", "/instances/{instance_id}/backups"),
    ("DeleteBackupFile", "DELETE", "/instances/{instance_id}/backups/{backup_id}"),
    ("ListBackupFileLinks", "POST", "/instances/{instance_id}/backups/{backup_id}/links"),
    ("ListRestoreRecords", "GET", "/instances/{instance_id}/restores"),
    ("RestoreInstance", "POST", "/instances/{instance_id}/restores"),
    ("ListBackgroundTask", "GET", "/instances/{instance_id}/tasks"),
    ("ShowBackgroundTaskProgress", "GET", "/instances/{instance_id}/tasks/{task_id}/progress"),
    ("DeleteBackgroundTask", "DELETE", "/instances/{instance_id}/tasks/{task_id}"),
    ("ListCenterTask", "GET", "/tasks"),
    ("DeleteCenterTask", "DELETE", "/tasks/{task_id}"),
    ("ShowIpWhitelist", "GET", "/instance/{instance_id}/whitelist"),
    ("UpdateIpWhitelist", "PUT", "/instance/{instance_id}/whitelist"),
    ("MigrateAz", "PUT", "/instances/{instance_id}/available-zones"),
)

OPERATIONS = (
    *(Operation(name, method, _PROJECT + path) for name, method, path in _DOCUMENTED),
    Operation("CreateMigrationTaskV1", "POST", "/v1.0/{project_id}/migration-task"),
)


def coverage(openapi: Mapping[str, Any]) -> str:
    """A page that says of each operation whether it is offered, as the description of the routes has it."""
    rows = [f"| `{it.method}` | `{it.path}` | {it.name} | {_state(openapi, it)} |" for it in OPERATIONS]
    return "\n".join([*_HEAD, *rows, ""])


def _state(openapi: Mapping[str, Any], operation: Operation) -> str:
    route = openapi["paths"].get(operation.path, {}).get(operation.method.lower())
    if route is None:
        return "not offered: DCS.4001"
    if route.get("x-sterna-refused"):
        return "refused: DCS.4027"
    return "supported"


_HEAD = (
    "# API coverage",
    "",
    "Written by `scripts/api_coverage.py` from the routes; a test says when it is out of date.",
    "",
    "## DCS v2: data migration",
    "",
    "| method | path | operation | state |",
    "|---|---|---|---|",
)
