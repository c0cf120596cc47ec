"""Small documents kept with a job, and a time before which a job does not start."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("jobs", sa.Column("starts_ms", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    op.create_table(
        "notes",
        sa.Column("number", NUMBER, autoincrement=True, nullable=False),
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_notes_job_id"),
        sa.PrimaryKeyConstraint("number", name="pk_notes"),
        sa.UniqueConstraint("job_id", "kind", "key", name="uq_notes_job_id_kind_key"),
    )
