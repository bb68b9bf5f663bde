"""What a script sees of a request, and what it may answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Turn:
    """One message: who said it, its text, and the tools that were called or have answered."""

    role: str  # user, assistant or tool
    text: str = ""
    calls: tuple[tuple[str, Mapping[str, Any]], ...] = ()


@dataclass(frozen=True)
class Asked:
    """A request in one form for all protocols."""

    protocol: str
    model: str
    system: str
    turns: tuple[Turn, ...]
    tools: Mapping[str, Mapping[str, Any]]
    max_tokens: int
    body: Mapping[str, Any] = field(repr=False)

    @property
    def answers(self) -> int:
        """How many times the model has answered in this conversation: what a script goes by, so that the
        same request gets the same answer however often it comes."""
        return sum(turn.role == "assistant" for turn in self.turns)


@dataclass(frozen=True)
class Say:
    """Text."""

    text: str
    delay: float = 0.0
    output_tokens: int | None = None


@dataclass(frozen=True)
class Call:
    """Tools to call, with their arguments."""

    calls: tuple[tuple[str, Mapping[str, Any]], ...]
    delay: float = 0.0
    output_tokens: int | None = None

    @classmethod
    def one(cls, tool: str, delay: float = 0.0, **arguments: Any) -> Call:
        return cls(((tool, arguments),), delay)


@dataclass(frozen=True)
class Refuse:
    """An error of the provider's. Nothing is counted as used."""

    status: int
    retry_after: float | None = None
    message: str = "the script says no"
    kind: str = "api_error"


@dataclass(frozen=True)
class Drop:
    """The connection is closed after the request was read: used, and never answered."""


Reply = Say | Call | Refuse | Drop
Script = Callable[[Asked], Reply]


@dataclass(frozen=True)
class Served:
    """One request that came, and what it used."""

    asked: Asked
    headers: Mapping[str, str] = field(repr=False)
    status: int  # 0: it was never answered
    input_tokens: int
    output_tokens: int
    arrived_at: float  # by the clock of this machine

    @property
    def paid(self) -> bool:
        return self.output_tokens > 0
