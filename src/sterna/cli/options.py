"""Options that many commands share, each with its one help text."""

from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="The service's data folder. Environment: STERNA_DATA."),
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE", help="TOML file with settings. Default: sterna.toml in the data folder."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts instead of text for people.")]
Force = Annotated[bool, typer.Option("--force", help="Also if something needs it that has not ended.")]
PasswordEnv = Annotated[
    str | None,
    typer.Option(
        "--password-env", metavar="VAR", help="Name of the environment variable that holds the password."
    ),
]
ProjectName = Annotated[
    str | None,
    typer.Option("--project", metavar="NAME", help="Name or id of the project. Default: the only one there is."),
]
DomainName = Annotated[
    str | None,
    typer.Option("--domain", metavar="NAME", help="Name or id of the domain. Default: the only one there is."),
]
