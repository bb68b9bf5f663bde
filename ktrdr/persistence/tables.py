"""The tables. Times are seconds since 1970 by the database's own clock."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    text,
)
from sqlalchemy import Text as LongText
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction

metadata = MetaData()
Json = JSON(none_as_null=True)
Key = String(120)


class db_now(GenericFunction[float]):
    """The database's clock, in seconds; never the process's."""

    type = Double()
    inherit_cache = True


@compiles(db_now, "sqlite")
def _sqlite_now(*_: Any, **__: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(db_now, "postgresql")
def _postgresql_now(*_: Any, **__: Any) -> str:
    return "CAST(extract(epoch FROM clock_timestamp()) AS double precision)"


class db_midnight(GenericFunction[float]):
    """When the day began, in UTC by the database's clock; in seconds."""

    type = Double()
    inherit_cache = True


@compiles(db_midnight, "sqlite")
def _sqlite_midnight(*_: Any, **__: Any) -> str:
    return "(julianday('now', 'start of day') - 2440587.5) * 86400.0"


@compiles(db_midnight, "postgresql")
def _postgresql_midnight(*_: Any, **__: Any) -> str:
    return "CAST(floor(extract(epoch FROM clock_timestamp()) / 86400) * 86400 AS double precision)"


class stored_bytes(GenericFunction[bytes]):
    """A column as the bytes it is stored in: what can't be decoded is still read, and judged later."""

    type = LargeBinary()
    inherit_cache = True


@compiles(stored_bytes, "sqlite")
def _sqlite_bytes(element: Any, compiler: Any, **options: Any) -> str:
    return f"CAST({compiler.process(element.clauses, **options)} AS BLOB)"


@compiles(stored_bytes, "postgresql")
def _postgresql_bytes(element: Any, compiler: Any, **options: Any) -> str:
    return f"convert_to(CAST({compiler.process(element.clauses, **options)} AS TEXT), 'UTF8')"


