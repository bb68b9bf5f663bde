"""What the tests of the journal share: a session to claim, a model over a fake provider, a conversation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pydantic_ai import Agent
from pydantic_ai.models import Model

from ktrdr.agents.llm.choice import Choice, Key, LanguageModelSettings
from ktrdr.agents.llm.language_model import LanguageModel
from ktrdr.agents.llm.waiting import Patience
from ktrdr.domain.calls import JournalledCall
from ktrdr.domain.operations import Operation, OperationType
from ktrdr.persistence.unit_of_work import Database
from tests.contract.support import claim, get, insert, requeue
from tests.provider.replies import Asked, Call, Reply, Say
from tests.provider.server import FakeProvider

SESSION = "research_1"
PROTOCOLS = ("anthropic", "openai", "google")
MODELS = {"anthropic": "claude-opus-5", "openai": "gpt-5", "google": "gemini-2.5-pro"}
QUICK = Patience(first=0.01, longest=0.05, total=1.0, tries=5)
CANARY = "sk-canary-0123456789-abcdefghij"


def three_steps(asked: Asked) -> Reply:
    """Two tools, then the answer."""
    if asked.answers < 2:
        return Call.one("add", a=asked.answers, b=10)
    return Say("the sum is " + asked.turns[-1].text)


def model_over(
    database: Database, provider: FakeProvider, protocol: str = "anthropic", **changes: Any
) -> LanguageModel:
    choice = Choice.parse(f"{protocol}:{MODELS[protocol]}")
    settings = LanguageModelSettings(choice, base_url=provider.url(protocol), patience=QUICK)
    return LanguageModel(database, replace(settings, **changes), Key("KEY", CANARY))


async def attempt(database: Database, operation_id: str = SESSION) -> Operation:
    """The operation, claimed for its next attempt."""
    if not await insert(
        database, operation_id, OperationType.AGENT_RESEARCH, is_backend_local=True, owner="me"
    ):
        async with database.transaction() as tx:
            await tx.orphans.fail(operation_id, (await tx.operations.get(operation_id)).attempt, "RESTARTED")
        await requeue(database, operation_id)
    assert await claim(database, operation_id, "me", lease_seconds=None) is not None
    return await get(database, operation_id)


async def converse(model: Model) -> str:
    agent: Agent[None, str] = Agent(model, instructions="Add things.")

    @agent.tool_plain
    def add(a: int, b: int) -> int:
        return a + b

    return (await agent.run("what is it?")).output


async def calls(database: Database, operation_id: str = SESSION) -> list[JournalledCall]:
    async with database.read() as tx:
        return await tx.calls.list(operation_id)
