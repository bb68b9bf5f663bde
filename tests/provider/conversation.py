"""A process that leads one journalled conversation, and dies in the middle when it is told to.

`python -m tests.provider.conversation DATABASE_URL PROVIDER_URL BUDGET` reads a life a line from its standard
input, the operation first: `ID boundary N before|after` ends at its N-th commit that wrote something, `ID
instant SECONDS` after a while, `ID whole` at its end. Each life is forked from here, where everything is
imported, and claims the operation as the next attempt. The answer to each is the life's exit status and, in a
line of JSON, its last words.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from pydantic_ai import Agent
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine

from ktrdr.agents.llm.choice import Choice, Key, LanguageModelSettings
from ktrdr.agents.llm.language_model import LanguageModel
from ktrdr.agents.llm.waiting import Patience
from ktrdr.domain.calls import Limits
from ktrdr.domain.errors import KtrdrError
from ktrdr.domain.operations import NewOperation, OperationType
from ktrdr.persistence.unit_of_work import Database
from tests.provider.replies import Asked, Call, Reply, Say

TOOLS = 4
MODEL = "anthropic:claude-opus-5"


def script(asked: Asked) -> Reply:
    """Four tools, one after the other, then the answer; the same request gets the same."""
    if asked.answers < TOOLS:
        return Call.one("double", number=asked.answers + 1)
    return Say(f"all {[turn.text for turn in asked.turns if turn.role == 'tool']}")


async def converse(operation_id: str, url: str, provider: str, budget: float) -> str:
    """Claim the operation anew and lead both of its conversations."""
    database = Database(url)
    async with database.transaction() as tx:
        await tx.operations.insert_if_absent(
            NewOperation(operation_id, OperationType.AGENT_RESEARCH, {}, is_backend_local=True, owner="me")
        )
        old = await tx.operations.get(operation_id)
        await tx.orphans.fail(operation_id, old.attempt, "RESTARTED")
        await tx.operations.requeue(operation_id, None)
        operation = await tx.operations.claim(operation_id, "me", None, None)
    assert operation is not None
    settings = LanguageModelSettings(
        Choice.parse(MODEL), base_url=provider, limits=Limits(budget, budget), patience=Patience(first=0.01)
    )
    llm = LanguageModel(database, settings, Key(None))
    said = ""
    for purpose in ("design", "assess"):
        agent: Agent[None, str] = Agent(llm.for_call(operation, purpose), instructions=purpose)

        @agent.tool_plain
        def double(number: int) -> int:
            return 2 * number

        said += (await agent.run("go on")).output
    await database.close()
    return said


def die_at(last: int, when: str) -> None:
    """Have this process end at its `last`-th commit that wrote something."""
    commit, count = Connection._commit_impl, 0

    @event.listens_for(Engine, "before_cursor_execute")
    def _note(connection: Any, _c: Any, statement: str, *_: Any) -> None:
        if statement.split()[0].upper() in ("INSERT", "UPDATE", "DELETE"):
            connection.info["wrote"] = True

    def counted(connection: Any) -> None:
        nonlocal count
        count += connection.info.pop("wrote", False)
        if count == last and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        commit(connection)
        if count == last:
            os.kill(os.getpid(), signal.SIGKILL)

    Connection._commit_impl = counted  # type: ignore[method-assign, assignment]


def live(words: list[str], arguments: list[str], answer: Path) -> None:
    """In the forked child."""
    operation_id, kind, *more = words
    if kind == "boundary":
        die_at(int(more[0]), more[1])
    try:
        said = asyncio.run(converse(operation_id, arguments[0], arguments[1], float(arguments[2])))
    except KtrdrError as error:
        said = f"{type(error).__name__}: {error}"
    answer.write_text(json.dumps(said))


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for number, line in enumerate(sys.stdin):
            words, answer = line.split(), Path(folder) / str(number)
            child = os.fork()
            if child == 0:
                try:
                    live(words, sys.argv[1:], answer)
                finally:
                    os._exit(0 if answer.exists() else 1)
            if words[1] == "instant":
                time.sleep(float(words[2]))
                os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
            said = answer.read_text() if answer.exists() else "null"
            print(os.waitstatus_to_exitcode(status), said, flush=True)


if __name__ == "__main__":
    main()
