"""A call is paid once, recorded once, and never goes beyond a budget: on both databases, over the
providers' own libraries and real HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai import Agent
from pydantic_ai.models import Model

from ktrdr.agents.llm.choice import Choice, Key, LanguageModelSettings
from ktrdr.agents.llm.language_model import LanguageModel
from ktrdr.agents.llm.waiting import Patience
from ktrdr.agents.workbench import Interrupted, Interruption
from ktrdr.domain.calls import Answer, CallStatus, JournalledCall, Limits, NewCall
from ktrdr.domain.errors import StepFailed
from ktrdr.domain.operations import Operation, OperationType
from ktrdr.persistence.unit_of_work import Database
from tests.contract.support import claim, get, insert, requeue
from tests.provider.replies import Asked, Call, Drop, Refuse, Reply, Say
from tests.provider.server import FakeProvider

pytestmark = pytest.mark.anyio

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


async def statuses(database: Database) -> list[str]:
    return [one.status.value for one in await calls(database)]


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_conversation_is_recorded_call_by_call(database: Database, protocol: str) -> None:
    """The ledger is the provider's own count: as many requests, as many tokens."""
    with FakeProvider(three_steps) as provider:
        llm = model_over(database, provider, protocol)
        assert "11" in await converse(llm.for_call(await attempt(database), "design"))
        rows = await calls(database)
        assert [one.status for one in rows] == [CallStatus.RECORDED] * 3
        assert [one.sequence for one in rows] == [1, 2, 3]
        used = [(one.input_tokens, one.output_tokens) for one in provider.served]
        assert [(one.input_tokens, one.output_tokens) for one in rows] == used
        assert all(one.cost_usd and 0 < one.cost_usd <= one.worst_usd for one in rows)


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_an_earlier_attempts_answers_are_not_paid_for_again(database: Database, protocol: str) -> None:
    with FakeProvider(three_steps) as provider:
        llm = model_over(database, provider, protocol)
        first = await converse(llm.for_call(await attempt(database), "design"))
        again = await converse(llm.for_call(await attempt(database), "design"))
        assert again == first
        assert len(provider.served) == 3
        assert len(await calls(database)) == 3


async def test_another_request_is_not_answered_from_the_journal(database: Database) -> None:
    """Also at the same place of the conversation: the hash decides."""
    with FakeProvider(lambda asked: Say(asked.turns[-1].text.upper())) as provider:
        llm = model_over(database, provider)
        operation = await attempt(database)
        said = [
            (await Agent(llm.for_call(operation, "design")).run(text)).output
            for text in ("one", "two", "one")
        ]
        assert said == ["ONE", "TWO", "ONE"]
        assert [(one.sequence, one.number) for one in await calls(database)] == [(1, 1), (1, 2)]
        assert len(provider.served) == 2


async def test_purposes_are_conversations_of_their_own(database: Database) -> None:
    with FakeProvider(lambda _: Say("yes")) as provider:
        llm = model_over(database, provider)
        operation = await attempt(database)
        for purpose in ("design", "assess"):
            await Agent(llm.for_call(operation, purpose)).run("well?")
        assert [(one.purpose, one.sequence) for one in await calls(database)] == [
            ("design", 1),
            ("assess", 1),
        ]


