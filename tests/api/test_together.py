"""Several clients ask for the same thing at the same moment, also of two services with one data folder."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from sterna.api.turn import Turn
from sterna.core.errors import ServerBusy
from tests.api.backups import POSTGRES, backup_service, new_backup
from tests.api.backups import V5 as BACKUPS
from tests.api.drs5 import V5, new_job
from tests.api.service import PROJECT, Service
from tests.effort import PATIENCE

MANY = 8


@pytest.fixture(scope="module")
def slow() -> Iterator[Service]:
    """A service whose store takes its time to answer, so that those who ask at once see the same."""
    with backup_service() as service:
        for name in ("job", "jobs", "instances"):
            _slow_down(service, name)
        yield service


@pytest.fixture
async def client(slow: Service) -> AsyncIterator[httpx.AsyncClient]:
    proof = {"X-Auth-Token": await asyncio.to_thread(slow.token)}
    async with httpx.AsyncClient(base_url=slow.url, headers=proof, timeout=PATIENCE) as client:
        yield client


def _slow_down(service: Service, name: str) -> None:
    quick = getattr(service.store, name)

    async def slow(*arguments: Any, **words: Any) -> Any:
        found = await quick(*arguments, **words)
        await asyncio.sleep(0.02)
        return found

    setattr(service.store, name, slow)


async def test_no_tag_is_lost_of_those_that_are_given_at_once(client: httpx.AsyncClient) -> None:
    made = await client.post(BACKUPS, json=new_backup("tags-at-once", target=POSTGRES))
    tags = f"/v5/{PROJECT}/backupMigration/{made.json()['job_id']}/tags"
    answers = await asyncio.gather(
        *(client.post(f"{tags}/create", json={"tags": [{"key": f"k{n}", "value": "v"}]}) for n in range(MANY))
    )
    assert {each.status_code for each in answers} == {204}
    assert {tag["key"] for tag in (await client.get(tags)).json()["tags"]} == {f"k{n}" for n in range(MANY)}
    answers = await asyncio.gather(
        *(client.post(f"{tags}/delete", json={"tags": [{"key": f"k{n}"}]}) for n in range(1, MANY))
    )
    assert {each.status_code for each in answers} == {204}
    assert (await client.get(tags)).json() == {"tags": [{"key": "k0", "value": "v"}]}


async def test_more_tags_than_a_task_may_have_are_refused_also_when_they_come_at_once(
    client: httpx.AsyncClient,
) -> None:
    made = await client.post(BACKUPS, json=new_backup("many-at-once", target=POSTGRES))
    tags = f"/v5/{PROJECT}/backupMigration/{made.json()['job_id']}/tags"
    each = [{"tags": [{"key": f"k{n}-{m}", "value": ""} for m in range(6)]} for n in range(5)]
    answers = await asyncio.gather(*(client.post(f"{tags}/create", json=body) for body in each))
    assert sorted(answer.status_code for answer in answers) == [204, 204, 204, 400, 400]
    assert len((await client.get(tags)).json()["tags"]) == 18


async def test_a_name_is_given_to_one_task_of_those_that_ask_at_once(client: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(*(client.post(f"{V5}/jobs", json=new_job("at-once")) for _ in range(MANY)))
    assert sorted(each.status_code for each in answers) == [200] + [400] * (MANY - 1)
    assert {each.json()["error_code"] for each in answers if each.status_code == 400} == {"DRS.M00277"}


async def test_a_name_is_taken_by_one_of_the_tasks_that_are_renamed_at_once(client: httpx.AsyncClient) -> None:
    made = [(await client.post(f"{V5}/jobs", json=new_job(f"renamed-{n}"))).json()["id"] for n in range(3)]
    change = {"job": {"type": "name", "params": {"base_info": {"name": "the-same"}}}}
    answers = await asyncio.gather(*(client.put(f"{V5}/jobs/{id}", json=change) for id in made))
    assert sorted(each.status_code for each in answers) == [200, 400, 400]


async def test_services_with_the_same_data_folder_take_turns(tmp_path: Path) -> None:
    one, other = Turn(tmp_path / "turn.lock"), Turn(tmp_path / "turn.lock")
    inside, most = 0, 0

    async def work(turn: Turn) -> None:
        nonlocal inside, most
        async with turn:
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(work(turn) for turn in (one, other) * MANY))
    assert (inside, most) == (0, 1)


async def test_a_service_that_keeps_its_turn_does_not_hold_up_another_for_ever(tmp_path: Path) -> None:
    one, hasty = Turn(tmp_path / "turn.lock"), Turn(tmp_path / "turn.lock", longest_s=0.05)
    async with one:
        with pytest.raises(ServerBusy):
            async with hasty:
                pass
    async with hasty:
        pass
