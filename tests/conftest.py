"""Fixtures for all tests, and how tests try the cases that they make up."""

from hypothesis import HealthCheck, settings

from tests.effort import FRESH
from tests.servers.fixtures import postgres_server, redis_server
from tests.servers.places import work_in_memory

__all__ = ["postgres_server", "redis_server"]

work_in_memory()

# The same cases in each ordinary run. They count, and not how fast a busy machine makes them up and tries them.
settings.register_profile(
    "sterna",
    deadline=None,
    derandomize=not FRESH,
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("sterna")
