"""How many cases the tests try that make up their own: some by default, many where one has the time.

``STERNA_TEST_EFFORT=20 make test`` tries twenty times as many as an ordinary run, and others each time.
"""

import os
import random

PATIENCE = 180.0
"""Seconds within which a fact that a test waits for must come, on a machine that has ten times as much to do."""

EFFORT = float(os.environ.get("STERNA_TEST_EFFORT") or 1)


FRESH = EFFORT > 1
"""Whether the cases that are made up by chance are others each time. An ordinary run tries the same ones: it shall
fail for what was changed, and never by the luck of the draw. The search for new cases is one's own to begin."""


def seed(ordinary: int) -> int:
    """Where chance begins: in an ordinary run at this number, else anywhere; it is shown if the test fails."""
    chosen = random.SystemRandom().randrange(1 << 30) if FRESH else ordinary
    print(f"seed {chosen}")
    return chosen


def examples(ordinary: int) -> int:
    """How many cases to try where an ordinary run tries so many."""
    return max(1, round(ordinary * EFFORT))
