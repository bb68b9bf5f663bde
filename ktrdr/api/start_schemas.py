"""What a start of a backend found, over the wire."""

from __future__ import annotations

from ktrdr.api.schemas import Wire, example, iso
from ktrdr.persistence.starts import Start


class StartData(Wire):
    """Operations, counted; `summary` says the same in a sentence."""

    model_config = example(
        {
            "instance": "default",
            "started_at": "2026-11-30T12:03:04+00:00",
            "seconds": 0.4,
            "failed_with_checkpoint": 1,
            "failed_without_checkpoint": 0,
            "left_running": 1,
            "resubmitted": 0,
            "resumable": 3,
            "summary": "Started in 0.4 s: 1 marked FAILED (1 with a checkpoint), 1 left running, "
            "0 re-submitted, 3 can be resumed",
        }
    )
    instance: str
    started_at: str | None
    seconds: float
    failed_with_checkpoint: int
    failed_without_checkpoint: int
    left_running: int
    resubmitted: int
    resumable: int
    summary: str

    @classmethod
    def of(cls, start: Start) -> StartData:
        return cls(
            instance=start.instance,
            started_at=iso(start.created_at),
            seconds=start.seconds,
            failed_with_checkpoint=start.failed_with_checkpoint,
            failed_without_checkpoint=start.failed_without_checkpoint,
            left_running=start.left_running,
            resubmitted=start.resubmitted,
            resumable=start.resumable,
            summary=start.summary,
        )
