"""How sessions begin, whatever the server gives its users to begin with."""

import pytest

from sterna.engines.postgres.connection import bulk, connect, connected
from tests.engines.test_postgres_checks import endpoint
from tests.servers.fixtures import StartPostgres

pytestmark = pytest.mark.server
TIMEOUTS = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "idle_session_timeout")


@pytest.mark.parametrize("flavor", ["pg15", "pg18"])
async def test_no_timeout_of_the_role_ends_a_session(postgres_server: StartPostgres, flavor: str) -> None:
    server = postgres_server(flavor)
    names = (*TIMEOUTS, "transaction_timeout") if flavor == "pg18" else TIMEOUTS
    for name in names:
        server.sql(f"ALTER ROLE postgres SET {name} = '60s'")
    async with connected(endpoint(server)) as connection:
        for name in names:
            row = await (await connection.execute(f"SHOW {name}".encode())).fetchone()
            assert row == ("0",), name
    other = await bulk(endpoint(server), "postgres")
    try:
        assert {name: await other.fetchval(f"SHOW {name}") for name in names} == dict.fromkeys(names, "0")
    finally:
        await other.close()
    manual = await connect(endpoint(server), autocommit=False)
    assert not manual.autocommit
    await manual.close()
