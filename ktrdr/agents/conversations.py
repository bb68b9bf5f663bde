"""One conversation with a language model: bounded, interruptible, and typed at its end.

Imported only where there is a model: pydantic-ai comes with the extra `llm`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel
from pydantic_ai import Agent, CallToolsNode, ModelRequestNode, Tool, ToolOutput
from pydantic_ai.exceptions import UnexpectedModelBehavior, UsageLimitExceeded
from pydantic_ai.messages import ModelRequest, ModelResponse, ToolCallPart
from pydantic_ai.usage import UsageLimits

from ktrdr.agents.workbench import Workbench
from ktrdr.domain.errors import StepFailed
from ktrdr.domain.texts import first_words, printable

MAX_REQUESTS = 20
MAX_RETURNS = 3  # how often an answer that can't be used is returned to the model
# The library's own limit is part of what it keeps of a conversation: ours grows, so that one never binds.
NO_LIMIT = 1000
ANSWER = "final_result"
SHOWN = 1000

Answer = TypeVar("Answer", bound=BaseModel)


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
) -> Answer:
    """The model's answer. `check` may raise ModelRetry: the model is told why, MAX_RETURNS times at most.

    Each resume of a session that failed for that adds as much again: the answers so far are in the
    journal, and the conversation goes on behind them.

    Raises StepFailed under the code `failure` when the model finds no answer within its bounds, with the
    provider's own code when it can't be asked, and Interrupted when the session should not go on.
    """
    assert bench.llm is not None
    agent = Agent(
        bench.llm.for_call(bench.operation, purpose),
        output_type=ToolOutput(answer, name=ANSWER, max_retries=NO_LIMIT),
        instructions=instructions,
        tools=[Tool(one, sequential=True) for one in tools],
        retries={"tools": NO_LIMIT, "output": NO_LIMIT},
        name=purpose,
    )
    if check is not None:
        agent.output_validator(check)
    rounds = await _rounds(bench, failure)
    try:
        return await _talk(bench, agent, question, rounds)
    except UsageLimitExceeded as limit:
        raise StepFailed(failure, _gave_up(f"in {MAX_REQUESTS * rounds} requests")) from limit
    except _OutOfTries as tries:
        raise StepFailed(failure, _gave_up(f"in {tries.count} tries", tries.last)) from tries
    except UnexpectedModelBehavior as lost:
        raise StepFailed(failure, _gave_up(f"({_shown(str(lost))})")) from lost


class _OutOfTries(Exception):
    """The model has given as many answers as it may, none of them fit for use."""

    def __init__(self, count: int, last: str) -> None:
        super().__init__(count)
        self.count = count
        self.last = last


async def _rounds(bench: Workbench, failure: str) -> int:
    """How often this conversation was allowed: once, and again for each resume after it failed."""
    operation_id = bench.operation.operation_id
    async with bench.database.read() as tx:
        resumes = (await tx.resumes.of([operation_id])).get(operation_id, [])
    return 1 + sum(one.ending.code == failure for one in resumes)


async def _talk(bench: Workbench, agent: Agent[Any, Answer], question: str, rounds: int) -> Answer:
    """Whether to go on is asked between requests; within one its journal asks."""
    most = MAX_REQUESTS * rounds
    answers = 0
    async with agent.iter(
        question, usage_limits=UsageLimits(request_limit=most, tool_calls_limit=most)
    ) as run:
        async for node in run:
            await bench.check()
            if isinstance(node, CallToolsNode):
                answers += _is_answer(node.model_response)
            elif isinstance(node, ModelRequestNode) and answers > MAX_RETURNS * rounds:
                raise _OutOfTries(answers, _complaint(node.request))
    assert run.result is not None
    return run.result.output


def _is_answer(response: ModelResponse) -> bool:
    """Whether a response ends the conversation if it can be used: one that only calls tools does not."""
    names = [part.tool_name for part in response.parts if isinstance(part, ToolCallPart)]
    return ANSWER in names or not names


def _complaint(request: ModelRequest) -> str:
    """What the model is told about its last answer."""
    found = []
    for part in request.parts:
        content: Any = getattr(part, "content", "")
        if isinstance(content, list):  # of pydantic; the answer itself, which they repeat, is left out
            wrong = [one for one in content if isinstance(one, dict) and "msg" in one]
            content = "; ".join(f"{'.'.join(map(str, one.get('loc', ())))}: {one['msg']}" for one in wrong)
        found.append(str(content))
    return " ".join(found)


def _gave_up(how: str, last: str = "") -> str:
    why = f" It was told last: {_shown(last)}" if last else ""
    return (
        f"The language model found no answer that can be used {how}.{why} "
        "Resume the session to let it try again, change the brief, or choose another model (KTRDR_LLM)."
    )


def _shown(text: str) -> str:
    return first_words(printable(text), SHOWN)
