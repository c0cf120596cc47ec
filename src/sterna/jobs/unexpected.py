"""What is a bug: logged with its traceback, and told without what could be a secret."""

import traceback

from sterna.core.job import Failure, JobId
from sterna.core.plan import Plan

UNEXPECTED = "STERNA.9999"


def told(error: BaseException, plan: Plan | None) -> str:
    """The traceback as text: without the values of variables, and without the plan's passwords."""
    text = "".join(traceback.format_exception(error))
    for password in {plan.source.password, plan.target.password} - {""} if plan else ():
        text = text.replace(password, "***")
    return text


def unexpected(error: Exception, event: str, id: JobId, plan: Plan | None = None) -> Failure:
    """Log it, and say that it happened."""
    import structlog  # here: commands that only ask things of jobs need no log

    structlog.get_logger(__name__).error(event, job=id, traceback=told(error, plan))
    message = f"An unexpected fault: {type(error).__name__}"
    return Failure(UNEXPECTED, message, "Look into the log for what led to it.")
