"""Workers as processes of this machine."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ktrdr.domain.errors import StepFailed
from ktrdr.domain.operations import Resources
from ktrdr.persistence.unit_of_work import Database
from ktrdr.workers.executors.executor import Presence
from ktrdr.workers.executors.local import LocalExecutor
from tests.executors.contract import ExecutorContract, ends, waiting


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """An engine knows no database; the workers' own tests run on both."""
    return f"sqlite+aiosqlite:///{tmp_path / 'ktrdr.db'}"


@pytest.fixture
def executor(tmp_path: Path, database_url: str) -> LocalExecutor:
    environment = {"KTRDR_HOME": str(tmp_path), "KTRDR_DATABASE_URL": database_url}
    return LocalExecutor(tmp_path / "logs", environment, slots=4)


class TestLocalExecutor(ExecutorContract):
    """The contract, with the local engine."""


@pytest.mark.anyio
async def test_a_predecessors_worker_is_known_by_pid_and_start_time(
    executor: LocalExecutor, tmp_path: Path, database: Database
) -> None:
    """A backend that did not start it sees it live and end, though not how it ended."""
    ref = await executor.submit(await waiting(database, epochs=9_000))
    successor = LocalExecutor(tmp_path / "logs", {}, slots=1)
    assert (await successor.look(ref)).presence is Presence.ALIVE
    await successor.kill(ref)
    assert await ends(executor, ref) == 137
    assert (await successor.look(ref)).presence is Presence.ENDED
    later = f"{ref.rpartition(':')[0]}:1@00000000"
    assert (await successor.look(later)).presence is Presence.ENDED, "the pid of somebody else"


@pytest.mark.anyio
async def test_what_cannot_be_started_says_why(
    executor: LocalExecutor, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    operation = await waiting(database, epochs=1)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(StepFailed, match="No such file"):
        await executor.submit(operation)


@pytest.mark.anyio
async def test_there_are_no_gpus_here(executor: LocalExecutor, database: Database) -> None:
    operation = await waiting(database, epochs=1, resources=Resources(num_gpus=1.0))
    with pytest.raises(StepFailed) as refused:
        await executor.submit(operation)
    assert refused.value.step_code == "RESOURCES_UNAVAILABLE"
