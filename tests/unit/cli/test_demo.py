"""The demo's own judgement: which worker is alive, whose it is, what was seen."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ktrdr.cli.demo import NotSeen, alive, worker_pid, workers_of
from ktrdr.processes import process_reference


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


def test_a_worker_is_alive_until_it_is_killed(tmp_path: Path) -> None:
    with started(home=tmp_path) as process:
        reference = process_reference(process.pid)
        assert alive(reference)
        process.kill()
        process.wait()
        assert not alive(reference)


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
