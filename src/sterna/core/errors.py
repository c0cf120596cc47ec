"""Everything that can go wrong, arranged by what happens next.

    Trouble
    ├── Retryable            wait with back-off, then again
    │   ├── Unreachable
    │   ├── ServerBusy
    │   └── StartAgain       again, from the beginning of the copy
    ├── NeedsOperator        stop the job, and say what to do
    │   ├── AccessDenied     PositionGone   BadData      TargetFull     Unsupported
    │   └── Fenced           ApplyFailed    ChecksFailed KeyConflict    DiskFull
    └── Refused              the request is turned down, the job is untouched
        └── IllegalMove      NotFound       Invalid

The docstring of a class is its message unless one is given. An error carries fields, never a password.
"""

from sterna.core.job import Failure


class Trouble(Exception):
    """Something went wrong."""

    code = "STERNA.0000"
    hint = ""

    def __init__(self, message: str = "", *, hint: str = "") -> None:
        self.message = message or (type(self).__doc__ or "").split("\n")[0]
        self.hint = hint or type(self).hint
        super().__init__(self.message)

    def failure(self) -> Failure:
        """The same as a value, to be stored with the job."""
        return Failure(self.code, self.message, self.hint)


class Retryable(Trouble):
    """A passing fault; it is tried again."""

    code = "STERNA.1000"


class Unreachable(Retryable):
    """The server cannot be reached."""

    code = "STERNA.1001"
    hint = "Check the address, the firewall and that the server runs; the job goes on by itself."


class ServerBusy(Retryable):
    """The server is not ready for this yet."""

    code = "STERNA.1002"


class StartAgain(Retryable):
    """The copy cannot go on where it was and begins again."""

    code = "STERNA.1003"


class NeedsOperator(Trouble):
    """The job stopped and needs a person."""

    code = "STERNA.2000"


class AccessDenied(NeedsOperator):
    """The server refused the user or password, or the user lacks a right."""

    code = "STERNA.2001"
    hint = "Correct the user, the password or its rights, then let the job go on."


class PositionGone(NeedsOperator):
    """The source no longer keeps the changes from where the job left off."""

    code = "STERNA.2002"
    hint = "Let the source keep its log for longer, then start the job again: it copies everything anew."


class BadData(NeedsOperator):
    """The source sent something that is not what the format allows."""

    code = "STERNA.2003"


class TargetFull(NeedsOperator):
    """The target has no memory or disk left."""

    code = "STERNA.2004"
    hint = "Give the target more room, then let the job go on."


class Unsupported(NeedsOperator):
    """The source holds something that the target cannot take."""

    code = "STERNA.2005"


class Fenced(NeedsOperator):
    """Another run of this job has taken over the target; this one stopped."""

    code = "STERNA.2006"


class ApplyFailed(NeedsOperator):
    """The target refused a change."""

    code = "STERNA.2007"
    hint = "Compare source and target to see what differs, repair it, then let the job go on."


class ChecksFailed(NeedsOperator):
    """The checks before the start found something that must be mended first."""

    code = "STERNA.2008"


class KeyConflict(NeedsOperator):
    """The target already holds keys of the source, and the job was told to stop then."""

    code = "STERNA.2009"
    hint = "Empty the target, or choose the policy overwrite or skip."


class DiskFull(NeedsOperator):
    """The disk that holds the spool is full."""

    code = "STERNA.2010"
    hint = "Free room in the data folder, then let the job go on."


class Refused(Trouble):
    """The request was turned down."""

    code = "STERNA.3000"


class IllegalMove(Refused):
    """This is not allowed in the job's present state."""

    code = "STERNA.3001"


class NotFound(Refused):
    """There is no such thing."""

    code = "STERNA.3002"


class Invalid(Refused):
    """A value is not valid."""

    code = "STERNA.3003"

    def __init__(self, field: str, message: str = "", *, hint: str = "") -> None:
        self.field = field
        super().__init__(message or f"Invalid {field}.", hint=hint)
