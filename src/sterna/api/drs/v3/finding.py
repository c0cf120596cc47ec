"""Which tasks a search of v3 means."""

from collections.abc import Callable

from sterna.api.drs.facts import facts_of
from sterna.api.drs.ids import is_task_id
from sterna.api.drs.states import spelt, status
from sterna.api.drs.tasks import plan
from sterna.api.drs.v3.bodies import Find
from sterna.core.job import Job

Test = Callable[[Job], bool]


def matching(wanted: Find, now_ms: int) -> Test:
    """Whether a task is meant: it has to pass every filter that was given."""
    tests = [test for test in _tests_of(wanted, now_ms) if test is not None]
    return lambda job: all(test(job) for test in tests)


def page(wanted: Find, jobs: list[Job]) -> list[Job]:
    """The page that was asked for; behind the last there is nothing."""
    if wanted.cur_page == 0 or wanted.per_page == 0:
        return jobs
    first = (wanted.cur_page - 1) * wanted.per_page
    return jobs[first : first + wanted.per_page]


def _tests_of(wanted: Find, now_ms: int) -> list[Test | None]:
    """A test for each filter; None for one that was not given."""
    return [
        lambda job: facts_of(job).db_use_type == wanted.db_use_type,
        (lambda job: facts_of(job).engine_type == wanted.engine_type) if wanted.engine_type else None,
        (lambda job: facts_of(job).net_type == wanted.net_type) if wanted.net_type else None,
        _of_enterprise(wanted.enterprise_project_id),
        named(wanted.name or ""),
        _of_status(wanted.status, now_ms),
        _tagged(wanted.wanted_tags()),
        _of_instances(wanted.instance_ids or []),
        _at(wanted.instance_ip),
    ]


def named(text: str) -> Test | None:
    """A part of the name in whatever case, an id, or ids with commas between."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words:
        return None
    if all(is_task_id(word) for word in words):
        return lambda job: job.id in words
    return lambda job: text.lower() in job.name.lower() or job.id == text


def _of_status(text: str | None, now_ms: int) -> Test | None:
    """A word that no task can have finds none."""
    if not text:
        return None
    try:
        wanted = spelt(text)
    except ValueError:
        return lambda job: False
    return lambda job: status(job, now_ms) is wanted


def _of_enterprise(id: str | None) -> Test | None:
    if not id or id in ("all_granted_eps", "null"):
        return None
    return lambda job: facts_of(job).enterprise_project_id == id


def _tagged(tags: dict[str, str | None]) -> Test | None:
    if not tags:
        return None

    def test(job: Job) -> bool:
        own = {tag["key"]: tag["value"] for tag in facts_of(job).tags}
        return all(key in own and (value is None or own[key] == value) for key, value in tags.items())

    return test


def _of_instances(ids: list[str]) -> Test | None:
    if not ids:
        return None

    def test(job: Job) -> bool:
        facts, told = facts_of(job), plan(job)
        own = {told.source.instance_id, told.target.instance_id}
        return bool({*own, facts.source.get("inst_id"), facts.target.get("inst_id")} & set(ids))

    return test


def _at(ip: str | None) -> Test | None:
    if not ip:
        return None

    def test(job: Job) -> bool:
        sides = (plan(job).source, plan(job).target)
        return any(host == ip for side in sides for host, _ in side.addresses)

    return test
