"""The users that the documents tell people to make have the rights that a move and a comparison need."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sterna.core.finding import Severity
from sterna.core.plan import Plan
from sterna.engines.redis.engine import RedisEngine
from tests.engines.moving import Move, endpoint, incremental
from tests.servers.data import fill
from tests.servers.fixtures import StartServer
from tests.servers.redis import Server

pytestmark = pytest.mark.server

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "redis.md"
FUNCTIONS = "function"
LATER = ("redis70", "valkey91")


def lines(user: str, *, functions: bool) -> Sequence[Sequence[str]]:
    """The ACL SETUSER lines for a user on the page, in their order."""
    found = re.findall(rf"^ACL SETUSER ({user} .*)$", PAGE.read_text(), re.M)
    return [line.split() for line in found if functions or FUNCTIONS not in line]


def make(server: Server, lines: Sequence[Sequence[str]]) -> None:
    client: Any = server.client()
    for words in lines:
        client.execute_command("ACL", "SETUSER", *words)


@pytest.mark.parametrize("flavor", ["redis62", *LATER])
async def test_the_documented_users_can_move_and_compare(
    redis_server: StartServer, tmp_path: Path, flavor: str
) -> None:
    source, target = redis_server(flavor), redis_server(flavor)
    reader, writer = (lines(f"sterna-{role}", functions=flavor in LATER) for role in ("reader", "writer"))
    assert len(reader) >= 2, "the first is for moving, the second for comparing"
    make(source, reader[:1])
    make(target, writer)
    fill(source.client())
    origin = replace(endpoint(source), user="sterna-reader", password="password")
    goal = replace(endpoint(target), user="sterna-writer", password="password")
    move = await Move(origin, goal, tmp_path, incremental()).start()
    await move.follows()
    source.client().incr("counter")
    await move.caught_up()
    await move.finish()
    make(source, reader[1:])
    plan = Plan(origin, goal)
    compared = await RedisEngine().compare(plan)
    assert compared.equal, compared.differences
    findings = [each for check in RedisEngine().checks(plan) for each in await check.run()]
    lacking = [each for each in findings if each.check.endswith(".rights")]
    assert [each.severity for each in lacking] == [Severity.PASSED, Severity.PASSED], lacking
