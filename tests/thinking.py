"""Whole sessions that a scripted model thinks for; trainings and backtests are answered as told."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic_ai.messages import ModelMessage, ModelMessagesTypeAdapter, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models import Model
from pydantic_ai.models.function import AgentInfo, FunctionModel

from ktrdr.agents.agent_service import AgentService, Trigger
from ktrdr.agents.loop import run_session
from ktrdr.agents.workbench import Workbench
from ktrdr.data.catalog import Catalog
from ktrdr.domain.errors import StepFailed
from ktrdr.domain.operations import Event, Operation, Status
from ktrdr.domain.sessions import AgentSession, GateThresholds, TriggerReason
from ktrdr.persistence.unit_of_work import Database
from tests.contract.support import get, setup
from tests.integration.strategies import SMALL

THRESHOLDS = GateThresholds(0.3, 0.0, 0.6, 10)
TRAINED = {
    "metrics": {"balanced_accuracy": 0.34567, "directional_accuracy": 0.52, "chance": 1 / 3},
    "model": {"path": "m", "files": {}},
    "weights_sha256": "w" * 64,
}
TESTED = {
    "metrics": {"sharpe": 0.81, "total_return": 0.4, "max_drawdown": 0.2, "trades": 120, "win_rate": 0.5},
    "bars": 2000,
    "exit_reasons": {"signal": 120},
}
# Figures that no other number of these tests begins with, and the days they are of.
EXAM = {
    "metrics": {"sharpe": 7.7531, "total_return": 7.7532, "max_drawdown": 0.77533, "trades": 77534},
    "exam": {
        "p_value": 0.0077535,
        "alpha_annual": 0.77536,
        "vetoes": {"passed": True, "reasons": []},
        "power": {"years": 5.0, "sharpe_needed": 1.25, "minimum_track_record_years": 77537.0},
    },
    "bars": 1258,
    "first": "2014-01-02T00:00:00+00:00",
    "last": "2018-12-31T00:00:00+00:00",
}
OPINION = {
    "opinion": "DOUBTFUL",
    "strengths": ["the validation Sharpe of 0.81"],
    "weaknesses": ["only 120 trades"],
    "hypotheses": ["A longer horizon trades less.", "Volume adds something."],
    "next_suggestions": ["try a horizon of 10"],
    "lesson": "Short horizons trade too much for these costs.",
}


def design(**changes: Any) -> dict[str, Any]:
    return {"strategy": copy.deepcopy(SMALL), "research_notes": "It may work."} | changes


def call(tool: str, **arguments: Any) -> ModelResponse:
    return ModelResponse(parts=[ToolCallPart(tool, arguments, tool_call_id=f"call_{tool}")])


def said(text: str) -> ModelResponse:
    return ModelResponse(parts=[TextPart(text)])


def final(answer: Mapping[str, Any]) -> ModelResponse:
    return call("final_result", **answer)


Reply = ModelResponse | Callable[[], ModelResponse]


@dataclass
class Script:
    """A model that answers a conversation from a list, its last answer for ever, and keeps every request."""

    design: Sequence[Reply] = (final(design()),)
    assess: Sequence[Reply] = (final(OPINION),)
    name: str = "test:scripted"
    requests: dict[str, list[str]] = field(default_factory=lambda: {"design": [], "assess": []})

    def for_call(self, operation: Operation, purpose: str) -> Model:
        replies: Sequence[Reply] = getattr(self, purpose)
        asked = 0

        def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
            nonlocal asked
            self.requests[purpose].append(_sent(messages, info))
            reply = replies[min(asked, len(replies) - 1)]
            asked += 1
            return copy.deepcopy(reply) if isinstance(reply, ModelResponse) else reply()

        return FunctionModel(answer)

    def stop(self) -> None:
        """Nothing of it is ever on its way."""

    @property
    def everything(self) -> str:
        return "\n".join([*self.requests["design"], *self.requests["assess"]])


def _sent(messages: list[ModelMessage], info: AgentInfo) -> str:
    """All that a provider would be sent: messages, tools and instructions, without the clock's marks."""
    found = json.loads(ModelMessagesTypeAdapter.dump_json(messages))
    for message in found:
        for part in (message, *message["parts"]):
            for name in ("timestamp", "run_id", "conversation_id", "usage"):
                part.pop(name, None)
    tools = [[one.name, one.description, one.parameters_json_schema] for one in info.function_tools]
    outputs = [[one.name, one.description, one.parameters_json_schema] for one in info.output_tools]
    return json.dumps([info.instructions, tools, outputs, found], ensure_ascii=False)


async def claimed(database: Database, trigger: Trigger | None = None, model: str | None = None) -> Operation:
    """A session that was triggered and claimed."""
    service = AgentService(database, setup(max_active=9, thresholds=THRESHOLDS, model=model))
    session = await service.trigger(trigger or Trigger(TriggerReason.MANUAL, seed=1, brief="mean reversion"))
    async with database.transaction() as tx:
        operation = await tx.operations.claim(session.operation_id, "me", None, None)
    assert operation is not None
    return operation


async def run(
    database: Database,
    operation: Operation,
    llm: Script | None,
    results: Mapping[str, Mapping[str, Any]] | None = None,
    stop: asyncio.Event | None = None,
) -> tuple[Operation, AgentSession]:
    """One attempt to its end, its children answered by the last part of their names."""
    bench = Workbench(database, operation, THRESHOLDS, Catalog(None), stop or asyncio.Event(), llm)
    answers = results or {"training": TRAINED, "backtesting": TESTED, "holdout": EXAM}
    worker = asyncio.create_task(_answer_children(database, operation.operation_id, answers))
    try:
        async with asyncio.timeout(60):
            await run_session(bench)
    finally:
        worker.cancel()
    async with database.read() as tx:
        session = await tx.sessions.by_operation(operation.operation_id)
    assert session is not None
    return await get(database, operation.operation_id), session


async def _answer_children(database: Database, parent: str, results: Mapping[str, Mapping[str, Any]]) -> None:
    while True:
        async with database.read() as tx:
            waiting = await tx.operations.list(status=Status.PENDING, parent=parent)
        for one in waiting:
            result = dict(results[one.operation_id.rsplit(".", 1)[1]])
            async with database.transaction() as tx:
                mine = await tx.operations.claim(one.operation_id, "w", "local:host:1:1.0", 30.0)
                assert mine is not None
                await tx.operations.finish(one.operation_id, mine.attempt, Event.COMPLETE, result=result)
        await asyncio.sleep(0.02)


ASKED = (
    call("list_indicators"),
    call("describe", part="Labels"),
    call("data_summary"),
    call("past_experiments"),
    call("experiment", experiment_id=1),
    call("hypotheses"),
    call("validate_strategy", strategy=SMALL),
)


async def done(database: Database, llm: Script | None = None) -> Operation:
    operation, _ = await run(database, await claimed(database), llm or Script())
    assert operation.status is Status.COMPLETED, operation.error_message
    return operation


def refusal() -> ModelResponse:
    raise StepFailed("LLM_REFUSED", "The provider refused the request.")
