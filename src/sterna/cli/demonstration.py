"""``sterna demo``: see a live database move, without anything of your own."""

from typing import Annotated

import typer

from sterna.cli.exits import ExitCode
from sterna.core.errors import Unsupported

Keys = Annotated[int, typer.Option("--keys", metavar="N", min=1000, help="How many keys the source holds.")]


def demo(keys: Keys = 200_000) -> None:
    """Move a live Valkey under writes to another one on this machine, and prove that both are equal.

    Starts two servers and the service, creates the migration with the vendor's SDK, kills the worker twice on
    the way, cuts over, and compares everything. Needs the extra ``sterna[demo]``.
    """
    try:
        from sterna.cli.demo import demo as run
    except ModuleNotFoundError as error:
        raise Unsupported(
            f"The demo needs the package {error.name}", hint="Install it: pip install 'sterna[demo]'"
        ) from error
    if not run(keys):
        raise typer.Exit(ExitCode.DIFFERENT)
