"""The compiled parts, if they were built: they do the same as the Python code, faster."""

import importlib
import os
from types import ModuleType

_SWITCH = "STERNA_PURE_PYTHON"
"""Set in the environment to anything: everything is done by the Python code."""


def compiled(name: str) -> ModuleType | None:
    """A module of this folder that scripts/build_native.py builds; None without it."""
    if os.environ.get(_SWITCH):
        return None
    try:
        return importlib.import_module(f"sterna.engines.sqlserver.wire.{name}")
    except ImportError:
        return None
