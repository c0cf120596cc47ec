"""What is imported, and what is not."""

import json
import subprocess
import sys

_LOOK = """
import json, sys
from sterna.main import engines

def loaded():
    return sorted({name.split(".")[2] for name in sys.modules if name.startswith("sterna.engines.")})

found = engines()
before = [list(found), len(found), "redis" in found, "mysql" in found, found.get("mysql"), loaded()]
name = found["redis"].name
print(json.dumps([before, name, found["redis"] is found["redis"], loaded()]))
"""


def test_an_engine_is_loaded_when_it_is_asked_for_and_no_other() -> None:
    done = subprocess.run([sys.executable, "-c", _LOOK], capture_output=True, text=True, check=True)
    names = ["redis", "postgresql", "sqlserver"]
    assert json.loads(done.stdout) == [[names, 3, True, False, None, []], "redis", True, ["redis"]]
