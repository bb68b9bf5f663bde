"""Three providers' own libraries over real HTTP: what each answer and each failure comes to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic_ai import Agent
from sqlalchemy import text

from ktrdr.agents.llm.choice import Choice, Key, LanguageModelSettings
from ktrdr.agents.llm.language_model import LanguageModel
from ktrdr.domain.errors import StepFailed
from ktrdr.persistence.unit_of_work import Database
from tests.provider.journalled import CANARY, PROTOCOLS, attempt, calls, converse, model_over, three_steps
from tests.provider.replies import Drop, Refuse, Say
from tests.provider.server import FakeProvider

pytestmark = pytest.mark.anyio


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """Which one it is does not matter here."""
    one = Database(f"sqlite+aiosqlite:///{tmp_path / 'ktrdr.db'}")
    await one.migrate()
    yield one
    await one.close()


async def statuses(database: Database) -> list[str]:
    return [one.status.value for one in await calls(database)]


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_conversation_is_the_providers_own_count(database: Database, protocol: str) -> None:
    """As many requests, as many tokens; and led again, it asks nothing."""
    with FakeProvider(three_steps) as provider:
        llm = model_over(database, provider, protocol)
        first = await converse(llm.for_call(await attempt(database), "design"))
        assert "11" in first
        rows = await calls(database)
        used = [(one.input_tokens, one.output_tokens) for one in provider.served]
        assert [(one.input_tokens, one.output_tokens) for one in rows] == used
        assert all(one.cost_usd and 0 < one.cost_usd <= one.worst_usd for one in rows)
        assert await converse(llm.for_call(await attempt(database), "design")) == first
        assert len(provider.served) == 3


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


async def test_an_answer_outlives_an_outage_of_the_database(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """It is paid for: it is held until the database takes it."""

    async def rename(old: str, new: str) -> None:
        async with database.transaction() as tx:
            await tx.connection.execute(text(f"ALTER TABLE {old} RENAME TO {new}"))

    with FakeProvider(lambda _: Say("kept", delay=1.0)) as provider:
        model = model_over(database, provider).for_call(await attempt(database), "design")
        asking = asyncio.create_task(Agent(model).run("well?"))
        async with asyncio.timeout(30.0):
            while not provider.served:
                await asyncio.sleep(0.01)
            await rename("llm_calls", "away")
            while "an answer waits for the database" not in caplog.text:
                await asyncio.sleep(0.01)
            await rename("away", "llm_calls")
            assert (await asking).output == "kept"
        assert len(provider.served) == 1
        assert await statuses(database) == ["RECORDED"]