async def test_only_the_call_that_was_in_flight_is_repeated(database: Database) -> None:
    """Its first try counts as the most it can have cost."""
    with FakeProvider(three_steps) as provider:
        llm = model_over(database, provider)
        operation = await attempt(database)
        await converse(llm.for_call(operation, "design"))
        async with (
            database.transaction() as tx
        ):  # as a kill between the third answer and its commit leaves it
            from sqlalchemy import text

            await tx.connection.execute(
                text(
                    "UPDATE llm_calls SET status = 'RESERVED', cost_usd = NULL, response = NULL, "
                    "input_tokens = NULL, output_tokens = NULL, ended_at = NULL WHERE sequence = 3"
                )
            )
        assert "11" in await converse(llm.for_call(await attempt(database), "design"))
        assert len(provider.served) == 4
        rows = await calls(database)
        assert [(one.sequence, one.number, one.status.value) for one in rows] == [
            (1, 1, "RECORDED"),
            (2, 1, "RECORDED"),
            (3, 1, "LOST"),
            (3, 2, "RECORDED"),
        ]
        assert rows[2].cost_usd == rows[2].worst_usd > rows[3].counted_usd


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("status", [429, 500, 503, 529])
async def test_a_busy_provider_is_waited_for(database: Database, protocol: str, status: int) -> None:
    """Each try is a request, and a row that cost nothing: the libraries retry nothing by themselves."""
    refusals = (Refuse(status, retry_after=0.02), Refuse(status))
    with FakeProvider(lambda _: Say("at last"), first_statuses=refusals) as provider:
        model = model_over(database, provider, protocol).for_call(await attempt(database), "design")
        assert (await Agent(model).run("well?")).output == "at last"
        assert len(provider.served) == 3
        rows = await calls(database)
        assert [one.status.value for one in rows] == ["REFUSED", "REFUSED", "RECORDED"]
        assert [one.number for one in rows] == [1, 2, 3]
        assert [one.counted_usd for one in rows[:2]] == [0.0, 0.0]


async def test_a_retry_after_beyond_our_patience_fails_at_once(database: Database) -> None:
    with FakeProvider(lambda _: Refuse(429, retry_after=3600.0)) as provider:
        model = model_over(database, provider).for_call(await attempt(database), "design")
        with pytest.raises(StepFailed, match="asks for 3600 s more") as failed:
            await Agent(model).run("well?")
        assert failed.value.step_code == "LLM_UNAVAILABLE"
        assert len(provider.served) == 1


async def test_a_provider_that_stays_away_fails_the_step(database: Database) -> None:
    with FakeProvider(lambda _: Refuse(529)) as provider:
        model = model_over(database, provider).for_call(await attempt(database), "design")
        with pytest.raises(StepFailed, match="not available in 5 tries") as failed:
            await Agent(model).run("well?")
        assert failed.value.step_code == "LLM_UNAVAILABLE"
        assert len(provider.served) == 5


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("status", [400, 401, 403, 404])
async def test_what_waiting_does_not_help_is_not_tried_again(
    database: Database, protocol: str, status: int
) -> None:
    """And the provider's echo of the key is not repeated."""
    refusal = Refuse(status, message=f"bad key {CANARY}; {CANARY[:24]}…")
    with FakeProvider(lambda _: refusal) as provider:
        model = model_over(database, provider, protocol).for_call(await attempt(database), "design")
        with pytest.raises(StepFailed) as failed:
            await Agent(model).run("well?")
        assert failed.value.step_code == "LLM_REFUSED"
        assert len(provider.served) == 1
        [row] = await calls(database)
        assert (row.status.value, row.counted_usd) == ("REFUSED", 0.0)
        for text in (failed.value.message, row.error_message or ""):
            assert "bad key [key]" in text
            assert CANARY[:20] not in text


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_an_answer_that_got_lost_counts_as_paid(database: Database, protocol: str) -> None:
    with FakeProvider(lambda _: Say("again"), first_statuses=(Drop(),)) as provider:
        model = model_over(database, provider, protocol).for_call(await attempt(database), "design")
        assert (await Agent(model).run("well?")).output == "again"
        rows = await calls(database)
        assert [one.status.value for one in rows] == ["LOST", "RECORDED"]
        assert rows[0].counted_usd == rows[0].worst_usd


async def test_a_late_answer_counts_as_paid(database: Database) -> None:
    slow = [Say("too late", delay=1.0), Say("in time")]
    with FakeProvider(lambda _: slow.pop(0)) as provider:
        model = model_over(database, provider, timeout=0.3).for_call(await attempt(database), "design")
        assert (await Agent(model).run("well?")).output == "in time"
        assert await statuses(database) == ["LOST", "RECORDED"]


