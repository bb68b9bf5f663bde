"""A checkpoint is what was saved, or it says which part is not."""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ktrdr.agents.checkpoint_builder import build, restore
from ktrdr.checkpointing.artifacts import (
    delete_generation,
    delete_older,
    generations,
    read_generation,
    verify_artifacts,
    write_generation,
)
from ktrdr.checkpointing.schemas import (
    AgentCheckpointState,
    BacktestCheckpointState,
    Manifest,
    TrainingCheckpointState,
)
from ktrdr.domain.errors import CheckpointCorrupted
from ktrdr.domain.sessions import AgentSession, Phase, TriggerReason

TEXT = st.text(max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
MAPPING = st.dictionaries(TEXT, JSON, max_size=3)
SESSIONS = st.builds(
    AgentSession,
    session_id=st.integers(1),
    operation_id=TEXT,
    trigger_reason=st.sampled_from(TriggerReason),
    seed=st.integers(0, 2**31),
    dataset=TEXT,
    phase=st.sampled_from(Phase),
    brief=TEXT,
    strategy_config=st.none() | MAPPING,
    research_notes=st.none() | TEXT,
    tests_hypothesis=st.none() | st.integers(1, 2**31),
    training_operation_id=st.none() | TEXT,
    training_result=st.none() | MAPPING,
    backtest_operation_id=st.none() | TEXT,
    backtest_result=st.none() | MAPPING,
    holdout_operation_id=st.none() | TEXT,
    holdout_opening=st.none() | MAPPING,
    gates=st.lists(MAPPING, max_size=2).map(tuple),
    assessment=st.none() | MAPPING,
    result_fingerprint=st.none() | TEXT,
)
EPOCHS = st.none() | st.integers(0, 10_000)
FILES = {"model.safetensors": b"weights" * 50, "loop.json": b"{}"}


class TestStates:
    @given(SESSIONS, EPOCHS)
    def test_restore_is_the_inverse_of_build(self, session: AgentSession, epoch: int | None) -> None:
        state = build(session, training_checkpoint_epoch=epoch)
        assert restore(state) == session
        assert state.training_checkpoint_epoch == epoch

    @given(SESSIONS, EPOCHS)
    def test_from_json_is_the_inverse_of_to_json(self, session: AgentSession, epoch: int | None) -> None:
        state = build(session, training_checkpoint_epoch=epoch)
        assert AgentCheckpointState.from_json(json.loads(json.dumps(state.to_json()))) == state

    @given(st.integers(0), st.integers(0), st.integers(0))
    def test_worker_states_survive_json(self, a: int, b: int, c: int) -> None:
        training = TrainingCheckpointState(epoch=a, total_epochs=b)
        backtest = BacktestCheckpointState(bar=a, first=b, last=c)
        assert TrainingCheckpointState.from_json(json.loads(json.dumps(training.to_json()))) == training
        assert BacktestCheckpointState.from_json(json.loads(json.dumps(backtest.to_json()))) == backtest

    @given(SESSIONS, st.data())
    def test_a_missing_key_is_corruption(self, session: AgentSession, data: st.DataObject) -> None:
        carried = build(session).to_json()
        carried.pop(data.draw(st.sampled_from(sorted(carried))))
        with pytest.raises(CheckpointCorrupted):
            AgentCheckpointState.from_json(carried)

    @pytest.mark.parametrize(
        ("name", "value", "message"),
        [
            ("extra", 1, r"unknown \['extra'\]"),
            ("schema_version", 1, "schema version 1; this ktrdr reads 4"),
            ("phase", "DREAMING", "DREAMING"),
            ("trigger_reason", "boredom", "boredom"),
        ],
    )
    def test_what_is_not_known_is_corruption(self, name: str, value: Any, message: str) -> None:
        session = AgentSession(1, "op_1", TriggerReason.MANUAL, 1, "nasdaq")
        with pytest.raises(CheckpointCorrupted, match=message):
            AgentCheckpointState.from_json({**build(session).to_json(), name: value})


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _flip(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(bytes([content[0] ^ 1]) + content[1:])


def _symlink(path: Path) -> None:
    """To the very same content: it is the link that is refused."""
    elsewhere = path.with_name("elsewhere")
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def _directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


@contextmanager
def disk_full() -> Iterator[None]:
    """No file of this process may grow beyond ten bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class TestArtifacts:
    def test_what_is_written_is_read(self, tmp_path: Path) -> None:
        manifest = write_generation(tmp_path, "op_1", FILES)
        assert Manifest.from_json(json.loads(json.dumps(manifest.to_json()))) == manifest
        assert read_generation(tmp_path, manifest) == FILES
        assert [one.name for one in (tmp_path / "op_1").iterdir()] == [manifest.path.split("/")[1]]

    @pytest.mark.parametrize("spoil", [_truncate, _flip, Path.unlink, _symlink, _directory])
    @pytest.mark.parametrize("name", sorted(FILES))
    def test_a_spoilt_file_is_named(self, tmp_path: Path, name: str, spoil: Callable[[Path], None]) -> None:
        manifest = write_generation(tmp_path, "op_1", FILES)
        spoil(tmp_path / manifest.path / name)
        with pytest.raises(CheckpointCorrupted, match=f"'{name}' of op_1") as found:
            verify_artifacts(tmp_path, manifest)
        assert found.value.details == {"artifact": name, "path": manifest.path}

    def test_a_missing_generation_is_corruption(self, tmp_path: Path) -> None:
        manifest = write_generation(tmp_path, "op_1", FILES)
        delete_generation(tmp_path, manifest)
        delete_generation(tmp_path, manifest)
        with pytest.raises(CheckpointCorrupted):
            read_generation(tmp_path, manifest)

    @pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../b", "a", "a/b/c", "a/.."])
    def test_a_manifest_leads_nowhere_else(self, tmp_path: Path, path: str) -> None:
        manifest = write_generation(tmp_path, "op_1", FILES)
        with pytest.raises(CheckpointCorrupted, match="outside the artifacts"):
            read_generation(tmp_path, replace(manifest, path=path))

    def test_a_file_name_leads_nowhere_else(self, tmp_path: Path) -> None:
        manifest = write_generation(tmp_path, "op_1", FILES)
        record = manifest.files["loop.json"]
        with pytest.raises(CheckpointCorrupted, match="outside the artifacts"):
            read_generation(tmp_path, Manifest(manifest.path, {"../../secret": record}))

    @pytest.mark.parametrize(("operation", "name"), [("../x", "a"), ("op_1", "../a"), ("op_1", ".a")])
    def test_unsafe_names_are_not_written(self, tmp_path: Path, operation: str, name: str) -> None:
        with pytest.raises(ValueError, match="not a safe name"):
            write_generation(tmp_path, operation, {name: b""})
        assert list(tmp_path.iterdir()) == []

    def test_a_full_disk_leaves_the_old_generation_good(self, tmp_path: Path) -> None:
        old = write_generation(tmp_path, "op_1", FILES)
        with pytest.raises(OSError, match="File too large"), disk_full():
            write_generation(tmp_path, "op_1", {"model.safetensors": b"x" * 4000})
        assert read_generation(tmp_path, old) == FILES
        assert len(list((tmp_path / "op_1").iterdir())) == 1, "nothing half-written is left"

    def test_an_unwritable_directory_leaves_the_old_generation_good(self, tmp_path: Path) -> None:
        old = write_generation(tmp_path, "op_1", FILES)
        root = os.geteuid() == 0
        (tmp_path / "op_1").chmod(0o500)
        if root:  # to root every directory is writable
            os.seteuid(65534)
        try:
            with pytest.raises(PermissionError):
                write_generation(tmp_path, "op_1", FILES)
        finally:
            if root:
                os.seteuid(0)
            (tmp_path / "op_1").chmod(0o700)
        assert read_generation(tmp_path, old) == FILES

    @pytest.mark.parametrize("call", ["mkdir", "fsync", "rename"])
    def test_any_failing_call_leaves_the_old_generation_good(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
    ) -> None:
        old = write_generation(tmp_path, "op_1", FILES)

        def refuse(*_: Any, **__: Any) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(os, call, refuse)
            with pytest.raises(OSError, match="No space left"):
                write_generation(tmp_path, "op_1", FILES)
        assert read_generation(tmp_path, old) == FILES
        assert len(list((tmp_path / "op_1").iterdir())) == 1

    def test_older_generations_and_leftovers_go(self, tmp_path: Path) -> None:
        write_generation(tmp_path, "op_1", FILES)
        other = write_generation(tmp_path, "op_2", FILES)
        (tmp_path / "op_1" / "tmp-killed").mkdir()
        found = generations(tmp_path, "op_1")
        new = write_generation(tmp_path, "op_1", FILES)
        delete_older(tmp_path, "op_1", found, new)
        assert [one.name for one in (tmp_path / "op_1").iterdir()] == [new.path.split("/")[1]]
        assert read_generation(tmp_path, new) == FILES
        assert read_generation(tmp_path, other) == FILES

    def test_what_came_later_is_not_older_whatever_the_clock_says(self, tmp_path: Path) -> None:
        """A process that slept between its commit and its clean-up leaves its successor's files alone."""
        found = generations(tmp_path, "op_1")
        assert found == frozenset()
        mine = write_generation(tmp_path, "op_1", FILES)
        its = write_generation(tmp_path, "op_1", FILES)
        os.utime(tmp_path / its.path, (1000, 1000))
        delete_older(tmp_path, "op_1", found, mine)
        assert read_generation(tmp_path, its) == FILES
        assert read_generation(tmp_path, mine) == FILES
