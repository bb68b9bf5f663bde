"""States of older schema versions, carried on to the present one: one pure step a version.

1: trainings without history, device and schedule; backtests with their arrays in the row.
2: rows whose hash covers operation, sequence and state only.
3: rows that are sealed as a whole; the states are those of 2.
4: sessions that say which hypothesis they test.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import StrEnum
from typing import Any

from ktrdr.checkpointing.schemas import SCHEMA_VERSION, StoredCheckpoint
from ktrdr.domain.errors import CheckpointCorrupted, CheckpointIncompatible

State = Mapping[str, Any]
Upcaster = Callable[[State], State]


class StateKind(StrEnum):
    """What a state is of; the value is a key that only such a state has, in every version."""

    AGENT = "session_id"
    TRAINING = "total_epochs"
    BACKTEST = "bar"


class _Lost(Exception):
    """A state without something that a run can't go on without."""


def _unchanged(state: State) -> State:
    return state


def _session_without_hypothesis(state: State) -> State:
    return {**state, "tests_hypothesis": None}


def _training_without_history(state: State) -> State:
    raise _Lost("its files have neither the history nor the schedule that a training goes on with")


def _backtest_with_arrays(state: State) -> State:
    raise _Lost("its simulation knows no stops, sizes and sides, which a backtest goes on with")


UPCASTERS: Mapping[tuple[StateKind, int], Upcaster] = {
    (StateKind.AGENT, 1): _unchanged,
    (StateKind.AGENT, 2): _unchanged,
    (StateKind.AGENT, 3): _session_without_hypothesis,
    (StateKind.TRAINING, 1): _training_without_history,
    (StateKind.TRAINING, 2): _unchanged,
    (StateKind.TRAINING, 3): _unchanged,
    (StateKind.BACKTEST, 1): _backtest_with_arrays,
    (StateKind.BACKTEST, 2): _unchanged,
    (StateKind.BACKTEST, 3): _unchanged,
}


def upcast(stored: StoredCheckpoint) -> StoredCheckpoint:
    """A verified checkpoint with its state in the present version.

    It is for reading: its hash is still that of the row. Raises CheckpointIncompatible for a state that
    can't be carried on.
    """
    if stored.schema_version >= SCHEMA_VERSION:
        return stored
    kind = _kind(stored)
    state = stored.state
    for version in range(stored.schema_version, SCHEMA_VERSION):
        try:
            state = {**UPCASTERS[kind, version](state), "schema_version": version + 1}
        except (_Lost, KeyError) as lost:
            why = lost if isinstance(lost, _Lost) else f"schema {version} is not known"
            raise CheckpointIncompatible(
                f"The checkpoint of '{stored.operation_id}' was written by an older ktrdr (schema "
                f"{stored.schema_version}) and can't be carried on: {why}. Resume it with the ktrdr that "
                "wrote it, or start the operation anew.",
                {"operation_id": stored.operation_id, "schema_version": stored.schema_version},
            ) from lost
    return replace(stored, state=state, schema_version=SCHEMA_VERSION)


def _kind(stored: StoredCheckpoint) -> StateKind:
    for kind in StateKind:
        if kind.value in stored.state:
            return kind
    raise CheckpointCorrupted(
        f"The checkpoint of '{stored.operation_id}' holds no state that ktrdr knows. Start it anew.",
        {"operation_id": stored.operation_id, "part": "state"},
    )
