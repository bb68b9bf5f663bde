"""What goes and what stays, over any families and any folders."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import example, given
from hypothesis import strategies as st

from ktrdr.checkpointing.folders import Folder
from ktrdr.checkpointing.retention import is_expired, unreferenced
from ktrdr.domain.operations import TERMINAL, Operation, OperationType, Progress, Resources, Status

NOW = 1_000.0
OWNERS = ("op_1", "op_2", "op_2.model", "research_1", "research_1.training", "research_1.training.model")


def operation(status: Status, updated_at: float) -> Operation:
    return Operation(
        operation_id="op",
        operation_type=OperationType.TRAINING,
        status=status,
        is_backend_local=False,
        parent_operation_id=None,
        request={},
        attempt=1,
        owner=None,
        executor_ref=None,
        lease_expires_at=None,
        cancel_requested_at=None,
        progress=Progress(),
        result=None,
        error_code=None,
        error_message=None,
        error_details=None,
        resources=Resources(),
        revision=1,
        created_at=0.0,
        queued_at=0.0,
        started_at=None,
        completed_at=None,
        updated_at=updated_at,
    )


ages = st.floats(-100.0, NOW)
families = st.lists(
    st.builds(operation, st.sampled_from(Status), ages.map(lambda age: NOW - age)), min_size=1
)
folders = st.lists(
    st.builds(Folder, st.sampled_from(OWNERS), st.sampled_from("abc"), ages.map(lambda age: NOW - age))
)


@given(families, st.floats(0.0, NOW))
@example([operation(Status.FAILED, NOW)], 0.0)
def test_a_family_goes_when_all_of_it_is_over_and_old(family: Sequence[Operation], seconds: float) -> None:
    """One member that waits, runs, or was written to lately keeps the whole family."""
    over = {one.status for one in family} <= TERMINAL
    last = max(one.updated_at for one in family)
    assert is_expired(family, NOW, seconds) == (over and NOW - last >= seconds)


@given(folders, st.sets(st.sampled_from(OWNERS)), st.data(), st.floats(0.0, NOW))
def test_a_folder_goes_when_it_is_old_and_nothing_needs_it(
    found: list[Folder], active: set[str], data: st.DataObject, seconds: float
) -> None:
    paths = sorted({one.path for one in found}) or ["none"]
    referenced = data.draw(st.sets(st.sampled_from(paths)))
    gone = unreferenced(found, active=active, referenced=referenced, now=NOW, seconds=seconds)
    for one in found:
        stays = (
            one.path in referenced
            or any(one.owner == name or one.owner.startswith(f"{name}.") for name in active)
            or NOW - one.modified < seconds
        )
        assert (one in gone) != stays
    assert [one.modified for one in gone] == sorted(one.modified for one in gone), "the oldest first"
