"""What ``sterna migrate`` remembers between two calls: one folder with one job, for each pair of servers."""

import contextlib
import dataclasses
import fcntl
import hashlib
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from sterna.cli.context import Tools
from sterna.cli.folder import make_private
from sterna.core.errors import IllegalMove, Invalid
from sterna.core.job import Condition, Job, Phase
from sterna.core.people import Domain, Project, new_id
from sterna.core.plan import Endpoint, Plan
from sterna.core.stores import Store
from sterna.jobs.desk import Desk
from sterna.settings import default_state

KIND = "cli"
_NAME = "migrate"


def folder_of(plan: Plan, tools: Tools) -> Path:
    """The folder for this pair of servers, the same whatever their passwords. Options do not count."""
    described: list[object] = [
        *([each.engine, sorted(each.addresses), each.user] for each in (plan.source, plan.target)),
        *([file.bucket, file.name] for file in plan.source.files),
        list(plan.selection.only),
        [[each.old, each.new] for each in plan.selection.renames],
    ]
    databases = {(each.path[0], (each.to or each.path)[0]) for each in plan.selection.objects}
    if databases:
        described.append(sorted(databases))
    digest = hashlib.sha256(json.dumps(described).encode()).hexdigest()
    return default_state(tools.environ) / digest[:20]


@contextlib.asynccontextmanager
async def opened_state(tools: Tools, folder: Path) -> AsyncIterator[Store]:
    """The store in a state folder, which is made if need be. Raises IllegalMove while another process uses it."""
    make_private(folder)
    with _locked(folder):
        store = await tools.open_store(str(folder / "sterna.db"), folder / "encryption.key")
        try:
            yield store
        finally:
            await store.close()


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise IllegalMove(
                f"Another process is at this migration: {folder}",
                hint="Wait for it or interrupt it; it goes on from where it was.",
            ) from None
        yield


async def remembered(store: Store) -> Job | None:
    """The job of a state folder; None where nothing has begun."""
    _, found = await store.jobs(kinds=(KIND,), limit=1)
    return found[0] if found else None


async def create(store: Store, desk: Desk, plan: Plan) -> Job:
    """A first job for a state folder."""
    projects = await store.projects()
    if not projects:
        domains = await store.domains()
        domain = domains[0] if domains else Domain(new_id(), _NAME)
        if not domains:
            await store.add_domain(domain)
        projects = [Project(new_id(), _NAME, domain.id)]
        await store.add_project(projects[0])
    return await desk.create(projects[0].id, KIND, f"{plan.source} to {plan.target}", plan=plan)


def unfinished(job: Job) -> bool:
    """Whether the job has left something behind that it can go on from."""
    return job.condition is not Condition.DONE and job.phase is not Phase.DRAFT


def with_passwords(plan: Plan, old: Plan) -> Plan:
    """The plan with the passwords of the old one where none is given now."""

    def side(now: Endpoint, before: Endpoint) -> Endpoint:
        return now if now.password else dataclasses.replace(now, password=before.password)

    return dataclasses.replace(plan, source=side(plan.source, old.source), target=side(plan.target, old.target))


def check_same(plan: Plan, old: Plan) -> None:
    """Raises Invalid if a migration that is under way would be continued as another one.

    Passwords, TLS, the limit and what to do about a lost position may change on the way.
    """
    mine, before = _essence(plan), _essence(old)
    changed = [name for name in mine if mine[name] != before[name]]
    if changed:
        raise Invalid(
            changed[0],
            f"This migration is under way with another {', '.join(changed)}",
            hint="Give the same options to go on, or --restart to end it and begin anew.",
        )


def _essence(plan: Plan) -> dict[str, object]:
    names = ("mode", "conflict", "selection", "options")
    return {"source": _who(plan.source), "target": _who(plan.target)} | {
        name: getattr(plan, name) for name in names
    }


def _who(endpoint: Endpoint) -> tuple[object, ...]:
    return (endpoint.engine, tuple(sorted(endpoint.addresses)), endpoint.user)
