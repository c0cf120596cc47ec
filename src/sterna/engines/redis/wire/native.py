"""Whether the compiled helpers are used: where they were built, unless ``STERNA_PURE_PYTHON`` is set."""

import importlib
import os
from types import ModuleType


def native(name: str) -> ModuleType | None:
    """The compiled module of this name beside this one, or None: then the same is done in Python."""
    if os.environ.get("STERNA_PURE_PYTHON"):
        return None
    try:
        return importlib.import_module(f"sterna.engines.redis.wire.{name}")
    except ImportError:
        return None
