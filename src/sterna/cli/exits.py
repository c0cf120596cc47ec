"""What a command's exit code says: the one table, for the commands, their help and the documentation."""

from enum import IntEnum

from sterna.core.errors import ChecksFailed, NeedsOperator, Refused, Retryable, Trouble


class ExitCode(IntEnum):
    """Ends of a command, as scripts see them."""

    DONE = 0
    UNEXPECTED = 1
    USAGE = 2
    CHECKS_FAILED = 3
    FAILED = 4
    DIFFERENT = 5
    PAUSED = 130


MEANING = {
    ExitCode.DONE: "Done; where two sides were compared, they are equal.",
    ExitCode.UNEXPECTED: "Something unexpected happened: a fault in Sterna or in this machine.",
    ExitCode.USAGE: "The command, an option or a value is not valid, or the request was refused.",
    ExitCode.CHECKS_FAILED: "A check before the start failed. Nothing was changed.",
    ExitCode.FAILED: "The job failed, or a server cannot be reached or used: an operator is needed.",
    ExitCode.DIFFERENT: "The two sides differ.",
    ExitCode.PAUSED: "Interrupted. A migration is paused and goes on with the same command.",
}


def exit_code_of(error: Trouble) -> ExitCode:
    """Which exit code an error has."""
    match error:
        case ChecksFailed():
            return ExitCode.CHECKS_FAILED
        case Refused():
            return ExitCode.USAGE
        case NeedsOperator() | Retryable():
            return ExitCode.FAILED
        case _:
            return ExitCode.UNEXPECTED
