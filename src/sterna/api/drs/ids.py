"""The ids of tasks: a UUID whose end says what the task does and for which databases, such as ``jb204``."""

import re
import secrets

_TASK_ID = re.compile(r"[0-9a-z]{8}(-[0-9a-z]{4}){3}-[0-9a-z]{12}")
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

SCENES = {"migration": "1", "sync": "2"}
ENGINES = {"postgresql": "04", "redis": "06"}


def new_task_id(job_type: str, engine: str) -> str:
    """A fresh id, such as ``e11eaf8f-71ef-4fad-8890-aed7572jb204``."""
    digits = secrets.token_hex(14)[:27]
    suffix = f"jb{SCENES.get(job_type, '1')}{ENGINES.get(engine, '00')}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}{suffix}"


def is_task_id(text: str) -> bool:
    """Whether this can be a task's id, also one of the older form."""
    return bool(_TASK_ID.fullmatch(text))


def is_uuid(text: str) -> bool:
    """Whether this can be the id of a query or a comparison."""
    return bool(_UUID.fullmatch(text))
