"""The ``sterna`` command: its tree, and what becomes of errors."""

import contextlib
import os
import sys
import traceback
from collections.abc import Sequence

import typer

from sterna.cli import (
    backup,
    buckets,
    checks,
    demonstration,
    init,
    instances,
    jobs,
    load,
    migrate,
    people,
    service,
)
from sterna.cli.context import Tools
from sterna.cli.exits import MEANING, ExitCode, exit_code_of
from sterna.cli.logs import clean_text
from sterna.cli.output import print_error, print_note
from sterna.core.errors import Invalid, Trouble

_CODES = "\n\n".join(f"{int(code)}: {meaning}" for code, meaning in MEANING.items())

app = typer.Typer(
    name="sterna",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=f"Exit codes:\n\n{_CODES}",
    help=(
        "Moves databases: a full copy, then all changes until the cutover.\n\n"
        "From URL to URL in one command: sterna migrate SRC_URL DST_URL. As a service with the DCS and IAM APIs: "
        "sterna init, then sterna serve."
    ),
)
app.command()(migrate.migrate)
app.command()(checks.check)
app.command()(checks.compare)
app.command()(demonstration.demo)
app.command()(init.init)
app.command()(service.serve)
app.add_typer(jobs.jobs, name="job")
app.add_typer(instances.instances, name="instance")
backup.backups.command("load")(load.load_backup)
app.add_typer(backup.backups, name="backup")
app.add_typer(buckets.buckets, name="bucket")
app.add_typer(people.users, name="user")
app.add_typer(people.projects, name="project")
app.add_typer(people.keys, name="key")
app.command()(service.settings)
app.command()(service.version)
app.command(hidden=True)(service.worker)


def run(arguments: Sequence[str], tools: Tools) -> int:
    """Run one command line, the command's own name left out. Returns the exit code; prints errors."""
    as_json = "--json" in arguments
    try:
        code = app(args=list(arguments), prog_name="sterna", standalone_mode=False, obj=tools)
        return int(code or 0)
    except Trouble as trouble:
        print_error(trouble, as_json=as_json)
        return exit_code_of(trouble)
    except typer.TyperException as error:
        return _usage(error, as_json)
    except (KeyboardInterrupt, typer.Abort):
        print_note("Interrupted.")
        return ExitCode.PAUSED
    except BrokenPipeError:
        # The reader has gone: nothing is left to say, also not at the interpreter's end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.UNEXPECTED
    except Exception as error:
        with contextlib.suppress(OSError):  # an output that takes nothing any more takes no error either
            print_note(clean_text("".join(traceback.format_exception(error))))
            print_error(Trouble(f"Unexpected: {type(error).__name__}: {clean_text(str(error))}"), as_json=as_json)
        return ExitCode.UNEXPECTED


def _usage(error: typer.TyperException, as_json: bool) -> int:
    """A command line that is not valid. No arguments at all: the help is the answer."""
    if type(error).__name__ == "NoArgsIsHelpError":
        print(error.format_message())
        return ExitCode.USAGE
    print_error(
        Invalid("arguments", error.format_message(), hint="sterna --help shows what there is."), as_json=as_json
    )
    return ExitCode.USAGE
