"""Resumes over the wire: what one would do, what one did, and those there were."""

from __future__ import annotations

from typing import Any

from ktrdr.agents.resume_plan import ChildPlan
from ktrdr.api.errors import as_error
from ktrdr.api.schemas import CheckpointSummary, EndingData, ErrorData, StuckData, Wire, example, iso
from ktrdr.api.services.resumes_service import Preview
from ktrdr.api.services.resumes_service import Resumed as Done
from ktrdr.domain.operations import Status
from ktrdr.domain.resumes import Resume

_CHECKPOINT = {
    "checkpoint_type": "phase_transition",
    "sequence": 2,
    "phase": "TRAINING",
    "epoch": 384,
    "bar": None,
    "created_at": "2026-11-24T09:00:00+00:00",
}


class Resumed(Wire):
    """`forced_over` is what differs from what the checkpoint was made from; it is recorded."""

    model_config = example(
        {
            "operation_id": "research_1f0c",
            "status": "PENDING",
            "resumed_from": _CHECKPOINT,
            "forced_over": None,
            "stuck": None,
        }
    )
    operation_id: str
    status: str
    resumed_from: CheckpointSummary
    forced_over: dict[str, Any] | None
    stuck: StuckData | None

    @classmethod
    def of(cls, done: Done) -> Resumed:
        return cls(
            operation_id=done.operation.operation_id,
            status=Status.PENDING.value,
            resumed_from=CheckpointSummary.of(done.checkpoint),
            forced_over=None if done.difference is None else dict(done.difference),
            stuck=StuckData.of(done.stuck),
        )


class ReusedData(Wire):
    part: str
    what: str


class ChildPlanData(Wire):
    """`action`: attach, take_result, resume (at its checkpoint) or start (from its beginning)."""

    operation_id: str
    status: str
    action: str
    what: str

    @classmethod
    def of(cls, plan: ChildPlan) -> ChildPlanData:
        return cls(
            operation_id=plan.operation_id,
            status=plan.status.value,
            action=plan.action.value,
            what=plan.what,
        )


class ResumePreview(Wire):
    """What a resume would reuse and do anew; `obstacle` says why it can't be done, and what to do instead."""

    model_config = example(
        {
            "operation_id": "research_1f0c",
            "status": "FAILED",
            "can_resume": True,
            "resumed_from": _CHECKPOINT,
            "checkpoint_age_seconds": 120.0,
            "reused": [{"part": "design", "what": "strategy 'calm'"}],
            "children": [
                {
                    "operation_id": "research_1f0c.training",
                    "status": "FAILED",
                    "action": "resume",
                    "what": "the training goes on after epoch 384 of 1,600",
                }
            ],
            "redone": ["epoch 385 of 1,600, from its beginning"],
            "forced_over": None,
            "stuck": None,
            "obstacle": None,
        }
    )
    operation_id: str
    status: str
    can_resume: bool
    resumed_from: CheckpointSummary | None
    checkpoint_age_seconds: float | None
    reused: list[ReusedData]
    children: list[ChildPlanData]
    redone: list[str]
    forced_over: dict[str, Any] | None
    stuck: StuckData | None
    obstacle: ErrorData | None

    @classmethod
    def of(cls, preview: Preview) -> ResumePreview:
        stored, plan, obstacle = preview.checkpoint, preview.plan, preview.obstacle
        over = preview.difference if obstacle is None else None
        return cls(
            operation_id=preview.operation.operation_id,
            status=preview.operation.status.value,
            can_resume=obstacle is None,
            resumed_from=None if stored is None else CheckpointSummary.of(stored),
            checkpoint_age_seconds=None if stored is None else max(0.0, preview.now - stored.created_at),
            reused=[ReusedData(part=one.part, what=one.what) for one in (plan.reused if plan else ())],
            children=[ChildPlanData.of(plan.child)] if plan and plan.child else [],
            redone=[*plan.redone] if plan else [],
            forced_over=None if over is None else dict(over),
            stuck=StuckData.of(preview.stuck),
            obstacle=None if obstacle is None else ErrorData(**as_error(obstacle)),
        )


class ResumeData(Wire):
    """One resume: how the attempt before it ended, and from where it went on."""

    ended: EndingData
    resumed_at: str | None
    automatic: bool
    forced: bool
    forced_over: dict[str, Any] | None
    checkpoint_sequence: int
    position: dict[str, Any]

    @classmethod
    def of(cls, one: Resume) -> ResumeData:
        return cls(
            ended=EndingData.of(one.ending),
            resumed_at=iso(one.created_at),
            automatic=one.automatic,
            forced=one.forced,
            forced_over=None if one.difference is None else dict(one.difference),
            checkpoint_sequence=one.checkpoint_sequence,
            position=one.position.to_json(),
        )
