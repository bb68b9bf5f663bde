"""What a worker is given, its place in the queue, and the events of an operation."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for column in (
        sa.Column("error_details", sa.JSON(none_as_null=True)),
        sa.Column("num_cpus", sa.Integer(), nullable=False, server_default="1"),
        sa.Column("num_gpus", sa.Double(), nullable=False, server_default="0"),
        sa.Column("revision", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("queued_at", sa.Double(), nullable=False, server_default="0"),
    ):
        op.add_column("operations", column)
    op.execute("UPDATE operations SET queued_at = created_at")
    op.create_table(
        "operation_events",
        sa.Column("operation_id", sa.String(120), sa.ForeignKey("operations.operation_id"), primary_key=True),
        sa.Column("revision", sa.Integer(), primary_key=True),
        sa.Column("status", sa.String(12), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("progress_percent", sa.Double(), nullable=False),
        sa.Column("progress_message", sa.Text(), nullable=False),
        sa.Column("error_code", sa.String(60)),
        sa.Column("error_message", sa.Text()),
        sa.Column("created_at", sa.Double(), nullable=False),
    )


def downgrade() -> None:
    raise NotImplementedError("ktrdr's schema only goes forward; restore a backup to go back")
