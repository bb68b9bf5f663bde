"""What each start found, what each resume went on from, and which session another was forked from."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "backend_starts",
        sa.Column("start_id", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("instance", sa.String(120), nullable=False),
        sa.Column("holder", sa.String(255), nullable=False),
        sa.Column("failed_with_checkpoint", sa.Integer(), nullable=False),
        sa.Column("failed_without_checkpoint", sa.Integer(), nullable=False),
        sa.Column("left_running", sa.Integer(), nullable=False),
        sa.Column("resubmitted", sa.Integer(), nullable=False),
        sa.Column("resumable", sa.Integer(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "operation_resumes",
        sa.Column("resume_id", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("operation_id", sa.String(120), sa.ForeignKey("operations.operation_id"), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("automatic", sa.Boolean(), nullable=False),
        sa.Column("forced", sa.Boolean(), nullable=False),
        sa.Column("difference", sa.JSON(none_as_null=True)),
        sa.Column("checkpoint_sequence", sa.Integer(), nullable=False),
        sa.Column("position", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("error_code", sa.String(60)),
        sa.Column("error_message", sa.Text()),
        sa.Column("created_at", sa.Double(), nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_operation_resumes_operation", "operation_resumes", ["operation_id"])
    op.create_table(
        "session_forks",
        sa.Column("session_id", sa.Integer(), sa.ForeignKey("agent_sessions.session_id"), primary_key=True),
        sa.Column("forked_from", sa.Integer(), sa.ForeignKey("agent_sessions.session_id"), nullable=False),
        sa.Column("phase", sa.String(20), nullable=False),
        sa.Column("changes", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
    )


def downgrade() -> None:
    raise NotImplementedError("ktrdr's schema only goes forward; restore a backup to go back")