async def test_nobody_at_the_address_costs_nothing(database: Database) -> None:
    with FakeProvider(lambda _: Say("never")) as provider:
        llm = model_over(database, provider)
    model = llm.for_call(await attempt(database), "design")
    with pytest.raises(StepFailed) as failed:
        await Agent(model).run("well?")
    assert failed.value.step_code == "LLM_UNAVAILABLE"
    assert set(await statuses(database)) == {"REFUSED"}


async def test_a_session_stops_before_its_budget(database: Database) -> None:
    """No request goes out that could go beyond; raised, the same conversation goes on."""

    def dear(asked: Asked) -> Reply:
        reply = three_steps(asked)
        assert isinstance(reply, Say | Call)
        return replace(reply, output_tokens=4000)

    with FakeProvider(dear) as provider:
        llm = model_over(database, provider)
        one = llm.prices.worst(1000, 8192)
        llm = model_over(database, provider, limits=Limits(session_usd=1.4 * one))
        operation = await attempt(database)
        with pytest.raises(StepFailed, match=f"The budget of session .*{1.4 * one:.2f}") as failed:
            await converse(llm.for_call(operation, "design"))
        assert failed.value.step_code == "BUDGET_EXHAUSTED"
        asked = len(provider.served)
        assert 0 < asked < 3
        async with database.transaction() as tx:
            await tx.budgets.set(f"session:{SESSION}", 1.0)
        assert "11" in await converse(llm.for_call(await attempt(database), "design"))
        assert len(provider.served) == 3


async def test_the_day_has_a_budget_for_all_sessions(database: Database) -> None:
    with FakeProvider(lambda _: Say("yes", output_tokens=4000)) as provider:
        worst = model_over(database, provider).prices.worst(1000, 8192)
        llm = model_over(database, provider, limits=Limits(session_usd=1.0, day_usd=1.2 * worst))
        await Agent(llm.for_call(await attempt(database, "research_1"), "design")).run("well?")
        with pytest.raises(StepFailed, match="The day's budget"):
            await Agent(llm.for_call(await attempt(database, "research_2"), "design")).run("well?")
        assert len(provider.served) == 1


async def test_reservations_at_the_same_moment_share_one_budget(database: Database) -> None:
    """Twelve at once and room for four: four are sent, and the others cost nothing."""
    with FakeProvider(lambda _: Say("yes", delay=1.0)) as provider:
        worst = model_over(database, provider).prices.worst(1000, 8192)
        llm = model_over(database, provider, limits=Limits(session_usd=1.0, day_usd=4.2 * worst))
        operations = [await attempt(database, f"research_{number}") for number in range(12)]

        async def ask(operation: Operation) -> bool:
            try:
                await Agent(llm.for_call(operation, "design")).run("well?")
            except StepFailed as failed:
                return failed.step_code != "BUDGET_EXHAUSTED"
            return True

        answered = await asyncio.gather(*(ask(one) for one in operations))
        assert sum(answered) == len(provider.served) == 4


async def test_a_campaign_has_a_budget_when_it_was_given_one(database: Database) -> None:
    from ktrdr.persistence.tables import campaign_sessions, campaigns

    with FakeProvider(lambda _: Say("yes")) as provider:
        llm = model_over(database, provider)
        operation = await attempt(database)
        await insert(database, "campaign_1")
        async with database.transaction() as tx:
            await tx.connection.execute(
                campaigns.insert().values(operation_id="campaign_1", sessions=1, parallel=1, created_at=0.0)
            )
            await tx.connection.execute(
                campaign_sessions.insert().values(campaign_id="campaign_1", number=1, operation_id=SESSION)
            )
            await tx.budgets.set("campaign:campaign_1", 0.05)
        with pytest.raises(StepFailed, match="The campaign's budget of"):
            await Agent(llm.for_call(operation, "design")).run("well?")
        assert provider.served == []


