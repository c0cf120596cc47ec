"""``python -m sterna`` is the ``sterna`` command."""

from sterna.main import cli

cli()
