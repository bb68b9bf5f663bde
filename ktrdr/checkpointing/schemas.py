"""What checkpoints hold: versioned, typed states and the record they are stored in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import Any, Self

from ktrdr.domain.errors import CheckpointCorrupted
from ktrdr.domain.sessions import Phase, TriggerReason

SCHEMA_VERSION = 4  # `upcasting` says what each version was


class CheckpointType(StrEnum):
    PHASE_TRANSITION = "phase_transition"
    PERIODIC = "periodic"
    CANCELLATION = "cancellation"
    FAILURE = "failure"
    SHUTDOWN = "shutdown"
    UNREADABLE = "unreadable"  # never saved: how a row is shown whose own word is damaged


@dataclass(frozen=True)
class FileRecord:
    """One file of a generation as it was written."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class Manifest:
    """A generation of files: where it is beneath the artifacts root, and what is in it."""

    path: str
    files: Mapping[str, FileRecord]

    def to_json(self) -> dict[str, Any]:
        return {"path": self.path, "files": {name: asdict(record) for name, record in self.files.items()}}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Manifest:
        return cls(value["path"], {name: FileRecord(**record) for name, record in value["files"].items()})


@dataclass(frozen=True)
class StoredCheckpoint:
    """One row of `operation_checkpoints`, as read; `integrity.verify` says whether it is what was saved."""

    operation_id: str
    sequence: int
    attempt: int
    checkpoint_type: CheckpointType
    schema_version: int
    state: Mapping[str, Any]
    state_sha256: str
    artifacts: Manifest | None
    fingerprint: Mapping[str, Any]
    created_at: float
    seal: Mapping[str, Any] | None = None  # None: written before there were seals, or itself damaged
    unreadable: tuple[str, ...] = ()  # parts that are stored, but not in a form that was ever saved


@dataclass(frozen=True)
class _State:
    """JSON in and out for a flat state; unknown or missing keys are corruption, not defaults."""

    def to_json(self) -> dict[str, Any]:
        carried = {one.name: getattr(self, one.name) for one in fields(self)}
        return {**carried, "schema_version": SCHEMA_VERSION}

    @classmethod
    def _checked(cls, value: Mapping[str, Any]) -> dict[str, Any]:
        carried = dict(value)
        version = carried.pop("schema_version", None)
        if version != SCHEMA_VERSION:
            raise CheckpointCorrupted(
                f"The checkpoint has schema version {version}; this ktrdr reads {SCHEMA_VERSION}. "
                "Resume it with the ktrdr that wrote it.",
                {"schema_version": version},
            )
        names = {one.name for one in fields(cls)}
        if carried.keys() != names:
            raise CheckpointCorrupted(
                f"The checkpoint's state is not a {cls.__name__}: "
                f"missing {sorted(names - carried.keys())}, unknown {sorted(carried.keys() - names)}."
            )
        return carried


@dataclass(frozen=True)
class AgentCheckpointState(_State):
    """All that a research session needs to go on in its phase."""

    session_id: int
    operation_id: str
    trigger_reason: TriggerReason
    seed: int
    dataset: str
    phase: Phase
    brief: str
    strategy_config: Mapping[str, Any] | None
    research_notes: str | None
    tests_hypothesis: int | None
    training_operation_id: str | None
    training_result: Mapping[str, Any] | None
    backtest_operation_id: str | None
    backtest_result: Mapping[str, Any] | None
    holdout_operation_id: str | None
    holdout_opening: Mapping[str, Any] | None
    gates: tuple[Mapping[str, Any], ...]
    assessment: Mapping[str, Any] | None
    result_fingerprint: str | None
    training_checkpoint_epoch: int | None = None
    spend: Mapping[str, float] = field(default_factory=lambda: {"usd": 0.0})

    def to_json(self) -> dict[str, Any]:
        return {**super().to_json(), "gates": [dict(gate) for gate in self.gates]}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        carried = cls._checked(value)
        try:
            carried["phase"] = Phase(carried["phase"])
            carried["trigger_reason"] = TriggerReason(carried["trigger_reason"])
        except ValueError as wrong:
            raise CheckpointCorrupted(f"The checkpoint's state is not readable: {wrong}.") from wrong
        carried["gates"] = tuple(carried["gates"])
        return cls(**carried)


@dataclass(frozen=True)
class TrainingCheckpointState(_State):
    """Where a training stands; the tensors and the loop's own state are its files."""

    epoch: int
    total_epochs: int

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        return cls(**cls._checked(value))


@dataclass(frozen=True)
class BacktestCheckpointState(_State):
    """Where a backtest stands; the simulation's whole state is its file."""

    bar: int
    first: int
    last: int

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        return cls(**cls._checked(value))


@dataclass(frozen=True)
class CampaignCheckpointState(_State):
    """Where a campaign stands: so many sessions have begun, and the numbers of those that have ended.

    One that has begun and not ended is taken up by a resume. What the sessions found is in their rows.
    """

    operation_id: str
    sessions: int
    parallel: int
    begun: int
    ended: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        return {**super().to_json(), "ended": list(self.ended)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        carried = cls._checked(value)
        carried["ended"] = tuple(carried["ended"])
        return cls(**carried)
