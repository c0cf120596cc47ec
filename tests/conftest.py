"""Fixtures for all tests."""

from tests.servers.fixtures import postgres_server, redis_server
from tests.servers.places import work_in_memory

__all__ = ["postgres_server", "redis_server"]

work_in_memory()
