"""Writes docs/cli.md, the command reference, from the commands' own help."""

from pathlib import Path

from sterna.cli.reference import reference

TARGET = Path(__file__).parent.parent / "docs" / "cli.md"

if __name__ == "__main__":
    TARGET.write_text(reference(), encoding="utf-8")
