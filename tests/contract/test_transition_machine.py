"""Any order of calls keeps a real database in step with the transition table."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import count, pairwise
from pathlib import Path
from typing import TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from ktrdr.checkpointing.schemas import CheckpointType
from ktrdr.domain.operations import Event, NewOperation, Operation, OperationType, Progress, Status, apply
from ktrdr.persistence.unit_of_work import Database, Transaction
from tests.contract.support import FINGERPRINT

T = TypeVar("T")
BEHIND = st.integers(0, 2)  # how many attempts ago the caller was the runner


class Machine(RuleBasedStateMachine):
    """One operation and the model of it: a status, an attempt, a checkpoint's sequence."""

    def __init__(self, runner: asyncio.Runner, database: Database, operation_id: str) -> None:
        super().__init__()
        self._runner, self._database, self._id = runner, database, operation_id
        self.status, self.attempt, self.sequence = Status.PENDING, 0, 0
        new = NewOperation(operation_id, OperationType.TRAINING, {})
        assert self._do(lambda tx: tx.operations.insert_if_absent(new))

    def _do(self, call: Callable[[Transaction], Awaitable[T]]) -> T:
        async def whole() -> T:
            async with self._database.transaction() as tx:
                return await call(tx)

        return self._runner.run(whole())

    def _expect(self, event: Event, happened: bool, *, allowed: bool = True) -> None:
        """The table and the call's own guard decide; the database must agree."""
        after = apply(self.status, event) if allowed else None
        assert happened is (after is not None)
        self.status = self.status if after is None else after

    @rule()
    def claim(self) -> None:
        claimed = self._do(lambda tx: tx.operations.claim(self._id, "w", None, 30.0))
        self._expect(Event.CLAIM, claimed is not None)
        if claimed is not None:
            self.attempt += 1
            assert claimed.attempt == self.attempt

    @rule(event=st.sampled_from([Event.COMPLETE, Event.FAIL, Event.CANCEL]), behind=BEHIND)
    def finish(self, event: Event, behind: int) -> None:
        attempt = self.attempt - behind
        done = self._do(lambda tx: tx.operations.finish(self._id, attempt, event))
        self._expect(event, done, allowed=behind == 0 and self.status is Status.RUNNING)

    @rule(behind=BEHIND)
    def orphan(self, behind: int) -> None:
        attempt = self.attempt - behind
        done = self._do(lambda tx: tx.orphans.fail(self._id, attempt, "WORKER_LOST")) is not None
        self._expect(Event.ORPHAN, done, allowed=behind == 0)

    @rule(behind=BEHIND)
    def cancel_killed(self, behind: int) -> None:
        attempt = self.attempt - behind
        done = self._do(lambda tx: tx.orphans.cancel_killed(self._id, attempt))
        self._expect(Event.CANCEL, done, allowed=behind == 0 and self.status is Status.RUNNING)

    @rule()
    def requeue(self) -> None:
        self._expect(Event.RESUME, self._do(lambda tx: tx.operations.requeue(self._id, None)))

    @rule()
    def cancel_pending(self) -> None:
        done = self._do(lambda tx: tx.operations.cancel_pending(self._id))
        self._expect(Event.CANCEL, done, allowed=self.status is Status.PENDING)

    @rule(behind=BEHIND)
    def fail_start(self, behind: int) -> None:
        """A dispatcher judges by what it has read; anything written since makes its judgement void."""
        read = self._do(lambda tx: tx.operations.get(self._id))
        stale = replace(read, revision=read.revision - behind)
        done = self._do(lambda tx: tx.queue.fail_start(stale, "X", "y", None))
        self._expect(Event.FAIL, done, allowed=self.status is Status.PENDING and behind == 0)

    @rule(behind=BEHIND, ref=st.sampled_from(["local:host:1:1.0", "ray:job"]))
    def started(self, behind: int, ref: str) -> None:
        read = self._do(lambda tx: tx.operations.get(self._id))
        stale = replace(read, revision=read.revision - behind)
        done = self._do(lambda tx: tx.queue.started(stale, ref))
        assert done is (self.status is Status.PENDING and behind == 0)

    @rule(behind=BEHIND)
    def advance(self, behind: int) -> None:
        attempt = self.attempt - behind
        done = self._do(lambda tx: tx.operations.advance(self._id, attempt, Progress(1.0)))
        assert done is (behind == 0 and self.status is Status.RUNNING)

    @rule(behind=BEHIND)
    def heartbeat(self, behind: int) -> None:
        attempt = self.attempt - behind
        beat = self._do(lambda tx: tx.operations.heartbeat(self._id, attempt, Progress(1.0), 30.0))
        assert (beat is not None) is (behind == 0 and self.status is Status.RUNNING)

    @rule(behind=BEHIND)
    def save(self, behind: int) -> None:
        attempt = self.attempt - behind
        saved = self._do(
            lambda tx: tx.checkpoints.save(self._id, attempt, CheckpointType.PERIODIC, {}, None, FINGERPRINT)
        )
        if behind == 0 and (self.status is Status.RUNNING or self.attempt == 0):
            self.sequence += 1
            assert saved == self.sequence
        else:
            assert saved is None

    @rule()
    def request_cancel(self) -> None:
        asked = self._do(lambda tx: tx.operations.request_cancel(self._id))
        assert asked is (self.status is Status.RUNNING)

    @invariant()
    def the_row_is_the_model(self) -> None:
        row = self._do(lambda tx: tx.operations.get(self._id))
        assert (row.status, row.attempt) == (self.status, self.attempt)
        ended = self.status in (Status.COMPLETED, Status.FAILED, Status.CANCELLED)
        assert (row.completed_at is not None) is ended
        if self.status is not Status.RUNNING:
            assert row.lease_expires_at is None
        self._history_is_whole(row)

    def _history_is_whole(self, row: Operation) -> None:
        """The events and the row together are every status there was, each followed by one it allows."""
        recorded = self._do(lambda tx: tx.events.after(self._id, 0))
        statuses = [one.status for one in recorded]
        if statuses[-1] is not self.status:
            assert row.revision > recorded[-1].revision
            statuses.append(row.status)
        assert statuses[0] is Status.PENDING
        for before, after in pairwise(statuses):
            assert after in {apply(before, event) for event in Event}, statuses


def test_any_order_of_calls_follows_the_table(tmp_path: Path) -> None:
    database, numbers = Database(f"sqlite+aiosqlite:///{tmp_path / 'machine.db'}"), count()
    with asyncio.Runner() as runner:

        class Bound(Machine):
            def __init__(self) -> None:
                super().__init__(runner, database, f"op_{next(numbers)}")

        runner.run(database.migrate())
        try:
            run_state_machine_as_test(
                Bound,
                settings=settings(
                    max_examples=60,
                    stateful_step_count=30,
                    deadline=None,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            runner.run(database.close())
