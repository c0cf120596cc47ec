"""The command reference, read off the commands themselves, so that it cannot be out of date."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typer.main import get_command

from sterna.cli.app import app
from sterna.cli.exits import MEANING
from sterna.settings import Loaded, load

INTRODUCTION = """\
# The command line

<!-- Written by scripts/cli_reference.py from the commands' own help. -->

`sterna migrate` moves one server to another by itself. `sterna init` and `sterna serve` make a service of it for
DCS and IAM clients. Every command takes `--help`, and `--json` where it prints something.

Passwords on the command line can be seen in the list of processes: rather give them in the environment. No command
prints or stores a password in clear, but for the ones that it has just made up, once.
"""
EXIT_CODES = """\
## Exit codes

| code | meaning |
|---|---|
{rows}

An error is one line on the standard error, with a hint. With `--json` it is also an object on the standard output:
`{{"error": {{"code", "message", "hint"}}}}`.
"""
SETTINGS = """\
## Settings

As `--listen` on the command line of `sterna serve`, as `STERNA_LISTEN` in the environment, as `listen` in the file
`sterna.toml` of the data folder (or the file that `--config` or `STERNA_CONFIG` names). The earlier wins.
`sterna settings` shows what holds, and why.

| setting | environment | default | meaning |
|---|---|---|---|
{rows}
"""


@dataclass(frozen=True)
class Command:
    """One command as its help describes it. ``node`` is the framework's; it has no public type."""

    path: str
    node: Any

    @property
    def text(self) -> str:
        return str(self.node.help or "")


def commands() -> Iterator[Command]:
    """All commands that are shown, in the order of the help; groups are left out."""
    yield from _below("sterna", get_command(app))


def _below(path: str, node: Any) -> Iterator[Command]:
    children = getattr(node, "commands", None)
    if children is None:
        yield Command(path, node)
        return
    for name, child in children.items():
        if not child.hidden:
            yield from _below(f"{path} {name}", child)


def reference() -> str:
    """The whole of ``docs/cli.md``."""
    parts = [INTRODUCTION, _exit_codes(), _settings(load({}, {"HOME": "/nobody"}))]
    return "\n".join([*parts, *(_section(each) for each in commands())])


def _exit_codes() -> str:
    return EXIT_CODES.format(rows="\n".join(f"| {int(code)} | {meaning} |" for code, meaning in MEANING.items()))


def _settings(loaded: Loaded) -> str:
    rows = [f"| `{each.name}` | `{each.env}` | {_default(each.default)} | {each.text} |" for each in loaded.table]
    return SETTINGS.format(rows="\n".join(rows))


def _default(value: object) -> str:
    if isinstance(value, Path):
        return "`~/.local/share/sterna`"
    return "" if value in (None, "") else f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _section(command: Command) -> str:
    arguments = [each for each in command.node.params if each.param_type_name == "argument"]
    options = [each for each in command.node.params if each.param_type_name == "option" and each.name != "help"]
    usage = " ".join([command.path, *(_shown(each) for each in arguments), *(["[OPTIONS]"] if options else [])])
    lines = [f"## {command.path}", "", f"    {usage}", "", *_paragraphs(command.text), ""]
    if arguments:
        lines += [
            "| argument | |",
            "|---|---|",
            *(f"| `{_shown(each)}` | {each.help} |" for each in arguments),
            "",
        ]
    if options:
        lines += ["| option | |", "|---|---|", *(_option(each) for each in options), ""]
    return "\n".join(lines)


def _paragraphs(text: str) -> list[str]:
    return [line.strip() for line in text.strip().splitlines()]


def _shown(parameter: Any) -> str:
    return str(parameter.metavar or str(parameter.name).upper())


def _option(option: Any) -> str:
    names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
    value = "" if option.is_flag else f" `{_shown(option)}`".replace("|", "\\|")
    told = not option.is_flag and option.default not in (None, "", 0)
    return f"| {names}{value} | {option.help}{f' Default: {option.default}.' if told else ''} |"
