"""A damaged row, on both databases: it is found, its part is named, and nothing else suffers from it."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from ktrdr.api.schemas import CheckpointData, OperationData
from ktrdr.api.services.checkpoints_service import CheckpointsService
from ktrdr.api.services.operations_service import OperationView
from ktrdr.checkpointing.artifacts import write_generation
from ktrdr.checkpointing.schemas import SCHEMA_VERSION, CheckpointType
from ktrdr.checkpointing.verification import verified
from ktrdr.domain.errors import CheckpointCorrupted, CheckpointIncompatible
from ktrdr.domain.fingerprints import Fingerprint
from ktrdr.domain.operations import Event
from ktrdr.persistence.tables import checkpoints
from ktrdr.persistence.unit_of_work import Database, Transaction
from tests.contract.support import running

pytestmark = pytest.mark.anyio

FINGERPRINT = Fingerprint("s", "d", "c", "x", {"settings": {"min_sharpe": 0.5}, "data": {"é": "z"}})
FILES = {"tensors.safetensors": b"weights", "state.json": b"{}"}
TEXT_PARTS = ("checkpoint_type", "state", "state_sha256", "artifacts", "artifacts_path", "fingerprint")
FLIPS = 60  # of a part, drawn from all of its bits
CHANGES: tuple[tuple[str, object], ...] = (
    ("state", {"epoch": 5, "total_epochs": 9, "schema_version": SCHEMA_VERSION}),
    ("state", [1]),
    ("state", {"bar": 1}),
    ("state", {"phase": 7, "epoch": "x", "bar": {}, "first": None}),
    ("checkpoint_type", "failure"),
    ("checkpoint_type", "unreadable"),
    ("artifacts", None),
    ("artifacts", {"path": "op_1/x"}),
    ("artifacts", {"path": "op_1/x", "files": {"a": {"sha256": 1, "bytes": "x"}}}),
    ("artifacts_path", "op_1/elsewhere"),
    ("fingerprint", {}),
    ("fingerprint", "x"),
)


@pytest.fixture
async def root(database: Database, tmp_path: Path, anyio_backend: str) -> Path:
    """The artifacts beneath which op_1 and op_2 have a checkpoint each."""
    for number, operation_id in enumerate(("op_1", "op_2")):
        attempt = await running(database, operation_id)
        state = {
            "epoch": 4 + number,
            "total_epochs": 9,
            "loss": 1e100,
            "note": "é\n",
            "schema_version": SCHEMA_VERSION,
        }
        manifest = write_generation(tmp_path, operation_id, FILES)
        async with database.transaction() as tx:
            kind = CheckpointType.PERIODIC
            await tx.checkpoints.save(operation_id, attempt, kind, state, manifest, FINGERPRINT)
    return tmp_path


async def whole_row(tx: Transaction, operation_id: str) -> dict[str, Any]:
    query = select(checkpoints).where(checkpoints.c.operation_id == operation_id)
    return dict((await tx.connection.execute(query)).mappings().one())


async def put(tx: Transaction, **values: Any) -> None:
    await tx.connection.execute(
        update(checkpoints).where(checkpoints.c.operation_id == "op_1").values(**values)
    )


async def is_refused(tx: Transaction, root: Path) -> CheckpointCorrupted:
    """It can be read and shown all the same, and is never called missing."""
    operation = await tx.operations.get("op_1")
    stored = await tx.checkpoints.get("op_1")
    assert stored is not None
    OperationData.of(OperationView(operation, stored)).model_dump_json()
    with pytest.raises(CheckpointCorrupted) as found:
        verified(stored, root)
    assert len(await tx.checkpoints.list()) == 2
    return found.value


async def flip(tx: Transaction, part: str, content: bytes, bit: int) -> bool:
    """Change one bit of a stored text; False when the database itself refuses it."""
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    kind = checkpoints.c[part].type.compile(tx.connection.dialect)
    cast = (
        f"CAST(:content AS {kind})"
        if tx.connection.dialect.name == "postgresql"
        else "CAST(:content AS TEXT)"
    )
    value: object = bytes(changed)
    if tx.connection.dialect.name == "postgresql":
        try:
            value = changed.decode()
        except UnicodeDecodeError:
            return False
    try:
        async with tx.connection.begin_nested():
            statement = f"UPDATE operation_checkpoints SET {part} = {cast} WHERE operation_id = 'op_1'"  # noqa: S608
            await tx.connection.execute(text(statement), {"content": value})
    except DBAPIError:
        return False
    return True


async def test_every_flipped_bit_of_a_text_is_corruption(database: Database, root: Path) -> None:
    """On SQLite whatever the bit makes of the text; on PostgreSQL what its types let in."""
    for part in TEXT_PARTS:
        async with database.transaction() as tx:
            row = await whole_row(tx, "op_1")
            as_text = f"SELECT CAST({part} AS TEXT) FROM operation_checkpoints WHERE operation_id = 'op_1'"  # noqa: S608
            content = str(await tx.connection.scalar(text(as_text))).encode()
            bits = list(range(8 * len(content)))
            random.Random(1).shuffle(bits)
            found = 0
            for bit in bits[:FLIPS]:
                if await flip(tx, part, content, bit):
                    await is_refused(tx, root)
                    found += 1
            assert found > min(FLIPS, len(bits)) / 8
            await put(tx, **{part: row[part]})


async def test_every_flipped_bit_of_a_number_is_corruption(database: Database, root: Path) -> None:
    async with database.transaction() as tx:
        row = await whole_row(tx, "op_1")
        for part in ("sequence", "attempt", "schema_version"):
            for bit in range(31):
                await put(tx, **{part: row[part] ^ 1 << bit})
                assert (await is_refused(tx, root)).details["parts"] == [part]
            await put(tx, **{part: row[part]})


async def put_key(database: Database, url: str, before: str, after: str) -> None:
    """Change a row's key as a disk would, which no foreign key keeps from it."""
    change = text("UPDATE operation_checkpoints SET operation_id = :after WHERE operation_id = :before")
    async with database.transaction() as tx:
        if tx.connection.dialect.name == "postgresql":
            await tx.connection.execute(text("ALTER TABLE operation_checkpoints DISABLE TRIGGER ALL"))
            await tx.connection.execute(change, {"before": before, "after": after})
            await tx.connection.execute(text("ALTER TABLE operation_checkpoints ENABLE TRIGGER ALL"))
            return
    with closing(sqlite3.connect(str(make_url(url).database))) as connection, connection:
        connection.execute(str(change), {"before": before, "after": after})