async def test_a_price_that_nobody_knows_is_refused(database: Database, tmp_path: Path) -> None:
    """Unless it is in the user's table, or the user says so."""
    table = tmp_path / "prices.yaml"
    table.write_text("local-model: {input: 1.0, output: 2.0}")
    with FakeProvider(lambda _: Say("yes")) as provider:
        choice = Choice.parse("openai:local-model")
        for changes, number in (({}, 1), ({"prices": table}, 2), ({"allow_unknown_price": True}, 3)):
            llm = model_over(database, provider, "openai", choice=choice, **changes)
            model = llm.for_call(await attempt(database, f"research_{number}"), "design")
            if number == 1:
                with pytest.raises(StepFailed, match="KTRDR_LLM_PRICES") as failed:
                    await Agent(model).run("well?")
                assert failed.value.step_code == "LLM_PRICE_UNKNOWN"
                assert provider.served == []
            else:
                await Agent(model).run("well?")
        [priced], [free] = [await calls(database, f"research_{number}") for number in (2, 3)]
        used = provider.served[0]
        assert priced.cost_usd == pytest.approx((used.input_tokens + 2 * used.output_tokens) / 1e6)
        assert (free.worst_usd, free.cost_usd) == (0.0, 0.0)


async def test_without_a_key_nothing_is_asked(database: Database) -> None:
    llm = LanguageModel(database, LanguageModelSettings(Choice.parse("anthropic:claude-opus-5")), Key(None))
    with pytest.raises(StepFailed, match="ANTHROPIC_API_KEY is not set") as failed:
        llm.for_call(await attempt(database), "design")
    assert failed.value.step_code == "LLM_NOT_CONFIGURED"


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("cancel", Interruption.CANCEL),
        ("shutdown", Interruption.SHUTDOWN),
    ],
)
async def test_an_answer_on_its_way_is_recorded_before_a_stop(
    database: Database, how: str, why: Interruption
) -> None:
    """It is paid for: the next attempt has it."""
    with FakeProvider(lambda _: Say("just in time", delay=1.5)) as provider:
        llm = model_over(database, provider)
        asking = asyncio.create_task(Agent(llm.for_call(await attempt(database), "design")).run("well?"))
        await _until(lambda: provider.arrived == 1)
        if how == "cancel":
            async with database.transaction() as tx:
                assert await tx.operations.request_cancel(SESSION)
        else:
            llm.stop()
        with pytest.raises(Interrupted) as stopped:
            await asking
        assert stopped.value.why is why
        assert await statuses(database) == ["RECORDED"]


async def test_an_attempt_that_was_replaced_writes_nothing(database: Database) -> None:
    """Its call was given up when the next attempt asked, and stays so."""
    with FakeProvider(lambda _: Say("slow", delay=0.4)) as provider:
        llm = model_over(database, provider)
        old = llm.for_call(await attempt(database), "design")
        asking = asyncio.create_task(Agent(old).run("well?"))
        await _until(lambda: provider.arrived == 1)
        new = llm.for_call(await attempt(database), "design")
        assert (await Agent(new).run("well?")).output == "slow"
        with pytest.raises(Interrupted) as fenced:
            await asking
        assert fenced.value.why is Interruption.FENCED
        rows = await calls(database)
        assert [(one.attempt, one.status.value) for one in rows] == [(1, "LOST"), (2, "RECORDED")]


async def test_a_call_is_ended_once(database: Database) -> None:
    await attempt(database)
    async with database.transaction() as tx:
        new = NewCall(SESSION, 1, "design", 1, 1, "0" * 64, "m", 0.5)
        call_id = await tx.calls.reserve(new)
        assert await tx.budgets.spent(SESSION) == 0.5
        assert await tx.calls.record(call_id, Answer({}, 0.1, 1, 1))
        assert not await tx.calls.lose(call_id, "late")
        assert not await tx.calls.refuse(call_id, "late")
        assert not await tx.calls.record(call_id, Answer({}, 0.9, 1, 1))
        assert await tx.budgets.spent(SESSION) == pytest.approx(0.1)


async def _until(look: Callable[[], bool]) -> None:
    async with asyncio.timeout(10.0):
        while not look():
            await asyncio.sleep(0.01)
