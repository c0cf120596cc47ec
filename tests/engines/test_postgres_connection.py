"""How sessions begin, whatever the server gives its users to begin with."""

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from sterna.core.errors import Trouble
from sterna.core.plan import Tls
from sterna.engines.postgres.connection import bulk, connect, connected
from tests.engines.test_postgres_checks import endpoint
from tests.servers.certificates import certificates_in, make_certificates
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


async def test_an_authority_given_as_text_is_trusted_and_leaves_no_file(
    postgres_server: StartPostgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """libpq takes certificates from files alone: what a killed process leaves behind nobody would clear away."""
    server = postgres_server("pg15", tls=True)
    assert server.tls_ca
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    trusting = replace(endpoint(server), tls=Tls(authority=server.tls_ca.read_text(), host_name=False))
    async with connected(trusting) as connection:
        row = await (
            await connection.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        ).fetchone()
    assert row == (True,)
    assert _names(tmp_path) == []
    make_certificates(tmp_path)
    stranger = certificates_in(tmp_path).ca.read_text()
    with pytest.raises(Trouble):
        async with connected(replace(trusting, tls=Tls(authority=stranger, host_name=False))):
            pass


def _names(folder: Path) -> list[str]:
    return [each.name for each in folder.iterdir()]
