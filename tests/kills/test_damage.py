"""Bits flipped on the disk and in the database of a killed session: named, refused, and nothing changed."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Table, select, update

from ktrdr.checkpointing.schemas import SCHEMA_VERSION
from ktrdr.persistence.tables import checkpoints, events, operations, sessions
from ktrdr.persistence.unit_of_work import Database, Transaction
from tests.integration.backend import Backend, eventually, workers_of
from tests.integration.strategies import SMALL

LONG = SMALL | {"training": SMALL["training"] | {"epochs": 10_000}}


class Killed:
    """A session that was killed in TRAINING, with its worker, and all that is stored of it."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.session, _ = backend.trigger(strategy=LONG, seed=3)
        self.training = f"{self.session}.training"
        eventually(self._checkpointed, within=60.0, what="a checkpoint of the training")
        backend.kill()
        for worker in workers_of(backend.home):
            worker.kill()
        backend.start()
        backend.await_status(self.training, "FAILED")
        [self.generation] = (backend.home / "artifacts" / self.training).iterdir()

    def _checkpointed(self) -> bool:
        found = self.backend.client.get(f"/operations/{self.training}").json().get("data")
        return bool(found and found["checkpoint"])

    def within(self, do: Callable[[Transaction], Awaitable[Any]]) -> Any:
        async def whole() -> Any:
            database = Database(self.backend.environment["KTRDR_DATABASE_URL"])
            try:
                async with database.transaction() as tx:
                    return await do(tx)
            finally:
                await database.close()

        return asyncio.run(whole())

    def rows(self, table: Table) -> list[dict[str, Any]]:
        async def read(tx: Transaction) -> list[dict[str, Any]]:
            ordered = select(table).order_by(*table.primary_key)
            return [dict(row) for row in (await tx.connection.execute(ordered)).mappings()]

        found: list[dict[str, Any]] = self.within(read)
        return found

    def row(self, operation_id: str) -> dict[str, Any]:
        return next(one for one in self.rows(checkpoints) if one["operation_id"] == operation_id)

    def put(self, operation_id: str, **values: Any) -> None:
        at = update(checkpoints).where(checkpoints.c.operation_id == operation_id)
        self.within(lambda tx: tx.connection.execute(at.values(**values)))

    def everything(self) -> Any:
        """Every row and every file: what a refusal leaves as it was."""
        rows = [self.rows(table) for table in (operations, checkpoints, sessions, events)]
        files = sorted((self.backend.home / "artifacts").rglob("*"))
        return rows, [(str(one), _digest(one)) for one in files]

    @contextmanager
    def damaged(self, operation_id: str, **values: Any) -> Iterator[None]:
        before = self.row(operation_id)
        self.put(operation_id, **values)
        yield
        self.put(operation_id, **{name: before[name] for name in values})

    def refuses(self, operation_id: str, status: int, code: str) -> dict[str, Any]:
        """Resume, forced or not, preview and all lists; then nothing has changed. The refusal's details."""
        before, client = self.everything(), self.backend.client
        for force in (False, True):
            answer = client.post(f"/operations/{operation_id}/resume", params={"force": force})
            assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text
        plan = client.post(f"/operations/{operation_id}/resume", params={"dry_run": True}).json()["data"]
        assert (plan["can_resume"], plan["obstacle"]) == (False, answer.json()["error"])
        for path in ("/operations", "/agent/sessions", "/agent/status", f"/operations/{operation_id}"):
            assert client.get(path).status_code == 200
        assert self.everything() == before
        details: dict[str, Any] = answer.json()["error"]["details"]
        return details

    def faults(self) -> dict[str, str]:
        """By operation, which part `GET /checkpoints` says is corrupted."""
        found = {one["operation_id"]: one["fault"] for one in self.backend.get("/checkpoints")}
        named = {one: fault["details"] for one, fault in found.items() if fault is not None}
        return {one: details.get("artifact", details.get("part")) for one, details in named.items()}


def _digest(path: Path) -> str:
    if path.is_symlink():
        return os.readlink(path)
    return "" if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest()


def _flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 16
    path.write_bytes(content)


def _linked(path: Path) -> None:
    elsewhere = path.parents[3] / "elsewhere"
    elsewhere.write_bytes(path.read_bytes())
    path.unlink()
    path.symlink_to(elsewhere)


FILE_DAMAGE: tuple[Callable[[Path], None], ...] = (
    _flipped,
    _linked,
    Path.unlink,
    lambda path: os.truncate(path, 10),
)


def test_damage_is_named_and_a_refusal_changes_nothing(backend: Backend) -> None:
    """Rows first, then files, then versions; with all of it undone the session goes on at its epoch."""
    killed = Killed(backend)
    session, training = killed.row(killed.session), killed.row(killed.training)

    strategy = {**session["state"]["strategy_config"], "name": "smalm"}
    for part, value in (
        ("state", {**session["state"], "strategy_config": strategy}),
        ("fingerprint", {**session["fingerprint"], "code": "0.1.1"}),
        ("checkpoint_type", "periodic"),
        ("sequence", session["sequence"] ^ 4),
        ("schema_version", 2),
    ):
        with killed.damaged(killed.session, **{part: value}):
            assert killed.refuses(killed.session, 422, "CHECKPOINT_CORRUPTED")["part"] == part
            assert killed.faults() == {killed.session: part}
            assert backend.client.get(f"/checkpoints/{killed.session}").status_code == 422
    swapped = {name: value for name, value in training.items() if name != "operation_id"}
    with killed.damaged(killed.session, **swapped):
        assert killed.refuses(killed.session, 422, "CHECKPOINT_CORRUPTED")["part"] == "operation_id"

    for name in ("tensors.safetensors", "state.json"):
        path = killed.generation / name
        content = path.read_bytes()
        for damage in FILE_DAMAGE:
            damage(path)
            for resumed in (killed.training, killed.session):  # the session's training would fail behind it
                found = killed.refuses(resumed, 422, "CHECKPOINT_CORRUPTED")
                assert (found["artifact"], found.get("operation_id", killed.training)) == (
                    name,
                    killed.training,
                )
            assert killed.faults() == {killed.training: name}
            path.unlink(missing_ok=True)
            path.write_bytes(content)

    newer = {
        "schema_version": SCHEMA_VERSION + 1,
        "state": session["state"] | {"schema_version": SCHEMA_VERSION + 1},
    }
    with killed.damaged(killed.session, **newer):
        assert killed.refuses(killed.session, 409, "CHECKPOINT_INCOMPATIBLE")["reads_up_to"] == SCHEMA_VERSION
        assert backend.client.get(f"/checkpoints/{killed.session}").status_code == 200

    assert killed.faults() == {}
    assert backend.resume(killed.session).status_code == 200
    epoch = training["state"]["epoch"]
    going_on = backend.await_status(killed.training, "RUNNING")
    assert (going_on["attempt"], going_on["progress"]["detail"]["epoch"] >= epoch) == (2, True)
