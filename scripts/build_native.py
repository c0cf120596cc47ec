"""Compiles the optional C modules where there is a compiler; without one, Sterna runs on pure Python.

Used by hatchling as a build hook, and by hand: ``python scripts/build_native.py``.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # run by hand, without hatchling
    BuildHookInterface = object  # type: ignore[assignment, misc]

ROOT = Path(__file__).resolve().parent.parent


def sources(root: Path = ROOT) -> list[Path]:
    """Every C source; each becomes one module beside it."""
    return sorted((root / "src").rglob("*.c"))


def built(source: Path) -> Path:
    return source.with_name(source.stem + str(sysconfig.get_config_var("EXT_SUFFIX")))


def compile_one(source: Path) -> Path | None:
    """Build one module. Returns its path, or None where that is not possible, having said why."""
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    include = sysconfig.get_paths()["include"]
    if os.environ.get("STERNA_PURE_PYTHON"):
        return None
    if not compiler or not (Path(include) / "Python.h").exists():
        print(f"no C compiler or no Python.h: {source.name} is left out, pure Python is used", file=sys.stderr)
        return None
    target = built(source)
    partial = target.with_suffix(f".{os.getpid()}.tmp")
    words = [compiler, "-O3", "-fPIC", "-shared", "-std=c11", "-Wall", "-Wextra", f"-I{include}"]
    done = subprocess.run([*words, str(source), "-o", str(partial)], capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"{source.name} does not compile, pure Python is used:\n{done.stderr}", file=sys.stderr)
        return None
    partial.replace(target)
    return target


class BuildHook(BuildHookInterface):  # type: ignore[misc, valid-type]
    """Puts the compiled modules into the wheel, which is then bound to this Python and platform."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        done = [path for source in sources(Path(self.root)) if (path := compile_one(source))]
        if done:
            build_data["pure_python"] = False
            build_data["infer_tag"] = True
            build_data["artifacts"] = [str(path.relative_to(self.root)) for path in done]


if __name__ == "__main__":
    for path in sources():
        print(compile_one(path) or f"not built: {path.name}")
