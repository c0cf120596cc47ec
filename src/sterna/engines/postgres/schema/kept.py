"""A blueprint as a file in the job's folder: what comes after the data is made from what was there before it."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sterna.engines.postgres.names import job_word
from sterna.engines.postgres.schema.things import Blueprint, LeftOut, Order, Sequence, Statement

FORMAT = 1


def file_of(folder: Path, database: str) -> Path:
    """Where the blueprint of one database is kept."""
    return folder / f"schema-{job_word(database)}-{database.encode().hex()[:40]}.json"


def save(folder: Path, blueprint: Blueprint) -> None:
    """Keep it; a crash leaves the old file or the new one. What holds a password's hash is not written."""
    folder.mkdir(parents=True, exist_ok=True)
    body = asdict(blueprint)
    body["before"] = [asdict(each) for each in blueprint.before if not each.secret]
    file = file_of(folder, blueprint.database)
    new = file.with_suffix(".new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as writing:
        json.dump({"format": FORMAT, **body}, writing, ensure_ascii=False)
        writing.flush()
        os.fsync(writing.fileno())
    new.replace(file)


def load(folder: Path, database: str) -> Blueprint | None:
    """What was kept; None: nothing that this version can read."""
    try:
        body = json.loads(file_of(folder, database).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return _blueprint(body) if body.pop("format", 0) == FORMAT else None


def _blueprint(body: Mapping[str, Any]) -> Blueprint:
    return Blueprint(
        database=body["database"],
        target=body["target"],
        version=body["version"],
        before=tuple(_statement(each) for each in body["before"]),
        after=tuple(_statement(each) for each in body["after"]),
        endings=tuple(_statement(each) for each in body["endings"]),
        left_out=tuple(LeftOut(**each) for each in body["left_out"]),
        sequences=tuple(
            Sequence(**(each | {"source": tuple(each["source"]), "target": tuple(each["target"])}))
            for each in body["sequences"]
        ),
        objects={kind: tuple(names) for kind, names in body["objects"].items()},
    )


def _statement(body: dict[str, Any]) -> Statement:
    orders = tuple(Order(**order) for order in body["orders"])
    lists = {name: tuple(body[name]) for name in ("needs", "locks", "shares")}
    return Statement(**(body | lists | {"orders": orders}))
