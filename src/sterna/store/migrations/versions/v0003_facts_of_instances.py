"""What else is known of a registered instance, for those who ask for it again."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("instances", sa.Column("facts", sa.Text(), server_default=sa.text("'{}'"), nullable=False))
