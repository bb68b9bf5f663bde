"""Forks over the wire: what is asked for, and where a session comes from."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ktrdr.domain.sessions import AgentSession, Phase
from ktrdr.persistence.forks import RecordedFork

STRICT: ConfigDict = {"extra": "forbid", "ser_json_inf_nan": "null"}
ForkablePhase = Literal["DESIGNING", "TRAINING", "BACKTESTING", "ASSESSING"]


class ForkRequest(BaseModel):
    """The phase that the new session begins with, and what it changes by dotted names: `seed`, `brief` and
    `strategy.<path>`, where null takes a value out."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"from_phase": "TRAINING", "set": {"strategy.training.epochs": 200}}]
        },
    )
    from_phase: ForkablePhase
    settings: dict[str, Any] = Field(default={}, alias="set", max_length=100)

    @property
    def phase(self) -> Phase:
        return Phase(self.from_phase)


class Change(BaseModel):
    """A setting before and after; null: it was not there, or is no longer."""

    model_config = STRICT
    before: Any = Field(alias="from")
    after: Any = Field(alias="to")


class Lineage(BaseModel):
    """The session whose finished phases another took over, the phase it began with, and what it changed."""

    model_config = STRICT
    session_id: int
    phase: str
    changes: dict[str, Change]

    @classmethod
    def of(cls, fork: RecordedFork | None) -> Lineage | None:
        if fork is None:
            return None
        changes = {name: Change(**one) for name, one in fork.changes.items()}
        return cls(session_id=fork.forked_from, phase=fork.phase.value, changes=changes)


class Forked(BaseModel):
    model_config = STRICT
    operation_id: str
    session_id: int
    phase: str
    forked_from: Lineage | None

    @classmethod
    def of(cls, session: AgentSession, fork: RecordedFork) -> Forked:
        return cls(
            operation_id=session.operation_id,
            session_id=session.session_id,
            phase=session.phase.value,
            forked_from=Lineage.of(fork),
        )
