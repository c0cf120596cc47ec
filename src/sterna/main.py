"""Puts the rooms together: the only module that knows them all."""


def cli() -> None:
    """The ``sterna`` command."""
    raise SystemExit("not built yet")
