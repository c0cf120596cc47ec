"""Ids of tasks: a UUID whose end says what the task is, as clients and people are used to read it."""

import re
import secrets

_FORM = re.compile(r"[0-9a-z]{8}(-[0-9a-z]{4}){3}-[0-9a-z]{12}")
_GROUPS = (8, 4, 4, 4, 7)

SCENES = {"migration": "1", "sync": "2"}
_ENGINES = {"postgresql": "0p", "redis": "0d"}


def new_task_id(db_use_type: str, engine: str) -> str:
    """36 characters: a random UUID whose last five are ``jb``, the scene's digit and the engine's two letters."""
    digits = "-".join(secrets.token_hex(4)[:length] for length in _GROUPS)
    return f"{digits}jb{SCENES.get(db_use_type, '1')}{_ENGINES.get(engine, '00')}"


def new_backup_id() -> str:
    """The same for a task that restores SQL Server backups, as the documents show it: ``…jb703``."""
    digits = "-".join(secrets.token_hex(4)[:length] for length in _GROUPS)
    return f"{digits}jb703"


def is_task_id(text: str) -> bool:
    """Whether it has the form of a task's id. Its letters need not be hexadecimal."""
    return bool(_FORM.fullmatch(text))
