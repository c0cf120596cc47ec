"""Writes docs/api-coverage.md: which documented operations are offered."""

from pathlib import Path

from sterna.api.app import create_app
from sterna.api.dcs import operations as dcs
from sterna.api.drs import operations as drs
from sterna.jobs.desk import Desk
from sterna.store.memory import MemoryStore

PAGE = Path(__file__).parents[1] / "docs" / "api-coverage.md"


def page() -> str:
    """What the page should say now."""
    store = MemoryStore()
    described = create_app(store, Desk(store, {})).openapi()
    return dcs.coverage(described) + "\n" + drs.coverage(described)


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), "utf-8")
