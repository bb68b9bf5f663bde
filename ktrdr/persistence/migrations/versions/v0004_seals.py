"""The seal of a checkpoint's whole row, and when the attempt before a resume had ended."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("operation_checkpoints", sa.Column("seal", sa.JSON(none_as_null=True)))
    op.add_column("operation_resumes", sa.Column("ended_at", sa.Double()))


def downgrade() -> None:
    raise NotImplementedError("ktrdr's schema only goes forward; restore a backup to go back")
