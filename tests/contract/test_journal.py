"""A call is paid once, recorded once, and never goes beyond a budget: on both databases, over the
providers' own libraries and real HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest
from pydantic_ai import Agent
from sqlalchemy import select, text, update

from ktrdr.agents.agent_service import AgentService, Trigger
from ktrdr.agents.workbench import Interrupted, Interruption, Workbench
from ktrdr.api.schemas import StatusData
from ktrdr.checkpointing.schemas import CheckpointType
from ktrdr.data.catalog import Catalog
from ktrdr.domain.calls import Answer, CallStatus, Limits, NewCall
from ktrdr.domain.errors import BudgetExhausted, DatabaseUnavailable, StepFailed
from ktrdr.domain.operations import Operation
from ktrdr.domain.sessions import GateThresholds, TriggerReason
from ktrdr.persistence.tables import campaign_sessions, campaigns, db_midnight, llm_calls
from ktrdr.persistence.unit_of_work import Database, Transaction
from tests.contract.support import insert, setup
from tests.provider.journalled import SESSION, attempt, calls, converse, model_over, three_steps
from tests.provider.replies import Asked, Call, Reply, Say
from tests.provider.server import FakeProvider

THRESHOLDS = GateThresholds(0.35, 0.0, 0.5, 10)
pytestmark = pytest.mark.anyio


class Forgetful(Database):
    """A database that goes away right after one of its commits, before it has said so."""

    def __init__(self, url: str, lost: int) -> None:
        super().__init__(url)
        self.commits = 0
        self._lost = lost

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        async with super().transaction() as tx:
            yield tx
        self.commits += 1
        if self.commits == self._lost:
            raise DatabaseUnavailable("the connection was cut")


async def statuses(database: Database) -> list[str]:
    return [one.status.value for one in await calls(database)]


async def test_a_conversation_is_recorded_call_by_call(database: Database) -> None:
    """The ledger is the provider's own count: as many requests, as many tokens."""
    with FakeProvider(three_steps) as provider:
        llm = model_over(database, provider)
        assert "11" in await converse(llm.for_call(await attempt(database), "design"))
        rows = await calls(database)
        assert [one.status for one in rows] == [CallStatus.RECORDED] * 3
        assert [one.sequence for one in rows] == [1, 2, 3]
        used = [(one.input_tokens, one.output_tokens) for one in provider.served]
        assert [(one.input_tokens, one.output_tokens) for one in rows] == used
        assert all(one.cost_usd and 0 < one.cost_usd <= one.worst_usd for one in rows)


async def test_an_earlier_attempts_answers_are_not_paid_for_again(database: Database) -> None:
    with FakeProvider(three_steps) as provider:
        llm = model_over(database, provider)
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
        async with database.transaction() as tx:  # as a kill between its answer and its commit leaves it
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


@pytest.mark.parametrize("lost", [3, 4])
async def test_a_commit_whose_answer_is_lost_was_made(
    database: Database, database_url: str, lost: int
) -> None:
    """Of the second call's reservation or of its answer: the attempt goes on, and nothing is asked twice."""
    forgetful = Forgetful(database_url, lost)
    with FakeProvider(three_steps) as provider:
        llm = model_over(forgetful, provider)
        operation = await attempt(database)
        said = ""
        while not said:
            with suppress(DatabaseUnavailable):  # waited out by the attempt, which asks anew
                said = await converse(llm.for_call(operation, "design"))
        assert "11" in said
        assert len(provider.served) == 3
    assert forgetful.commits > lost
    assert await statuses(database) == ["RECORDED", *(["LOST"] if lost == 3 else []), *["RECORDED"] * 2]
    await forgetful.close()


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


async def test_what_a_session_spent_is_in_its_checkpoint_and_its_status(database: Database) -> None:
    """Read in the same transaction as the rest; the journal stays the truth."""
    service = AgentService(database, setup(thresholds=THRESHOLDS))
    session = await service.trigger(Trigger(TriggerReason.MANUAL, seed=1))
    async with database.transaction() as tx:
        operation = await tx.operations.claim(session.operation_id, "me", None, None)
    assert operation is not None
    bench = Workbench(database, operation, THRESHOLDS, Catalog(None), asyncio.Event())
    async with database.transaction() as tx:
        await tx.calls.reserve(NewCall(session.operation_id, 1, "design", 1, 1, "0" * 64, "m", 0.25))
        await bench.save_checkpoint(tx, session, CheckpointType.FAILURE)
        stored = await tx.checkpoints.get(session.operation_id)
    assert stored is not None
    assert stored.state["spend"] == {"usd": 0.25}
    assert StatusData.of(await service.latest()).spend == {"usd": 0.25}


