"""What went wrong with a call: whether it was paid for, and whether waiting helps."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic_ai import exceptions

REFUSED, UNAVAILABLE = "LLM_REFUSED", "LLM_UNAVAILABLE"
SHOWN_CHARACTERS = 500
# A gateway answers so when the answer behind it got lost: that one may have been paid for.
LOST_BEHIND_A_GATEWAY = frozenset({408, 499, 502, 504})
HOPELESS = (
    exceptions.ModelRequestRejectedError,
    exceptions.ModelQuotaExceededError,
    exceptions.ContentFilterError,
    exceptions.UserError,
)


@dataclass(frozen=True)
class Failure:
    """`lost`: it may have been paid for. `final`: the same request would fail again."""

    message: str
    lost: bool
    final: bool
    retry_after: float | None = None

    @property
    def code(self) -> str:
        return REFUSED if self.final else UNAVAILABLE


def failure_of(error: exceptions.AgentRunError | exceptions.UserError) -> Failure:
    """A failure that one of the providers' libraries raised, in our words."""
    final = isinstance(error, HOPELESS) or _is_other_refusal(error)
    retry_after = error.retry_after if isinstance(error, exceptions.ModelAPIError) else None
    return Failure(_said(error), _may_be_paid(error), final, retry_after)


def _may_be_paid(error: Exception) -> bool:
    if isinstance(error, exceptions.ModelHTTPError):
        return error.in_stream or error.status_code in LOST_BEHIND_A_GATEWAY
    if isinstance(error, exceptions.ModelConnectionError):
        return error.phase not in ("pool", "connect")
    if isinstance(error, exceptions.UserError):
        return False  # it was never sent
    return not isinstance(error, exceptions.ModelRequestRejectedError)


def _is_other_refusal(error: Exception) -> bool:
    """A 4xx that no category has; a conflict and a rate limit pass."""
    if not isinstance(error, exceptions.ModelHTTPError):
        return False
    return 400 <= error.status_code < 500 and error.status_code not in (408, 409, 425, 429, 499)


def _said(error: Exception) -> str:
    """The provider's own sentence where it gave one; a body may be a page long."""
    text = str(error)
    if isinstance(error, exceptions.ModelHTTPError):
        text = f"HTTP {error.status_code}: {_sentence(error.body) or type(error).__name__}"
    shown = "".join(one if one.isprintable() else " " for one in text)
    return " ".join(shown.split())[:SHOWN_CHARACTERS] or type(error).__name__


def _sentence(body: object) -> str | None:
    if isinstance(body, str):
        return body
    if not isinstance(body, dict):
        return None
    inner = body.get("error")
    if isinstance(inner, dict | str):
        return _sentence(inner)
    found = body.get("message")
    return found if isinstance(found, str) else None
