"""What the documents say can be found and typed: links lead somewhere, and commands and options exist."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from sterna.cli.app import app

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "bench/README.md",
]
COMMAND = re.compile(r"^(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?(sterna(?: .*)?)$")


def commands(page: Path) -> list[str]:
    """Command lines in code blocks, and in code spans, that begin with ``sterna``."""
    text = page.read_text()
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.S | re.M)
    lines = [line for block in blocks for line in block.splitlines()]
    spans = re.findall(r"`(sterna [^`\n]+)`", text)
    found = [match[1] for line in lines if (match := COMMAND.match(line.split("  ")[0].split(" #")[0].strip()))]
    return found + spans


def anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in target:
            continue
        path, _, fragment = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        if fragment:
            headings = re.findall(r"^#+ (.*)$", file.read_text(), re.M)
            assert fragment in [anchor(heading) for heading in headings], target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_exist_with_their_options(page: Path) -> None:
    root: Any = typer.main.get_command(app)  # of the command library inside typer, which has no public name
    for line in commands(page):
        words = shlex.split(line.replace("…", "X").replace("\\", " "))[1:]
        command = root
        while words and words[0] in getattr(command, "commands", {}):
            command = command.commands[words.pop(0)]
        if hasattr(command, "commands"):
            assert not words or words[0].startswith("-"), line
        known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
        for word in words:
            if word.startswith("--"):
                assert word.partition("=")[0] in known | {"--help"}, line
