"""What goes over the wire. Numbers that are not finite become null."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Generic, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ktrdr.agents.agent_service import SessionView
from ktrdr.api.errors import as_error
from ktrdr.api.fork_schemas import Lineage
from ktrdr.api.services.checkpoints_service import CheckpointView
from ktrdr.api.services.operations_service import OperationView
from ktrdr.checkpointing.schemas import StoredCheckpoint
from ktrdr.domain.operations import (
    KEY_MAX_LENGTH,
    KEY_PATTERN,
    RESUMABLE,
    Operation,
    Progress,
    Resources,
)
from ktrdr.domain.resumes import Ending, Stuck
from ktrdr.domain.sessions import IDLE, Phase, TriggerReason

T = TypeVar("T")
STRATEGY_TEXT = "a file's text, YAML or JSON, instead of the mapping: errors then have lines"
DATASET_WHEN_LEFT_OUT = "the strategy's own when left out; without a strategy the built-in one"


class Wire(BaseModel):
    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="null")


def example(value: dict[str, Any]) -> ConfigDict:
    """A model's configuration with an example for the published schema."""
    return ConfigDict(extra="forbid", ser_json_inf_nan="null", json_schema_extra={"examples": [value]})


class Envelope(Wire, Generic[T]):
    success: Literal[True] = True
    data: T


