"""Fixtures for all tests, and how cases are made up."""

import hypothesis

from tests.effort import FRESH
from tests.servers.fixtures import postgres_server, redis_server
from tests.servers.places import work_in_memory

__all__ = ["postgres_server", "redis_server"]

work_in_memory()
# No case is too slow: the machine may be busy. Nothing is kept from one run for the next.
hypothesis.settings.register_profile(
    "sterna",
    derandomize=not FRESH,
    deadline=None,
    database=None,
    print_blob=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.data_too_large],
)
hypothesis.settings.load_profile("sterna")
