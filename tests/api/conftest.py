"""One service for each test module: tests make jobs of their own and do not disturb one another."""

from collections.abc import Iterator

import httpx
import pytest

from tests.api.service import Service, serving


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving() as running:
        yield running


@pytest.fixture(scope="module")
def client(service: Service) -> Iterator[httpx.Client]:
    """Logged in to the first project."""
    with service.client(service.token()) as logged_in:
        yield logged_in
