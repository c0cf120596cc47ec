"""What Alembic runs: the revisions, on the connection and in the transaction that ``migrate`` hands over."""

from alembic import context

from sterna.store.migrate import VERSION_TABLE
from sterna.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, version_table=VERSION_TABLE
)
with context.begin_transaction():
    context.run_migrations()
