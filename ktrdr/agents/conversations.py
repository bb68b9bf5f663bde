"""One conversation with a language model: bounded, interruptible, and typed at its end.

Imported only where there is a model: pydantic-ai comes with the extra `llm`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel
from pydantic_ai import Agent, Tool, ToolOutput
from pydantic_ai.exceptions import UnexpectedModelBehavior, UsageLimitExceeded
from pydantic_ai.usage import UsageLimits

from ktrdr.agents.workbench import Interrupted, Workbench
from ktrdr.domain.errors import DatabaseUnavailable, StepFailed
from ktrdr.domain.texts import first_words, printable

MAX_REQUESTS = 20
MAX_RETRIES = 3  # how often an answer that can't be used is returned to the model
WATCH_SECONDS = 0.5
GRACE_SECONDS = 10.0  # what an answer on its way is given, so that it need not be paid for again
SHOWN = 1000

Answer = TypeVar("Answer", bound=BaseModel)


class Complaints:
    """Why the model's last answer could not be used, for whoever reads that it gave up."""

    def __init__(self) -> None:
        self.last = ""


async def converse(
    bench: Workbench,
    purpose: str,
    *,
    answer: type[Answer],
    instructions: str,
    question: str,
    failure: str,
    tools: Sequence[Callable[..., Any]] = (),
    check: Callable[[Answer], Any] | None = None,
    complaints: Complaints | None = None,
) -> Answer:
    """The model's answer. `check` may raise ModelRetry: the model is told why, MAX_RETRIES times at most.

    Raises StepFailed under the code `failure` when the model finds no answer within its bounds, with the
    provider's own code when it can't be asked, and Interrupted when the session should not go on.
    """
    assert bench.llm is not None
    agent = Agent(
        bench.llm.for_call(bench.operation, purpose),
        output_type=ToolOutput(answer, name="final_result", max_retries=MAX_RETRIES),
        instructions=instructions,
        tools=[Tool(one, sequential=True) for one in tools],
        retries={"tools": MAX_RETRIES, "output": MAX_RETRIES},
        name=purpose,
    )
    if check is not None:
        agent.output_validator(check)
    talk = asyncio.create_task(
        _talk(bench, agent, question), name=f"{purpose} {bench.operation.operation_id}"
    )
    try:
        found: Answer = await _watched(bench, talk)
        return found
    except UsageLimitExceeded as limit:
        raise StepFailed(failure, _gave_up(f"after {MAX_REQUESTS} requests", complaints)) from limit
    except UnexpectedModelBehavior as lost:
        raise StepFailed(failure, _gave_up(f"({_shown(str(lost))})", complaints)) from lost
    finally:
        talk.cancel()
        await asyncio.wait({talk})  # whatever it ends with: it is over when this call is


async def _talk(bench: Workbench, agent: Agent[Any, Answer], question: str) -> Answer:
    """Whether to go on is asked between requests: an answer that has come is recorded by then."""
    limits = UsageLimits(request_limit=MAX_REQUESTS, tool_calls_limit=MAX_REQUESTS)
    async with agent.iter(question, usage_limits=limits) as run:
        async for _ in run:
            await bench.check()
    assert run.result is not None
    return run.result.output


async def _watched(bench: Workbench, talk: asyncio.Task[Answer]) -> Answer:
    """The task's answer; an interruption waits for the answer on its way, and no longer than that."""
    while not talk.done():
        await asyncio.wait({talk}, timeout=WATCH_SECONDS)
        try:
            await bench.check()
        except DatabaseUnavailable:
            continue  # the journal finds out when it has something to write
        except Interrupted:
            if not talk.done():
                await asyncio.wait({talk}, timeout=GRACE_SECONDS)
            raise
    return await talk


def _gave_up(how: str, complaints: Complaints | None) -> str:
    why = f" Last: {_shown(complaints.last)}" if complaints is not None and complaints.last else ""
    return (
        f"The language model found no answer that can be used {how}.{why} "
        "Resume the session to ask again, change the brief, or choose another model (KTRDR_LLM)."
    )


def _shown(text: str) -> str:
    return first_words(printable(text), SHOWN)
