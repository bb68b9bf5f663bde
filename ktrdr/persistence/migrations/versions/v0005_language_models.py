"""The journal of paid calls, budgets, what was learnt, and campaigns."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


KEY = sa.String(120)


def upgrade() -> None:
    _calls()
    _memory()
    _campaigns()


def _calls() -> None:
    op.create_table(
        "llm_calls",
        sa.Column("call_id", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("operation_id", KEY, sa.ForeignKey("operations.operation_id"), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("purpose", sa.String(20), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("try", sa.Integer(), nullable=False),
        sa.Column("request_sha256", sa.String(64), nullable=False),
        sa.Column("model", sa.String(120), nullable=False),
        sa.Column("status", sa.String(12), nullable=False),
        sa.Column("worst_usd", sa.Double(), nullable=False),
        sa.Column("cost_usd", sa.Double()),
        sa.Column("input_tokens", sa.Integer()),
        sa.Column("output_tokens", sa.Integer()),
        sa.Column("response", sa.JSON(none_as_null=True)),
        sa.Column("error_message", sa.Text()),
        sa.Column("reserved_at", sa.Double(), nullable=False),
        sa.Column("ended_at", sa.Double()),
        sa.UniqueConstraint("operation_id", "purpose", "sequence", "try"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_llm_calls_reserved", "llm_calls", ["reserved_at"])
    op.create_table(
        "budgets",
        sa.Column("scope", sa.String(140), primary_key=True),
        sa.Column("limit_usd", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
    )


def _memory() -> None:
    op.create_table(
        "hypotheses",
        sa.Column("hypothesis_id", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("operation_id", KEY, sa.ForeignKey("operations.operation_id"), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("statement", sa.Text(), nullable=False),
        sa.Column("status", sa.String(12), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("updated_at", sa.Double(), nullable=False),
        sa.UniqueConstraint("operation_id", "number"),
        sqlite_autoincrement=True,
    )
    op.add_column("trials", sa.Column("segment", sa.String(20), nullable=False, server_default="validation"))
    op.add_column("trials", sa.Column("brief", sa.Text(), nullable=False, server_default=""))
    op.add_column("trials", sa.Column("lesson", sa.Text(), nullable=False, server_default=""))


def _campaigns() -> None:
    op.create_table(
        "campaigns",
        sa.Column("operation_id", KEY, sa.ForeignKey("operations.operation_id"), primary_key=True),
        sa.Column("sessions", sa.Integer(), nullable=False),
        sa.Column("parallel", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
    )
    op.create_table(
        "campaign_sessions",
        sa.Column("campaign_id", KEY, sa.ForeignKey("campaigns.operation_id"), primary_key=True),
        sa.Column("number", sa.Integer(), primary_key=True),
        sa.Column("operation_id", KEY, sa.ForeignKey("operations.operation_id"), nullable=False, unique=True),
    )
    _add_columns()


def _add_columns() -> None:
    op.add_column("agent_sessions", sa.Column("tests_hypothesis", sa.Integer()))


def downgrade() -> None:
    raise NotImplementedError("ktrdr's schema only goes forward; restore a backup to go back")