async def test_every_flipped_bit_of_a_key_is_corruption(
    database: Database, database_url: str, root: Path
) -> None:
    """The row is of no operation then; what it was sealed for says whose it is."""
    service, key = CheckpointsService(database, root), "op_1"
    for bit in range(8 * len(key)):
        changed = bytearray(b"op_1")
        changed[bit // 8] ^= 1 << bit % 8
        if 0 < changed[bit // 8] < 128:
            await put_key(database, database_url, key, key := changed.decode())
            async with database.read() as tx:
                assert (await is_refused(tx, root)).details["parts"] == ["operation_id"]
    with pytest.raises(CheckpointCorrupted):
        await service.get("op_1")
    shown = {one.checkpoint.operation_id: one.corruption is not None for one in await service.list()}
    assert shown == {"op_1": True, "op_2": False}
    assert [one.corruption is not None for one in await service.list("op_1")] == [True]
    async with database.transaction() as tx:
        assert await tx.operations.finish("op_1", 1, Event.FAIL, error_code="X", error_message="failed")
    await service.delete("op_1")
    assert [one.checkpoint.operation_id for one in await service.list()] == ["op_2"]


async def test_a_row_that_says_of_no_part_whose_it_was_spoils_no_list(
    database: Database, database_url: str, root: Path
) -> None:
    async with database.transaction() as tx:
        await put(tx, seal=None)
    await put_key(database, database_url, "op_1", "op_?")
    service = CheckpointsService(database, root)
    assert [one.checkpoint.operation_id for one in await service.list()] == ["op_2"]


async def test_a_run_that_goes_on_beside_a_lost_row_has_a_new_one(
    database: Database, database_url: str, root: Path
) -> None:
    await put_key(database, database_url, "op_1", "op_?")
    async with database.transaction() as tx:
        await tx.checkpoints.save("op_1", 1, CheckpointType.PERIODIC, {"epoch": 5}, None, FINGERPRINT)
    found = {
        one.checkpoint.operation_id: one.corruption for one in await CheckpointsService(database, root).list()
    }
    assert found == {"op_1": None, "op_2": None}


async def test_a_changed_part_is_named(database: Database, root: Path) -> None:
    async with database.transaction() as tx:
        row = await whole_row(tx, "op_1")
        for part, value in CHANGES:
            await put(tx, **{part: value})
            named = (await is_refused(tx, root)).details["parts"]
            # A row without files has no path of files either: the other column gives it away.
            assert named == ["artifacts_path" if (part, value) == ("artifacts", None) else part]
            await put(tx, **{part: row[part]})


async def test_swapped_rows_are_found(database: Database, root: Path) -> None:
    """Whole rows, and every part of one for the same part of the other, as a bad restore would do it."""
    async with database.transaction() as tx:
        mine, other = await whole_row(tx, "op_1"), await whole_row(tx, "op_2")
        del mine["operation_id"], other["operation_id"]
        await put(tx, **other)
        found = await is_refused(tx, root)
        assert found.details["parts"] == ["operation_id"]
        await put(tx, **mine)
        for part in ("state", "artifacts", "state_sha256"):
            await put(tx, **{part: other[part]})
            assert (await is_refused(tx, root)).details["operation_id"] == "op_1"
            await put(tx, **mine)
        stored = await tx.checkpoints.get("op_1")
        assert stored is not None
        verified(stored, root)


async def test_one_damaged_row_spoils_no_list(database: Database, root: Path) -> None:
    async with database.transaction() as tx:
        await put(tx, state={"phase": 7, "bar": 1}, checkpoint_type="?")
    service = CheckpointsService(database, root)
    found = {one.checkpoint.operation_id: one for one in await service.list()}
    assert [found["op_1"].corruption is None, found["op_2"].corruption is None] == [False, True]
    shown = CheckpointData.full(found["op_1"], with_state=False)
    assert (shown.checkpoint_type, shown.resumable, shown.phase, shown.bar) == (
        "unreadable",
        False,
        None,
        None,
    )
    assert shown.fault is not None
    assert (shown.fault["code"], shown.fault["details"]["part"]) == (
        "CHECKPOINT_CORRUPTED",
        "checkpoint_type",
    )
    assert [one.checkpoint.operation_id for one in await service.list("op_2")] == ["op_2"]
    with pytest.raises(CheckpointCorrupted):
        await service.get("op_1")


async def test_a_manifest_of_other_types_is_shown_without_its_files(database: Database, root: Path) -> None:
    for wrong in ({"sha256": "0" * 64, "bytes": "7"}, {"sha256": 0, "bytes": 7}):
        async with database.transaction() as tx:
            path = (await whole_row(tx, "op_1"))["artifacts_path"]
            await put(tx, artifacts={"path": path, "files": {"tensors.safetensors": wrong}})
            assert (await is_refused(tx, root)).details["parts"] == ["artifacts"]
        [view] = await CheckpointsService(database, root).list("op_1")
        assert CheckpointData.full(view, with_state=False).artifacts == {}


async def test_a_version_that_cannot_be_read_is_shown_and_not_called_corrupted(
    database: Database, root: Path
) -> None:
    async with database.transaction() as tx:
        state = {**(await whole_row(tx, "op_1"))["state"], "schema_version": SCHEMA_VERSION + 1}
        await put(tx, schema_version=SCHEMA_VERSION + 1, state=state)
    view = await CheckpointsService(database, root).get("op_1")
    assert isinstance(view.fault, CheckpointIncompatible)
    shown = CheckpointData.full(view, with_state=True)
    assert (view.corruption, shown.resumable, shown.state) == (None, False, state)
    assert "newer ktrdr" in shown.integrity


async def test_a_damaged_seal_loses_nothing(database: Database, root: Path) -> None:
    async with database.transaction() as tx:
        for seal in (None, {"state": "0"}, [1], "x"):
            await put(tx, seal=seal)
            stored = await tx.checkpoints.get("op_1")
            assert stored is not None
            assert verified(stored, root) == stored
