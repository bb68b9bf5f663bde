"""What goes over the wire about cleanups and what is kept."""

from __future__ import annotations

from pydantic import Field

from ktrdr.api.schemas import Wire, example, iso
from ktrdr.api.services.retention_service import Cleanup, Statistics, Usage


class CleanUpRequest(Wire):
    model_config = example({"older_than_days": 30, "dry_run": True})
    older_than_days: float | None = Field(
        None, ge=0, le=36_500, description="KTRDR_CHECKPOINT_DAYS when left out"
    )
    dry_run: bool = Field(False, description="say what would go, and delete nothing")


class CleanUpData(Wire):
    """`deleted`: operations whose checkpoint went; `orphans`: folders that no row pointed at."""

    at: str
    older_than_days: float
    dry_run: bool
    deleted: list[str]
    orphans: list[str]
    freed_bytes: int
    more: bool = Field(description="a sweep is bounded: another one would find more")

    @classmethod
    def of(cls, done: Cleanup) -> CleanUpData:
        return cls(
            at=iso(done.at) or "",
            older_than_days=done.older_than_days,
            dry_run=done.dry_run,
            deleted=[*done.deleted],
            orphans=[*done.orphans],
            freed_bytes=done.freed_bytes,
            more=done.more,
        )


class UsageData(Wire):
    folders: int
    bytes: int

    @classmethod
    def of(cls, usage: Usage) -> UsageData:
        return cls(folders=usage.folders, bytes=usage.bytes)


class StatisticsData(Wire):
    checkpoints: int
    resumable: int
    by_operation_type: dict[str, int]
    oldest: str | None
    expired: int = Field(description="sessions, trainings and backtests the next sweep takes; at most 500")
    checkpoint_files: UsageData
    result_files: UsageData = Field(description="models and reports; a cleanup never takes them")
    orphaned_files: UsageData
    other_files: UsageData = Field(description="in the writing, or of operations this database does not know")
    checkpoint_days: float
    orphan_hours: float
    last_cleanup: CleanUpData | None = Field(description="since this backend started")

    @classmethod
    def of(cls, found: Statistics) -> StatisticsData:
        last = found.last_cleanup
        return cls(
            checkpoints=found.kept.count,
            resumable=found.kept.resumable,
            by_operation_type=found.kept.by_type,
            oldest=iso(found.kept.oldest),
            expired=found.expired,
            checkpoint_files=UsageData.of(found.checkpoints),
            result_files=UsageData.of(found.results),
            orphaned_files=UsageData.of(found.orphaned),
            other_files=UsageData.of(found.other),
            checkpoint_days=found.checkpoint_days,
            orphan_hours=found.orphan_hours,
            last_cleanup=None if last is None else CleanUpData.of(last),
        )
