"""Many workers, one after the other: each is collected."""

from __future__ import annotations

from collections import Counter

import psutil
import pytest

from tests.integration.backend import Backend, eventually
from tests.integration.conftest import BackendFactory
from tests.integration.strategies import SMALL
from tests.integration.trainings import begin

OPERATIONS = 50
BRIEF = {**SMALL, "training": {**SMALL["training"], "epochs": 1, "walk_forward": {"folds": 1}}}


def children_of(backend: Backend) -> list[psutil.Process]:
    assert backend.process is not None
    return psutil.Process(backend.process.pid).children()


def is_zombie(child: psutil.Process) -> bool:
    try:
        return child.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # collected since it was listed
        return False


@pytest.mark.timeout(900)
def test_fifty_operations_leave_no_zombie(sqlite_backend: BackendFactory) -> None:
    """Every worker is reaped: while they run no exited one stays, and at the end there is no child left."""
    backend = sqlite_backend(KTRDR_WORKER_SLOTS="2")
    backend.start()
    started = [begin(backend, BRIEF, seed=number) for number in range(OPERATIONS)]
    most = 0

    def ended() -> bool:
        nonlocal most
        most = max(most, sum(map(is_zombie, children_of(backend))))
        found = backend.get("/operations", limit=100)
        counted = Counter(one["status"] for one in found)
        lost = [one for one in found if one["status"] in ("FAILED", "CANCELLED")]
        assert not lost, f"{lost}; {backend.log()}"
        return counted["COMPLETED"] == OPERATIONS

    eventually(ended, within=800.0, what=f"the end of {OPERATIONS} trainings; {backend.log()}")
    eventually(lambda: not children_of(backend), within=5.0, what="the last worker collected")
    assert most <= 2, "exited workers were left uncollected while others ran"
    workers = {backend.operation(one)["executor_ref"] for one in started}
    assert len(workers) == OPERATIONS, "each operation has a process of its own"
