"""Fixtures for all tests."""

from tests.servers.fixtures import postgres_server, redis_server

__all__ = ["postgres_server", "redis_server"]
