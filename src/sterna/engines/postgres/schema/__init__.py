"""Everything of a PostgreSQL database but its rows: read from the source's catalogues, made on the target.

``draw`` reads what there is and turns it into statements for the target, a Blueprint, which ``save`` and ``load``
keep in the job's folder. ``make_before`` makes what rows need, ``make_after`` what is better made with the rows in
place, ``make_last`` what would have acted on changes that were still being applied.
"""

from sterna.engines.postgres.schema.kept import load, save
from sterna.engines.postgres.schema.making import make_after, make_before, make_early, make_last
from sterna.engines.postgres.schema.present import present
from sterna.engines.postgres.schema.reading import counts, draw, objects
from sterna.engines.postgres.schema.things import Blueprint, LeftOut, Sequence

__all__ = [
    "Blueprint",
    "LeftOut",
    "Sequence",
    "counts",
    "draw",
    "load",
    "make_after",
    "make_before",
    "make_early",
    "make_last",
    "objects",
    "present",
    "save",
]
