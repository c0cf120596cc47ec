"""A plan as JSON and back. Passwords go apart, to be sealed; what an older row lacks gets its default."""

from collections.abc import Mapping
from typing import Any

from sterna.core.plan import (
    Conflict,
    Endpoint,
    Mode,
    Pace,
    Picked,
    Plan,
    Rename,
    Resume,
    RowFilter,
    Selection,
    StoredFile,
    Tls,
    Window,
)

Object = dict[str, Any]


def plan_to_json(plan: Plan) -> Object:
    """Everything but the passwords."""
    return {
        "source": _endpoint_to_json(plan.source),
        "target": _endpoint_to_json(plan.target),
        "mode": plan.mode.value,
        "selection": _selection_to_json(plan.selection),
        "pace": _pace_to_json(plan.pace),
        "conflict": plan.conflict.value,
        "resume": plan.resume.value,
        "options": dict(plan.options),
    }


def plan_from_json(data: Object, passwords: Mapping[str, str]) -> Plan:
    """``passwords`` as ``passwords_of`` gave them; none: a plan without passwords."""
    return Plan(
        source=_endpoint_from_json(data["source"], passwords.get("source", "")),
        target=_endpoint_from_json(data["target"], passwords.get("target", "")),
        mode=Mode(data.get("mode", Mode.INCREMENTAL)),
        selection=_selection_from_json(data.get("selection", {})),
        pace=_pace_from_json(data.get("pace", {})),
        conflict=Conflict(data.get("conflict", Conflict.OVERWRITE)),
        resume=Resume(data.get("resume", Resume.AUTO)),
        options=data.get("options", {}),
    )


def passwords_of(plan: Plan) -> dict[str, str]:
    """The passwords of a plan by side; an empty one is left out."""
    both = {"source": plan.source.password, "target": plan.target.password}
    return {side: password for side, password in both.items() if password}


def _endpoint_to_json(endpoint: Endpoint) -> Object:
    return {
        "engine": endpoint.engine,
        "addresses": [list(address) for address in endpoint.addresses],
        "user": endpoint.user,
        "tls": _tls_to_json(endpoint.tls),
        "instance_id": endpoint.instance_id,
        "name": endpoint.name,
        "database": endpoint.database,
        "files": [[file.bucket, file.name] for file in endpoint.files],
    }


def _endpoint_from_json(data: Object, password: str) -> Endpoint:
    return Endpoint(
        engine=data["engine"],
        addresses=tuple((host, port) for host, port in data.get("addresses", [])),
        user=data.get("user", ""),
        password=password,
        tls=_tls_from_json(data.get("tls")),
        instance_id=data.get("instance_id", ""),
        name=data.get("name", ""),
        database=data.get("database", ""),
        files=tuple(StoredFile(bucket, name) for bucket, name in data.get("files", [])),
    )


def _tls_to_json(tls: Tls | None) -> Object | None:
    if tls is None:
        return None
    return {
        "verify": tls.verify,
        "ca_file": tls.ca_file,
        "cert_file": tls.cert_file,
        "key_file": tls.key_file,
        "authority": tls.authority,
        "host_name": tls.host_name,
    }


def _tls_from_json(data: Object | None) -> Tls | None:
    if data is None:
        return None
    return Tls(
        verify=data.get("verify", True),
        ca_file=data.get("ca_file", ""),
        cert_file=data.get("cert_file", ""),
        key_file=data.get("key_file", ""),
        authority=data.get("authority", ""),
        host_name=data.get("host_name", True),
    )


def _selection_to_json(selection: Selection) -> Object:
    return {
        "only": list(selection.only),
        "renames": [[rename.old, rename.new] for rename in selection.renames],
        "rows": {"include": list(selection.rows.include), "exclude": list(selection.rows.exclude)},
        "objects": [_picked_to_json(picked) for picked in selection.objects],
        "without": [list(path) for path in selection.without],
    }


def _selection_from_json(data: Object) -> Selection:
    rows = data.get("rows", {})
    return Selection(
        only=tuple(data.get("only", [])),
        renames=tuple(Rename(old, new) for old, new in data.get("renames", [])),
        rows=RowFilter(tuple(rows.get("include", [])), tuple(rows.get("exclude", []))),
        objects=tuple(_picked_from_json(picked) for picked in data.get("objects", [])),
        without=tuple(tuple(path) for path in data.get("without", [])),
    )


def _picked_to_json(picked: Picked) -> Object:
    return {
        "path": list(picked.path),
        "to": list(picked.to),
        "columns": list(picked.columns),
        "where": picked.where,
    }


def _picked_from_json(data: Object) -> Picked:
    return Picked(
        path=tuple(data["path"]),
        to=tuple(data.get("to", [])),
        columns=tuple(data.get("columns", [])),
        where=data.get("where", ""),
    )


def _pace_to_json(pace: Pace) -> Object:
    return {
        "copy_bytes_per_s": pace.copy_bytes_per_s,
        "follow_bytes_per_s": pace.follow_bytes_per_s,
        "windows": [[window.begin, window.end, window.bytes_per_s] for window in pace.windows],
    }


def _pace_from_json(data: Object) -> Pace:
    return Pace(
        data.get("copy_bytes_per_s", 0),
        data.get("follow_bytes_per_s", 0),
        tuple(Window(begin, end, bytes_per_s) for begin, end, bytes_per_s in data.get("windows", [])),
    )
