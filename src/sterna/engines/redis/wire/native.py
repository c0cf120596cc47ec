"""Decides whether the compiled helpers are used, so that every module asks in one place.

The environment variable ``STERNA_PURE_PYTHON`` (any text but the empty one) turns them off. It is read here and
not in the settings, because it is no wish of an operator: tests use it to run the same code both ways.
"""

import importlib
import os
from types import ModuleType


def compiled(name: str) -> ModuleType | None:
    """The compiled module of this name beside this one, or None: then the same is done in Python, more slowly."""
    if os.environ.get("STERNA_PURE_PYTHON"):
        return None
    try:
        return importlib.import_module(f"sterna.engines.redis.wire.{name}")
    except ImportError:
        return None


native: ModuleType | None = compiled("_rdb")
"""What walks RDB files."""
