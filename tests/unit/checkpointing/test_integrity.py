"""A row is what was saved, or it is told which part is not."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ktrdr.checkpointing.integrity import seal_of, verify
from ktrdr.checkpointing.schemas import SCHEMA_VERSION, CheckpointType, FileRecord, Manifest, StoredCheckpoint
from ktrdr.domain.errors import CheckpointCorrupted, CheckpointIncompatible
from ktrdr.domain.fingerprints import sha256_of

TEXT = st.text(max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
STATES = st.dictionaries(TEXT, JSON, max_size=4).map(lambda one: {**one, "schema_version": SCHEMA_VERSION})
MANIFEST = Manifest("op_1/abc", {"tensors": FileRecord("ab" * 32, 12)})
FINGERPRINT = {"strategy": "s", "data": "d", "code": "c", "settings": "x"}
OTHER = {"strategy": "s", "data": "e", "code": "c", "settings": "x"}


def saved(operation_id: str, sequence: int, state: dict[str, Any]) -> StoredCheckpoint:
    """What `Checkpoints.save` writes and a read gives back."""
    kind = CheckpointType.PERIODIC
    seal = seal_of(operation_id, sequence, 1, kind, SCHEMA_VERSION, state, MANIFEST.to_json(), FINGERPRINT)
    return StoredCheckpoint(
        operation_id=operation_id,
        sequence=sequence,
        attempt=1,
        checkpoint_type=kind,
        schema_version=SCHEMA_VERSION,
        state=json.loads(json.dumps(state)),
        state_sha256=sha256_of(seal),
        artifacts=MANIFEST,
        fingerprint=FINGERPRINT,
        created_at=0.0,
        seal=seal,
    )


def parts_of(stored: StoredCheckpoint) -> object:
    with pytest.raises(
        CheckpointCorrupted, match=f"checkpoint of '{stored.operation_id}' is corrupted"
    ) as it:
        verify(stored)
    return it.value.details["parts"]


ONE = saved("op_1", 3, {"epoch": 4, "schema_version": SCHEMA_VERSION})
CHANGES: dict[str, dict[str, Any]] = {
    "operation_id": {"operation_id": "op_2"},
    "sequence": {"sequence": 2},
    "attempt": {"attempt": 2},
    "checkpoint_type": {"checkpoint_type": CheckpointType.FAILURE},
    "state": {"state": {"epoch": 5, "schema_version": SCHEMA_VERSION}},
    "artifacts": {"artifacts": Manifest("op_1/abc", {"tensors": FileRecord("ab" * 32, 13)})},
    "fingerprint": {"fingerprint": OTHER},
    "state_sha256": {"state_sha256": "0" * 64},
}


@given(STATES)
def test_what_was_saved_is_accepted(state: dict[str, Any]) -> None:
    verify(saved("op_1", 3, state))


@pytest.mark.parametrize("part", CHANGES)
def test_a_changed_part_is_named(part: str) -> None:
    assert parts_of(replace(ONE, **CHANGES[part])) == [part]


@pytest.mark.parametrize("part", CHANGES)
def test_it_is_found_without_the_seal_too(part: str) -> None:
    """The seal only tells which part it is."""
    parts_of(replace(ONE, seal=None, **CHANGES[part]))


def test_a_manifest_that_is_gone_is_a_changed_part() -> None:
    """Without it nothing would be read, and a training would begin anew in silence."""
    assert parts_of(replace(ONE, artifacts=None)) == ["artifacts"]


def test_a_damaged_seal_alone_loses_nothing() -> None:
    verify(replace(ONE, seal=None))
    verify(replace(ONE, seal={**(ONE.seal or {}), "state": "0" * 64}))


@given(STATES, st.text(max_size=8))
def test_any_changed_value_of_a_state_is_found(state: dict[str, Any], name: str) -> None:
    assert parts_of(replace(saved("op_1", 3, state), state={**state, name: {"changed": True}})) == ["state"]


def test_a_row_swapped_in_names_whose_it_is() -> None:
    """All of another operation's row, hash and seal too, under this one's id."""
    other = saved("op_2", 3, {"epoch": 9, "schema_version": SCHEMA_VERSION})
    assert parts_of(replace(other, operation_id="op_1")) == ["operation_id"]


def test_an_older_row_of_the_same_operation_is_found() -> None:
    older = saved("op_1", 2, {"epoch": 3, "schema_version": SCHEMA_VERSION})
    assert parts_of(replace(older, sequence=3)) == ["sequence"]


@pytest.mark.parametrize("value", [float("inf"), float("nan"), "\ud800"])
def test_what_canonical_json_has_no_spelling_for_is_corruption(value: object) -> None:
    """A database may hand it out all the same: 1e100 is one bit away from 1e900."""
    state = {"epoch": value, "schema_version": SCHEMA_VERSION}
    assert parts_of(replace(ONE, state=state)) == ["state"]
    assert parts_of(replace(old_row(2), state={**state, "schema_version": 2})) == ["state"]


@pytest.mark.parametrize("version", [0, 1, 2, 3, SCHEMA_VERSION + 1, 9, -1])
def test_a_changed_version_does_not_choose_the_rule(version: int) -> None:
    """Neither that of an older row, which covers less, nor the refusal of a newer one."""
    assert parts_of(replace(ONE, schema_version=version)) == ["schema_version"]


def test_a_version_changed_on_both_sides_fits_no_rule() -> None:
    for version in (1, 2):
        state = {**ONE.state, "schema_version": version}
        assert parts_of(replace(ONE, schema_version=version, state=state)) == ["state"]


def old_row(version: int) -> StoredCheckpoint:
    """As a ktrdr wrote it that knew no seals."""
    state = {"epoch": 4, "total_epochs": 9, "schema_version": version}
    digest = sha256_of(["op_1", 3, state])
    return replace(ONE, schema_version=version, state=state, state_sha256=digest, seal=None)


@pytest.mark.parametrize("version", [1, 2])
def test_rows_of_older_versions_have_the_older_hash(version: int) -> None:
    old = old_row(version)
    verify(old)
    assert parts_of(replace(old, schema_version=3 - version)) == ["schema_version"]
    assert parts_of(replace(old, schema_version=SCHEMA_VERSION)) == ["state_sha256"]
    for change in ({"sequence": 4}, {"operation_id": "op_2"}, {"state": {**old.state, "epoch": 5}}):
        assert parts_of(replace(old, **change)) == ["state"]


def test_a_newer_version_is_not_called_corrupted() -> None:
    """Its row may be sealed in another way, and have parts that this ktrdr can't read."""
    state = {"epochs": 4, "schema_version": SCHEMA_VERSION + 1}
    newer = replace(ONE, schema_version=SCHEMA_VERSION + 1, state=state, unreadable=("artifacts",))
    with pytest.raises(
        CheckpointIncompatible, match=r"newer ktrdr \(schema 5; this one reads up to 4\). Upgrade"
    ):
        verify(newer)


def test_a_part_that_cannot_be_read_is_corruption() -> None:
    with pytest.raises(
        CheckpointCorrupted, match=r"corrupted \(state, artifacts\): it can't be read"
    ) as found:
        verify(replace(ONE, state={}, unreadable=("state", "artifacts")))
    assert found.value.details["part"] == "state"