async def test_a_spent_day_takes_no_trigger_where_a_model_is_asked(database: Database) -> None:
    def service(limits: Limits | None) -> AgentService:
        return AgentService(database, setup(max_active=9, thresholds=THRESHOLDS, limits=limits))

    session = await service(Limits(day_usd=0.2)).trigger(Trigger(TriggerReason.MANUAL))
    async with database.transaction() as tx:
        await tx.calls.reserve(NewCall(session.operation_id, 1, "design", 1, 1, "0" * 64, "m", 0.25))
    with pytest.raises(BudgetExhausted, match=r"budget of \$0\.20 is spent \(\$0\.2500\)"):
        await service(Limits(day_usd=0.2)).trigger(Trigger(TriggerReason.MANUAL))
    async with database.read() as tx:
        assert len(await tx.sessions.list(10)) == 1
    await service(None).trigger(Trigger(TriggerReason.MANUAL))
    async with database.transaction() as tx:
        await tx.budgets.set("day", 0.3)
    await service(Limits(day_usd=0.2)).trigger(Trigger(TriggerReason.MANUAL))


async def test_a_long_conversation_is_reserved_at_what_is_new_in_it(database: Database) -> None:
    """What the provider has counted is not counted as bytes again; a replay reserves the same."""

    def chatty(asked: Asked) -> Reply:
        return Call.one("add", a=1, b=1) if asked.answers < 6 else Say("done")

    with FakeProvider(chatty) as provider:
        llm = model_over(database, provider)
        agent: Agent[None, str] = Agent(llm.for_call(await attempt(database), "design"))

        @agent.tool_plain
        def add(a: int, b: int) -> str:
            return "x" * 2_000

        await agent.run("well? " * 1_000)
        rows = await calls(database)
        output = 8192 * 25 / 1e6
        counted = [round((one.worst_usd - output) / 6.25e-6) for one in rows]
        billed = [one.input_tokens or 0 for one in rows]
        assert counted[0] > 6_000
        for before, now, most in zip(billed, billed[1:], counted[1:], strict=False):
            assert now <= most <= before + 2_000 + 1_024 + 300


async def test_any_text_of_a_model_is_recorded(database: Database) -> None:
    """Half a character and a NUL too: the conversation goes on with what the journal has."""
    odd = "half \ud800, none \x00, whole 🜚"

    def script(asked: Asked) -> Reply:
        return Call.one("echo", text=odd) if asked.answers == 0 else Say(asked.turns[-1].text)

    with FakeProvider(script) as provider:
        llm = model_over(database, provider)
        for _ in range(2):
            agent: Agent[None, str] = Agent(llm.for_call(await attempt(database), "design"))

            @agent.tool_plain
            def echo(text: str) -> str:
                return text

            assert (await agent.run("well?")).output == odd.replace("\ud800", "?")
        assert len(provider.served) == 2


async def test_a_day_ends_at_midnight(database: Database) -> None:
    """What was reserved before it counts for the day before."""
    await attempt(database)
    async with database.transaction() as tx:
        for number, since in ((1, "-1.0"), (2, "0.0")):
            call_id = await tx.calls.reserve(NewCall(SESSION, 1, "design", number, 1, "0" * 64, "m", 0.5))
            midnight = select(db_midnight()).scalar_subquery()
            at = {"reserved_at": midnight + float(since)}
            await tx.connection.execute(update(llm_calls).where(llm_calls.c.call_id == call_id).values(at))
        assert (await tx.budgets.day(Limits())).spent_usd == 0.5
        assert (await tx.budgets.session(SESSION, Limits())).spent_usd == 1.0
        now = await tx.now()
        midnight_at = (await tx.connection.execute(select(db_midnight()))).scalar_one()
        assert midnight_at == pytest.approx(now // 86_400 * 86_400, abs=1e-3)


async def test_no_request_goes_around_the_journal(database: Database) -> None:
    """A stream, a batch, a count of tokens and a compaction are refused; none has reached the provider."""
    with FakeProvider(lambda _: Say("never")) as provider:
        model = model_over(database, provider).for_call(await attempt(database), "design")
        with pytest.raises(AssertionError, match="around the journal"):
            async with Agent(model).run_stream("well?"):
                pass
        ways: tuple[Any, ...] = (model.count_tokens, model.batch_create, model.compact_messages)
        for way in ways:
            with pytest.raises(AssertionError, match="around the journal"):
                await way()
        assert provider.arrived == 0


async def _until(look: Callable[[], bool]) -> None:
    async with asyncio.timeout(10.0):
        while not look():
            await asyncio.sleep(0.01)
