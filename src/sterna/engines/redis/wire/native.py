"""Decides once whether the compiled helpers are used, so that every module asks in one place.

The environment variable ``STERNA_PURE_PYTHON`` (any text but the empty one) turns them off. It is read here and
not in the settings, because it is no wish of an operator: tests use it to run the same code both ways.
"""

import os
from types import ModuleType


def _find() -> ModuleType | None:
    if os.environ.get("STERNA_PURE_PYTHON"):
        return None
    try:
        from sterna.engines.redis.wire import _rdb  # type: ignore[attr-defined, unused-ignore]
    except ImportError:
        return None
    module: ModuleType = _rdb
    return module


native: ModuleType | None = _find()
"""The compiled module ``_rdb``, or None: then pure Python does the same, more slowly."""
