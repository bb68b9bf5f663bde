"""Checkpoints that earlier versions wrote. The files in tests/golden are theirs and never made anew."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ktrdr.agents.checkpoint_builder import restore
from ktrdr.checkpointing.schemas import (
    SCHEMA_VERSION,
    AgentCheckpointState,
    BacktestCheckpointState,
    CheckpointType,
    Manifest,
    StoredCheckpoint,
    TrainingCheckpointState,
)
from ktrdr.checkpointing.upcasting import UPCASTERS, StateKind, upcast
from ktrdr.checkpointing.verification import verified, verified_row
from ktrdr.domain.errors import CheckpointCorrupted, CheckpointIncompatible
from ktrdr.domain.fingerprints import Fingerprint
from ktrdr.domain.sessions import Phase

GOLDEN = Path(__file__).parents[2] / "golden" / "checkpoints"
VERSIONS = range(1, SCHEMA_VERSION + 1)


def golden(name: str, root: Path) -> StoredCheckpoint:
    """The row, and its files beneath `root`."""
    found = json.loads((GOLDEN / f"{name}.json").read_text())
    row: dict[str, Any] = found["row"]
    if row["artifacts"] is not None:
        (root / row["artifacts"]["path"]).mkdir(parents=True)
        for file, content in found["files"].items():
            (root / row["artifacts"]["path"] / file).write_text(content)
        row["artifacts"] = Manifest.from_json(row["artifacts"])
    return StoredCheckpoint(**{**row, "checkpoint_type": CheckpointType(row["checkpoint_type"])})


@pytest.mark.parametrize("version", VERSIONS)
def test_a_session_of_every_version_goes_on(tmp_path: Path, version: int) -> None:
    found = verified(golden(f"agent_v{version}", tmp_path), tmp_path)
    assert found == verified_row(golden(f"agent_v{version}", tmp_path))
    session = restore(AgentCheckpointState.from_json(found.state))
    assert (session.phase, session.seed, len(session.gates)) == (Phase.BACKTESTING, 7, 1)
    assert (session.strategy_config or {})["indicators"] == {"rsi_14": {"period": 14, "type": "rsi"}}
    inputs = Fingerprint.from_json(found.fingerprint)
    assert inputs.difference(inputs) == {}


@pytest.mark.parametrize("version", VERSIONS[1:])
def test_trainings_and_backtests_go_on_from_version_2(tmp_path: Path, version: int) -> None:
    training = verified(golden(f"training_v{version}", tmp_path), tmp_path)
    assert TrainingCheckpointState.from_json(training.state) == TrainingCheckpointState(12, 60)
    backtest = verified(golden(f"backtest_v{version}", tmp_path), tmp_path)
    assert BacktestCheckpointState.from_json(backtest.state) == BacktestCheckpointState(2100, 252, 3772)


@pytest.mark.parametrize(("name", "why"), [("training_v1", "history"), ("backtest_v1", "stops")])
def test_what_cannot_be_carried_on_is_refused_with_what_to_do(tmp_path: Path, name: str, why: str) -> None:
    """It is neither corrupted nor missing."""
    with pytest.raises(CheckpointIncompatible, match=rf"older ktrdr \(schema 1\).*{why}") as found:
        verified(golden(name, tmp_path), tmp_path)
    assert "Resume it with the ktrdr that wrote it, or start" in found.value.message
    assert found.value.details["schema_version"] == 1


def test_a_damaged_file_is_told_before_the_version(tmp_path: Path) -> None:
    stored = golden("training_v1", tmp_path)
    assert stored.artifacts is not None
    (tmp_path / stored.artifacts.path / "state.json").unlink()
    with pytest.raises(CheckpointCorrupted, match=r"'state\.json' of train_0a1b2c3d"):
        verified(stored, tmp_path)


def test_there_is_a_step_for_every_kind_and_version() -> None:
    assert set(UPCASTERS) == {(kind, version) for kind in StateKind for version in VERSIONS[:-1]}


def test_a_step_changes_nothing_that_it_is_given(tmp_path: Path) -> None:
    stored = golden("agent_v1", tmp_path)
    before = json.dumps(stored.state)
    assert upcast(stored).state["schema_version"] == SCHEMA_VERSION
    assert json.dumps(stored.state) == before


def test_versions_that_never_were_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointIncompatible, match="schema 0 is not known"):
        upcast(replace(golden("agent_v1", tmp_path), schema_version=0))


def test_a_state_of_no_kind_is_corruption(tmp_path: Path) -> None:
    with pytest.raises(CheckpointCorrupted, match="no state that ktrdr knows"):
        upcast(replace(golden("agent_v1", tmp_path), state={"schema_version": 1}))
