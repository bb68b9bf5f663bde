"""Resumes: how far a checkpoint had come, what ended the attempt before, and whether they get anywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ktrdr.domain.operations import RESUMABLE, Operation
from ktrdr.domain.sessions import Phase

STUCK_AFTER = 3  # so many resumes whose attempts ended in an error, none of them any further

_PHASES = [phase.value for phase in Phase]


@dataclass(frozen=True)
class Position:
    """How far a checkpoint is: epochs or bars that are done; of a session its phase, and its child's; of a
    campaign the number of its first session that has not ended, and how far that one is."""

    phase: str | None = None
    child: str | None = None  # whose result the phase waits for
    child_done: bool = False
    epoch: int | None = None
    bar: int | None = None
    session: int | None = None

    def is_beyond(self, other: Position) -> bool:
        """Whether something was gained between the other position and this one."""
        return self._order() > other._order()

    def to_json(self) -> dict[str, Any]:
        found = asdict(self)
        if self.session is None:
            del found["session"]
        return found

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Position:
        return cls(**value)

    def _order(self) -> tuple[int, ...]:
        phase = _PHASES.index(self.phase) if self.phase in _PHASES else -1
        return (
            self.session or 0,
            phase,
            self.child is not None,
            self.child_done,
            self.epoch or 0,
            self.bar or 0,
        )


@dataclass(frozen=True)
class Ending:
    """How an attempt ended, and when; no code means that somebody stopped it."""

    attempt: int
    code: str | None
    message: str | None
    at: float | None

    @classmethod
    def of(cls, operation: Operation) -> Ending:
        return cls(operation.attempt, operation.error_code, operation.error_message, operation.completed_at)


@dataclass(frozen=True)
class Resume:
    """One resume: from where it went on, who asked, and how the attempt before it had ended.

    `difference` is that of the fingerprints which a forced resume went on over.
    """

    operation_id: str
    ending: Ending
    position: Position
    checkpoint_sequence: int = 0  # 0: without a checkpoint, from the beginning
    automatic: bool = False
    forced: bool = False
    difference: Mapping[str, Any] | None = None
    created_at: float | None = None


@dataclass(frozen=True)
class Stuck:
    """An operation that was resumed again and again, and got no further."""

    endings: tuple[Ending, ...]

    @property
    def resumes(self) -> int:
        return len(self.endings)

    @property
    def message(self) -> str:
        return (
            f"It was resumed {self.resumes} times and got no further. Mend what the errors name before "
            "you resume it once more, or start it anew; KTRDR_AUTO_RESUME leaves it alone."
        )


def stuck(operation: Operation, resumes: Sequence[Resume], position: Position) -> Stuck | None:
    """Whether the latest resumes (oldest first) all ended in an error without getting any further.

    An attempt that still runs has not failed yet, and one that somebody stopped says nothing.
    """
    endings = [one.ending for one in resumes[1:]]
    if operation.status in RESUMABLE:
        endings.append(Ending.of(operation))
    failed: list[Ending] = []
    for resume, ending in reversed([*zip(resumes, endings, strict=False)]):
        if position.is_beyond(resume.position):
            break
        if ending.code is not None:
            failed.append(ending)
    return Stuck(tuple(reversed(failed))) if len(failed) >= STUCK_AFTER else None