operations = Table(
    "operations",
    metadata,
    Column("operation_id", Key, primary_key=True),
    Column("operation_type", String(30), nullable=False),
    Column("status", String(12), nullable=False),
    Column("is_backend_local", Boolean, nullable=False),
    Column("parent_operation_id", Key),
    Column("request", Json, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("owner", Key),
    Column("executor_ref", String(255)),
    Column("lease_expires_at", Double),
    Column("heartbeat_at", Double),
    Column("cancel_requested_at", Double),
    Column("progress_percent", Double, nullable=False),
    Column("progress_message", LongText, nullable=False),
    Column("progress", Json),
    Column("result", Json),
    Column("error_code", String(60)),
    Column("error_message", LongText),
    Column("error_details", Json),
    Column("num_cpus", Integer, nullable=False, server_default="1"),
    Column("num_gpus", Double, nullable=False, server_default="0"),
    Column("revision", Integer, nullable=False, server_default="0"),
    Column("created_at", Double, nullable=False),
    Column("queued_at", Double, nullable=False, server_default="0"),
    Column("started_at", Double),
    Column("completed_at", Double),
    Column("updated_at", Double, nullable=False),
    Index("ix_operations_parent", "parent_operation_id"),
    Index("ix_operations_created", "created_at"),
)
# What the loops scan again and again stays small however many operations have ended.
for _status in ("PENDING", "RUNNING"):
    _where = text(f"status = '{_status}'")
    Index(
        f"ix_operations_{_status.lower()}",
        operations.c.is_backend_local,
        operations.c.lease_expires_at,
        sqlite_where=_where,
        postgresql_where=_where,
    )

# What happened to an operation, in order: one row a status or phase, never one a heartbeat.
events = Table(
    "operation_events",
    metadata,
    Column("operation_id", Key, ForeignKey("operations.operation_id"), primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("status", String(12), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("progress_percent", Double, nullable=False),
    Column("progress_message", LongText, nullable=False),
    Column("error_code", String(60)),
    Column("error_message", LongText),
    Column("created_at", Double, nullable=False),
)

checkpoints = Table(
    "operation_checkpoints",
    metadata,
    Column("operation_id", Key, ForeignKey("operations.operation_id"), primary_key=True),
    Column("sequence", Integer, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("checkpoint_type", String(20), nullable=False),
    Column("schema_version", Integer, nullable=False),
    Column("state", Json, nullable=False),
    Column("state_sha256", String(64), nullable=False),
    Column("artifacts", Json),
    Column("artifacts_path", String(255)),
    Column("fingerprint", Json, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("seal", Json),
)

sessions = Table(
    "agent_sessions",
    metadata,
    Column("session_id", Integer, primary_key=True, autoincrement=True),
    Column("operation_id", Key, ForeignKey("operations.operation_id"), nullable=False, unique=True),
    Column("trigger_reason", String(40), nullable=False),
    Column("seed", Integer, nullable=False),
    Column("dataset", Key, nullable=False),
    Column("phase", String(20), nullable=False),
    Column("brief", LongText, nullable=False),
    Column("strategy_config", Json),
    Column("research_notes", LongText),
    Column("training_operation_id", Key),
    Column("training_result", Json),
    Column("backtest_operation_id", Key),
    Column("backtest_result", Json),
    Column("holdout_operation_id", Key),
    Column("holdout_opening", Json),
    Column("gates", Json, nullable=False),
    Column("assessment", Json),
    Column("result_fingerprint", String(64)),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    Column("tests_hypothesis", Integer),
    sqlite_autoincrement=True,
)

trials = Table(
    "trials",
    metadata,
    Column("trial_id", Integer, primary_key=True, autoincrement=True),
    Column("operation_id", Key, nullable=False, unique=True),
    Column("dataset", Key, nullable=False),
    Column("strategy_config", Json, nullable=False),
    Column("training_metrics", Json),
    Column("validation_metrics", Json),
    Column("verdict", String(20), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("segment", String(20), nullable=False, server_default="validation"),
    Column("brief", LongText, nullable=False, server_default=""),
    Column("lesson", LongText, nullable=False, server_default=""),
)

holdout_openings = Table(
    "holdout_openings",
    metadata,
    Column("opening_id", Integer, primary_key=True, autoincrement=True),
    Column("segment_key", String(64), nullable=False),
    Column("opening", Integer, nullable=False),
    Column("operation_id", Key, nullable=False, unique=True),
    Column("strategy_sha256", String(64), nullable=False),
    Column("level", Double, nullable=False),
    Column("created_at", Double, nullable=False),
    UniqueConstraint("segment_key", "opening"),
)

instances = Table(
    "backend_instances",
    metadata,
    Column("instance", Key, primary_key=True),
    Column("holder", String(255), nullable=False),
    Column("lease_expires_at", Double, nullable=False),
)

# What a backend found when it started: one row a start.
starts = Table(
    "backend_starts",
    metadata,
    Column("start_id", Integer, primary_key=True, autoincrement=True),
    Column("instance", Key, nullable=False),
    Column("holder", String(255), nullable=False),
    Column("failed_with_checkpoint", Integer, nullable=False),
    Column("failed_without_checkpoint", Integer, nullable=False),
    Column("left_running", Integer, nullable=False),
    Column("resubmitted", Integer, nullable=False),
    Column("resumable", Integer, nullable=False),
    Column("seconds", Double, nullable=False),
    Column("created_at", Double, nullable=False),
    sqlite_autoincrement=True,
)

# What a resume went on from, and what had ended the attempt before it: one row a resume.
resumes = Table(
    "operation_resumes",
    metadata,
    Column("resume_id", Integer, primary_key=True, autoincrement=True),
    Column("operation_id", Key, ForeignKey("operations.operation_id"), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("automatic", Boolean, nullable=False),
    Column("forced", Boolean, nullable=False),
    Column("difference", Json),
    Column("checkpoint_sequence", Integer, nullable=False),
    Column("position", Json, nullable=False),
    Column("error_code", String(60)),
    Column("error_message", LongText),
    Column("created_at", Double, nullable=False),
    Column("ended_at", Double),
    Index("ix_operation_resumes_operation", "operation_id"),
    sqlite_autoincrement=True,
)

# Which finished phase of which session another session began from.
forks = Table(
    "session_forks",
    metadata,
    Column("session_id", Integer, ForeignKey("agent_sessions.session_id"), primary_key=True),
    Column("forked_from", Integer, ForeignKey("agent_sessions.session_id"), nullable=False),
    Column("phase", String(20), nullable=False),
    Column("changes", Json, nullable=False),
    Column("created_at", Double, nullable=False),
)

# Every request to a language model: reserved at its worst cost, then what it came to.
llm_calls = Table(
    "llm_calls",
    metadata,
    Column("call_id", Integer, primary_key=True, autoincrement=True),
    Column("operation_id", Key, ForeignKey("operations.operation_id"), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("purpose", String(20), nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("try", Integer, nullable=False),
    Column("request_sha256", String(64), nullable=False),
    Column("model", String(120), nullable=False),
    Column("status", String(12), nullable=False),
    Column("worst_usd", Double, nullable=False),
    Column("cost_usd", Double),
    Column("input_tokens", Integer),
    Column("output_tokens", Integer),
    Column("response", Json),
    Column("error_message", LongText),
    Column("reserved_at", Double, nullable=False),
    Column("ended_at", Double),
    UniqueConstraint("operation_id", "purpose", "sequence", "try"),
    Index("ix_llm_calls_reserved", "reserved_at"),
    sqlite_autoincrement=True,
)

# What may be spent: `day`, `session:<operation id>` or `campaign:<operation id>`.
budgets = Table(
    "budgets",
    metadata,
    Column("scope", String(140), primary_key=True),
    Column("limit_usd", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
)

# What a session's assessor thought worth testing next.
hypotheses = Table(
    "hypotheses",
    metadata,
    Column("hypothesis_id", Integer, primary_key=True, autoincrement=True),
    Column("operation_id", Key, ForeignKey("operations.operation_id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("statement", LongText, nullable=False),
    Column("status", String(12), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    UniqueConstraint("operation_id", "number"),
    sqlite_autoincrement=True,
)

# A series of sessions, itself an operation.
campaigns = Table(
    "campaigns",
    metadata,
    Column("operation_id", Key, ForeignKey("operations.operation_id"), primary_key=True),
    Column("sessions", Integer, nullable=False),
    Column("parallel", Integer, nullable=False),
    Column("created_at", Double, nullable=False),
)

campaign_sessions = Table(
    "campaign_sessions",
    metadata,
    Column("campaign_id", Key, ForeignKey("campaigns.operation_id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("operation_id", Key, ForeignKey("operations.operation_id"), nullable=False, unique=True),
)
