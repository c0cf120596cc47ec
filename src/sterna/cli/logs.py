"""The service's log: one line an event on the standard error, with everything secret taken out."""

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

from sterna.settings import without_userinfo

if TYPE_CHECKING:
    from structlog.typing import Processor

HIDDEN = "***"
_SECRET_NAME = re.compile(
    r"(?i)passw|secret|token|authorization|credential|cookie|signature|^sk$|^pwd$|_sk$|_pwd$|private|encryption_key"
)
_SECRET_IN_TEXT = re.compile(
    r"""(?ix)
    (["']? \b [\w-]* (?:password|passwd|secret(?:_?key)?|security_?token|auth-?token|subject-?token|masterauth) \b
     ["']? \s* [=:] \s*)                     # password=, "password": , X-Auth-Token:
    ("(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*' | [^\s,;&"'}\])]+)
    """
)
_AUTHORIZATION = re.compile(r"(?i)(authorization[\"']?\s*[:=]\s*)[^\r\n\"']+")


def redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor: hide values whose names sound secret, and passwords inside texts."""
    for name in event:
        event[name] = _clean(name, event[name])
    return event


def clean_text(text: str) -> str:
    """A text without passwords in URLs, in ``password=…`` pairs and in Authorization headers."""
    text = _AUTHORIZATION.sub(rf"\1{HIDDEN}", without_userinfo(text))
    return _SECRET_IN_TEXT.sub(rf"\1{HIDDEN}", text)


def _clean(name: str, value: object) -> object:
    if _SECRET_NAME.search(name):
        return HIDDEN
    match value:
        case str():
            return clean_text(value)
        case bytes():
            return clean_text(value.decode("utf-8", "replace"))
        case Mapping():
            return {key: _clean(str(key), each) for key, each in value.items()}
        case list() | tuple() | set():
            return [_clean("", each) for each in value]
        case bool() | int() | float() | None:
            return value
        case _:
            return clean_text(str(value))


def set_up_logging(level: str, form: str) -> None:
    """Send structlog's and the standard library's log lines to the standard error, in one form.

    ``level`` and ``form`` are the settings ``log_level`` and ``log_format``.
    """
    import structlog  # here: most commands write no log, and start a fifth sooner without it

    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        redact,
    ]
    renderer: Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.add_logger_name, structlog.stdlib.ExtraAdder(), *shared],
        # Once more at the end: here also come lines of libraries, whole.
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, redact, renderer],
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in ("sqlalchemy", "alembic", "asyncio", "uvicorn"):
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
