"""How many cases the tests try that make up their own: some by default, many where one has the time.

``STERNA_TEST_EFFORT=20 make test`` tries twenty times as many as an ordinary run, and others each time.
"""

import os

PATIENCE = 180.0
"""Seconds within which a fact that a test waits for must come, on a machine that has ten times as much to do."""

EFFORT = float(os.environ.get("STERNA_TEST_EFFORT") or 1)


def examples(ordinary: int) -> int:
    """How many cases to try where an ordinary run tries so many."""
    return max(1, round(ordinary * EFFORT))
