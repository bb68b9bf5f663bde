"""The demo's own judgement: which worker is alive, whose it is, what was seen."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from ktrdr.cli.demo import NotSeen, alive, worker_pid, workers_of


def started(*, home: Path) -> subprocess.Popen[bytes]:
    """A process that looks like a worker of `home`, and has said that it runs."""
    code = "print('up', flush=True); input()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "ktrdr.workers"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"KTRDR_HOME": str(home)},
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


def ref(pid: int, started_at: float) -> str:
    return f"local:{socket.gethostname()}:{pid}:{started_at:.2f}"


def test_a_worker_is_alive_until_it_is_killed(tmp_path: Path) -> None:
    with started(home=tmp_path) as process:
        reference = ref(process.pid, psutil.Process(process.pid).create_time())
        assert alive(reference)
        process.kill()
        process.wait()
        assert not alive(reference)


def test_a_process_id_that_was_given_again_is_not_the_worker() -> None:
    own = psutil.Process()
    assert not alive(ref(own.pid, own.create_time() - 60.0))


def test_only_workers_of_the_scratch_home_are_ended(tmp_path: Path) -> None:
    with started(home=tmp_path / "mine") as mine, started(home=tmp_path / "other") as other:
        try:
            assert [found.pid for found in workers_of(tmp_path / "mine")] == [mine.pid]
        finally:
            mine.kill()
            other.kill()


@pytest.mark.parametrize("reference", [None, ""])
def test_a_training_without_a_worker_is_not_killed_by_guess(reference: Any) -> None:
    with pytest.raises(NotSeen, match="has no worker"):
        worker_pid({"operation_id": "t", "executor_ref": reference})
