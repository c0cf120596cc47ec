"""Everything of a PostgreSQL database but its rows: read from the source's catalogues, made on the target.

blueprint = await draw(source, target, plan, database)     what there is, as statements for the target
save(room.folder, blueprint)                               so that the source may change or go away
await make_before(target, blueprint, tell)                 roles, schemas, types, functions, tables …
await make_after(connect, blueprint, tell, at_once=4)      keys, indexes, foreign keys, views, triggers, grants …
"""

from sterna.engines.postgres.schema.kept import load, save
from sterna.engines.postgres.schema.making import make_after, make_before
from sterna.engines.postgres.schema.present import present
from sterna.engines.postgres.schema.reading import draw
from sterna.engines.postgres.schema.things import Blueprint, LeftOut, Sequence

__all__ = ["Blueprint", "LeftOut", "Sequence", "draw", "load", "make_after", "make_before", "present", "save"]
