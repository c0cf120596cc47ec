"""Rows of the database as the vocabulary's values, and back."""

from collections.abc import Sequence
from dataclasses import asdict, fields
from json import dumps, loads
from typing import Any

from sqlalchemy import Row

from sterna.core.event import Event, Level
from sterna.core.finding import Finding, Severity
from sterna.core.job import Condition, Failure, Job, Phase, Wish
from sterna.core.people import AccessKey, Bucket, Instance, Token
from sterna.core.plan import Plan
from sterna.core.progress import Progress
from sterna.store.plans import Object, passwords_of, plan_from_json, plan_to_json
from sterna.store.secrets import Vault

Columns = dict[str, Any]

STATE = (
    "phase",
    "condition",
    "wish",
    "asked",
    "answered",
    "epoch",
    "failure",
    "updated_ms",
    "ended_ms",
    "deleted",
)
"""The columns of a job that the rules move."""


def columns_of_job(job: Job, vault: Vault) -> Columns:
    return {
        "id": job.id,
        "project_id": job.project_id,
        "kind": job.kind,
        "name": job.name,
        "description": job.description,
        "extra": job.extra,
        "created_ms": job.created_ms,
        "starts_ms": job.starts_ms,
        **columns_of_plan(job.id, job.plan, vault),
        **{name: _state(job, name) for name in STATE},
    }


def columns_of_plan(job_id: str, plan: Plan | None, vault: Vault) -> Columns:
    """The plan in clear, its passwords sealed beside it."""
    if plan is None:
        return {"plan": None, "plan_secrets": None}
    passwords = passwords_of(plan)
    sealed = vault.seal(dumps(passwords), "jobs", job_id, "plan_secrets") if passwords else None
    return {"plan": plan_to_json(plan), "plan_secrets": sealed}


def changed_state(before: Job, after: Job) -> Columns:
    """Only what the move changed: nobody writes a fact that belongs to somebody else."""
    return {name: _state(after, name) for name in STATE if getattr(before, name) != getattr(after, name)}


def job_of(row: Row[Any], vault: Vault | None) -> Job:
    """Without a vault: the plan's passwords are left out."""
    passwords: dict[str, str] = {}
    if vault and row.plan_secrets:
        passwords = loads(vault.open(row.plan_secrets, "jobs", row.id, "plan_secrets"))
    return Job(
        id=row.id,
        project_id=row.project_id,
        kind=row.kind,
        name=row.name,
        description=row.description,
        plan=plan_from_json(row.plan, passwords) if row.plan else None,
        extra=row.extra,
        phase=Phase(row.phase),
        condition=Condition(row.condition),
        wish=Wish(row.wish),
        asked=row.asked,
        answered=row.answered,
        epoch=row.epoch,
        failure=Failure(**row.failure) if row.failure else None,
        created_ms=row.created_ms,
        updated_ms=row.updated_ms,
        ended_ms=row.ended_ms,
        deleted=row.deleted,
        starts_ms=row.starts_ms,
    )


def progress_to_json(progress: Progress) -> Object:
    return asdict(progress)


def progress_from_json(figures: Object) -> Progress:
    """What an older row lacks gets its default, what this version does not know is left out."""
    known = {field.name for field in fields(Progress)}
    return Progress(**{name: value for name, value in figures.items() if name in known})


def findings_to_json(findings: Sequence[Finding]) -> list[Object]:
    return [asdict(finding) for finding in findings]


def findings_from_json(findings: list[Object]) -> Sequence[Finding]:
    """What an older row lacks gets its default."""
    return [
        Finding(it["check"], Severity(it["severity"]), it["evidence"], it.get("remedy", ""), it.get("group", ""))
        for it in findings
    ]


def columns_of_event(event: Event, seq: int) -> Columns:
    return {
        "job_id": event.job_id,
        "seq": seq,
        "at_ms": event.at_ms,
        "level": event.level,
        "code": event.code,
        "message": event.message,
        "fields": dict(event.fields),
    }


def event_of(row: Row[Any]) -> Event:
    return Event(row.job_id, row.at_ms, Level(row.level), row.code, row.message, row.fields, row.seq)


def columns_of_key(key: AccessKey, vault: Vault) -> Columns:
    return {
        "access_key": key.access_key,
        "user_id": key.user_id,
        "secret_key": vault.seal_some(key.secret_key, "access_keys", key.access_key, "secret_key"),
        "security_token": vault.seal_some(key.security_token, "access_keys", key.access_key, "security_token"),
        "created_ms": key.created_ms,
        "expires_ms": key.expires_ms,
    }


def key_of(row: Row[Any], vault: Vault) -> AccessKey:
    return AccessKey(
        access_key=row.access_key,
        secret_key=vault.open_some(row.secret_key, "access_keys", row.access_key, "secret_key"),
        user_id=row.user_id,
        created_ms=row.created_ms,
        security_token=vault.open_some(row.security_token, "access_keys", row.access_key, "security_token"),
        expires_ms=row.expires_ms,
    )


def columns_of_token(token: Token) -> Columns:
    return {**asdict(token), "methods": list(token.methods)}


def token_of(row: Row[Any]) -> Token:
    return Token(
        digest=row.digest,
        user_id=row.user_id,
        project_id=row.project_id,
        methods=tuple(row.methods),
        issued_ms=row.issued_ms,
        expires_ms=row.expires_ms,
        domain_scoped=row.domain_scoped,
    )


def columns_of_instance(instance: Instance, vault: Vault) -> Columns:
    sealed = vault.seal_some(instance.password, "instances", instance.id, "password")
    addresses = [list(address) for address in instance.addresses]
    return {**asdict(instance), "addresses": addresses, "password": sealed}


def instance_of(row: Row[Any], vault: Vault) -> Instance:
    return Instance(
        id=row.id,
        project_id=row.project_id,
        name=row.name,
        engine=row.engine,
        addresses=tuple((host, port) for host, port in row.addresses),
        user=row.user,
        password=vault.open_some(row.password, "instances", row.id, "password"),
        tls=row.tls,
        created_ms=row.created_ms,
        facts=row.facts,
    )


def columns_of_bucket(bucket: Bucket, vault: Vault) -> Columns:
    sealed = vault.seal_some(bucket.secret_key, "buckets", bucket.id, "secret_key")
    return {**asdict(bucket), "secret_key": sealed}


def bucket_of(row: Row[Any], vault: Vault) -> Bucket:
    secret = vault.open_some(row.secret_key, "buckets", row.id, "secret_key")
    kept = {field.name: getattr(row, field.name) for field in fields(Bucket)}
    return Bucket(**{**kept, "secret_key": secret})


def _state(job: Job, name: str) -> object:
    value = getattr(job, name)
    return asdict(value) if isinstance(value, Failure) else value