def iso(seconds: float | None) -> str | None:
    """Database time as ISO 8601 in UTC."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()


class TriggerRequest(Wire):
    model_config = example({"trigger_reason": "start_new_cycle", "seed": 7})
    trigger_reason: TriggerReason
    seed: int | None = Field(None, ge=0, lt=2**31)
    dataset: str | None = Field(
        None, pattern=KEY_PATTERN, max_length=KEY_MAX_LENGTH, description=DATASET_WHEN_LEFT_OUT
    )
    strategy: dict[str, Any] | None = None
    strategy_text: str | None = Field(None, description=STRATEGY_TEXT)
    brief: str = Field("", max_length=4000)
    budget_usd: float | None = Field(
        None,
        ge=0.0,
        le=1e6,
        allow_inf_nan=False,
        description="what it may spend on language models; KTRDR_BUDGET_SESSION_USD when left out",
    )

    @model_validator(mode="after")
    def _not_both(self) -> Self:
        if self.strategy is not None and self.strategy_text is not None:
            raise ValueError("send either strategy or strategy_text")
        return self


class ErrorData(Wire):
    code: str
    message: str
    details: dict[str, Any]


class Failure(Wire):
    """What every refusal looks like."""

    model_config = example(
        {
            "success": False,
            "error": {
                "code": "OPERATION_NOT_RESUMABLE",
                "message": "Operation 'research_1f0c' is RUNNING: it goes on by itself. "
                "Only FAILED and CANCELLED operations can be resumed.",
                "details": {"status": "RUNNING"},
            },
        }
    )
    success: Literal[False] = False
    error: ErrorData


class Triggered(Wire):
    model_config = example({"operation_id": "research_1f0c", "session_id": 1})
    operation_id: str
    session_id: int


class ProgressData(Wire):
    percent: float
    message: str
    detail: dict[str, Any]

    @classmethod
    def of(cls, progress: Progress) -> ProgressData:
        return cls(percent=round(progress.percent, 2), message=progress.message, detail=dict(progress.detail))


class CheckpointSummary(Wire):
    """`epoch` of a training, `bar` of a backtest, `sessions` of a campaign: all count what is done."""

    checkpoint_type: str
    sequence: int
    phase: str | None
    epoch: int | None
    bar: int | None
    sessions: int | None
    created_at: str | None

    @classmethod
    def of(cls, stored: StoredCheckpoint) -> CheckpointSummary:
        state = stored.state  # not verified: a list is not to fail for one row that is damaged
        phase, bar, first = state.get("phase"), _count(state.get("bar")), _count(state.get("first"))
        ended = state.get("ended")
        return cls(
            checkpoint_type=stored.checkpoint_type.value,
            sequence=stored.sequence,
            phase=phase if phase in [*Phase] else None,
            epoch=_count(state.get("epoch", state.get("training_checkpoint_epoch"))),
            bar=None if bar is None or first is None else bar - first,
            sessions=len(ended) if isinstance(ended, list) else None,
            created_at=iso(stored.created_at),
        )


class ResourcesData(Wire):
    """CPUs are threads and slots on one machine; GPUs need a Ray cluster."""

    num_cpus: int = Field(1, ge=1, le=1024)
    num_gpus: float = Field(0.0, ge=0, le=1024, allow_inf_nan=False)

    def to_domain(self) -> Resources:
        return Resources(self.num_cpus, self.num_gpus)


class EndingData(Wire):
    """How an attempt ended."""

    attempt: int
    code: str | None
    message: str | None
    at: str | None

    @classmethod
    def of(cls, ending: Ending) -> EndingData:
        return cls(attempt=ending.attempt, code=ending.code, message=ending.message, at=iso(ending.at))


class StuckData(Wire):
    """An operation that was resumed again and again without getting any further, and what to do."""

    resumes: int
    errors: list[EndingData]
    message: str

    @classmethod
    def of(cls, stuck: Stuck | None) -> StuckData | None:
        if stuck is None:
            return None
        errors = [EndingData.of(one) for one in stuck.endings]
        return cls(resumes=stuck.resumes, errors=errors, message=stuck.message)


class OperationData(Wire):
    operation_id: str
    operation_type: str
    status: str
    is_backend_local: bool
    parent_operation_id: str | None
    attempt: int
    executor_ref: str | None
    resources: ResourcesData
    queue_position: int | None
    progress: ProgressData
    result: dict[str, Any] | None
    error_code: str | None
    error_message: str | None
    error_details: dict[str, Any] | None
    created_at: str | None
    started_at: str | None
    completed_at: str | None
    resumable: bool
    resumes: int
    stuck: StuckData | None
    checkpoint: CheckpointSummary | None

    @classmethod
    def of(cls, view: OperationView) -> OperationData:
        one = view.operation
        return cls(
            operation_id=one.operation_id,
            operation_type=one.operation_type.value,
            status=one.status.value,
            is_backend_local=one.is_backend_local,
            parent_operation_id=one.parent_operation_id,
            attempt=one.attempt,
            executor_ref=one.executor_ref,
            resources=ResourcesData(num_cpus=one.resources.num_cpus, num_gpus=one.resources.num_gpus),
            queue_position=view.queue_position,
            progress=ProgressData.of(one.progress),
            result=None if one.result is None else dict(one.result),
            error_code=one.error_code,
            error_message=one.error_message,
            error_details=_plain(one.error_details),
            created_at=iso(one.created_at),
            started_at=iso(one.started_at),
            completed_at=iso(one.completed_at),
            resumable=view.resumable,
            resumes=view.resumes,
            stuck=StuckData.of(view.stuck),
            checkpoint=None if view.checkpoint is None else CheckpointSummary.of(view.checkpoint),
        )


class Cancelled(Wire):
    model_config = example(
        {
            "operation_id": "research_1f0c",
            "status": "RUNNING",
            "resume_command": "ktrdr operations resume research_1f0c",
        }
    )
    operation_id: str
    status: str
    resume_command: str


class ChildData(Wire):
    operation_id: str
    operation_type: str
    status: str
    attempt: int
    error_message: str | None
    executor_ref: str | None
    queue_position: int | None
    progress: ProgressData

    @classmethod
    def of(cls, one: Operation, queue_position: int | None) -> ChildData:
        return cls(
            operation_id=one.operation_id,
            operation_type=one.operation_type.value,
            status=one.status.value,
            attempt=one.attempt,
            error_message=one.error_message,
            executor_ref=one.executor_ref,
            queue_position=queue_position,
            progress=ProgressData.of(one.progress),
        )


class StatusData(Wire):
    phase: str
    session_id: int | None = None
    operation_id: str | None = None
    status: str | None = None
    error_message: str | None = None
    progress: ProgressData | None = None
    children: list[ChildData] = []
    training_checkpoint_epoch: int | None = None
    spend: dict[str, float] = {"usd": 0.0}
    forked_from: Lineage | None = None
    forks: list[int] = []

    @classmethod
    def of(cls, view: SessionView | None) -> StatusData:
        if view is None:
            return cls(phase=IDLE)
        return cls(
            phase=view.session.phase.value,
            session_id=view.session.session_id,
            operation_id=view.session.operation_id,
            status=view.operation.status.value,
            error_message=view.operation.error_message,
            progress=ProgressData.of(view.operation.progress),
            children=[
                ChildData.of(child, view.queue_positions.get(child.operation_id)) for child in view.children
            ],
            training_checkpoint_epoch=view.training_checkpoint_epoch,
            spend={"usd": view.spent_usd},
            forked_from=Lineage.of(view.origin),
            forks=list(view.forks),
        )


class SessionData(StatusData):
    trigger_reason: str
    seed: int
    dataset: str
    brief: str
    strategy_config: dict[str, Any] | None
    research_notes: str | None
    tests_hypothesis: int | None
    training_operation_id: str | None
    training_result: dict[str, Any] | None
    backtest_operation_id: str | None
    backtest_result: dict[str, Any] | None
    holdout_operation_id: str | None
    holdout_result: dict[str, Any] | None
    gates: list[dict[str, Any]]
    assessment: dict[str, Any] | None
    result_fingerprint: str | None

    @classmethod
    def full(cls, view: SessionView) -> SessionData:
        session = view.session
        exam = next((c.result for c in view.children if c.operation_id == session.holdout_operation_id), None)
        return cls(
            **StatusData.of(view).model_dump(by_alias=True),
            trigger_reason=session.trigger_reason.value,
            seed=session.seed,
            dataset=session.dataset,
            brief=session.brief,
            strategy_config=_plain(session.strategy_config),
            research_notes=session.research_notes,
            tests_hypothesis=session.tests_hypothesis,
            training_operation_id=session.training_operation_id,
            training_result=_plain(session.training_result),
            backtest_operation_id=session.backtest_operation_id,
            backtest_result=_plain(session.backtest_result),
            holdout_operation_id=session.holdout_operation_id,
            holdout_result=_plain(exam),
            gates=[dict(gate) for gate in session.gates],
            assessment=_plain(session.assessment),
            result_fingerprint=session.result_fingerprint,
        )


class ArtifactData(Wire):
    """One file of a checkpoint."""

    sha256: str
    bytes: int


class CheckpointData(CheckpointSummary):
    operation_id: str
    operation_status: str
    resumable: bool
    integrity: str
    fault: dict[str, Any] | None  # code, message and details, as an error has them
    artifacts: dict[str, ArtifactData]
    state: dict[str, Any] | None

    @classmethod
    def full(cls, view: CheckpointView, *, with_state: bool) -> CheckpointData:
        written = view.checkpoint.artifacts
        return cls(
            **CheckpointSummary.of(view.checkpoint).model_dump(),
            operation_id=view.checkpoint.operation_id,
            operation_status=view.operation.status.value,
            resumable=view.operation.status in RESUMABLE and view.fault is None,
            integrity="intact" if view.fault is None else view.fault.message,
            fault=None if view.fault is None else as_error(view.fault),
            artifacts={
                name: ArtifactData(sha256=one.sha256, bytes=one.bytes)
                for name, one in (() if written is None else written.files.items())
            },
            state=dict(view.checkpoint.state) if with_state else None,
        )


class Deleted(Wire):
    deleted: list[str]


def _plain(value: Any) -> dict[str, Any] | None:
    return None if value is None else dict(value)


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) else None
