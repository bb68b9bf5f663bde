"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

KEY = sa.String(120)


def _json(name: str, *, required: bool = False) -> "sa.Column[object]":
    return sa.Column(name, sa.JSON(none_as_null=True), nullable=not required)


def _number(name: str, *, required: bool = False) -> "sa.Column[float]":
    return sa.Column(name, sa.Double(), nullable=not required)


def _text(name: str, length: int, *, required: bool = False) -> "sa.Column[str]":
    return sa.Column(name, sa.String(length), nullable=not required)


def _operations() -> None:
    op.create_table(
        "operations",
        sa.Column("operation_id", KEY, primary_key=True),
        _text("operation_type", 30, required=True),
        _text("status", 12, required=True),
        sa.Column("is_backend_local", sa.Boolean(), nullable=False),
        sa.Column("parent_operation_id", KEY),
        _json("request", required=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("owner", KEY),
        _text("executor_ref", 255),
        _number("lease_expires_at"),
        _number("heartbeat_at"),
        _number("cancel_requested_at"),
        _number("progress_percent", required=True),
        sa.Column("progress_message", sa.Text(), nullable=False),
        _json("progress"),
        _json("result"),
        _text("error_code", 60),
        sa.Column("error_message", sa.Text()),
        _number("created_at", required=True),
        _number("started_at"),
        _number("completed_at"),
        _number("updated_at", required=True),
    )
    op.create_index("ix_operations_parent", "operations", ["parent_operation_id"])
    op.create_index("ix_operations_created", "operations", ["created_at"])
    for status in ("PENDING", "RUNNING"):
        where = sa.text(f"status = '{status}'")
        op.create_index(
            f"ix_operations_{status.lower()}",
            "operations",
            ["is_backend_local", "lease_expires_at"],
            sqlite_where=where,
            postgresql_where=where,
        )


def _checkpoints() -> None:
    op.create_table(
        "operation_checkpoints",
        sa.Column("operation_id", KEY, sa.ForeignKey("operations.operation_id"), primary_key=True),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        _text("checkpoint_type", 20, required=True),
        sa.Column("schema_version", sa.Integer(), nullable=False),
        _json("state", required=True),
        _text("state_sha256", 64, required=True),
        _json("artifacts"),
        _text("artifacts_path", 255),
        _json("fingerprint", required=True),
        _number("created_at", required=True),
    )


def _sessions() -> None:
    op.create_table(
        "agent_sessions",
        sa.Column("session_id", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("operation_id", KEY, sa.ForeignKey("operations.operation_id"), nullable=False, unique=True),
        _text("trigger_reason", 40, required=True),
        sa.Column("seed", sa.Integer(), nullable=False),
        sa.Column("dataset", KEY, nullable=False),
        _text("phase", 20, required=True),
        sa.Column("brief", sa.Text(), nullable=False),
        _json("strategy_config"),
        sa.Column("research_notes", sa.Text()),
        sa.Column("training_operation_id", KEY),
        _json("training_result"),
        sa.Column("backtest_operation_id", KEY),
        _json("backtest_result"),
        sa.Column("holdout_operation_id", KEY),
        _json("holdout_opening"),
        _json("gates", required=True),
        _json("assessment"),
        _text("result_fingerprint", 64),
        _number("created_at", required=True),
        _number("updated_at", required=True),
        sqlite_autoincrement=True,
    )


def upgrade() -> None:
    _operations()
    _checkpoints()
    _sessions()
    op.create_table(
        "trials",
        sa.Column("trial_id", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("operation_id", KEY, nullable=False, unique=True),
        sa.Column("dataset", KEY, nullable=False),
        _json("strategy_config", required=True),
        _json("training_metrics"),
        _json("validation_metrics"),
        _text("verdict", 20, required=True),
        _number("created_at", required=True),
    )
    op.create_table(
        "holdout_openings",
        sa.Column("opening_id", sa.Integer(), primary_key=True, autoincrement=True),
        _text("segment_key", 64, required=True),
        sa.Column("opening", sa.Integer(), nullable=False),
        sa.Column("operation_id", KEY, nullable=False, unique=True),
        _text("strategy_sha256", 64, required=True),
        _number("level", required=True),
        _number("created_at", required=True),
        sa.UniqueConstraint("segment_key", "opening"),
    )
    op.create_table(
        "backend_instances",
        sa.Column("instance", KEY, primary_key=True),
        _text("holder", 255, required=True),
        _number("lease_expires_at", required=True),
    )


def downgrade() -> None:
    raise NotImplementedError("ktrdr's schema only goes forward; restore a backup to go back")
