"""The campaign loop: begin a session, wait for an end, note it; all of it from what is stored.

A session begins in the transaction that counts it, so that a campaign killed at any instant has the
same sessions, with the same seeds and the same earlier trials, as one that nothing interrupted.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol

from ktrdr.agents.attempts import Ending, Save, outliving_outages, run_attempt
from ktrdr.agents.beginnings import KNOWN_TRIALS, NewSession, begin, known_hypotheses
from ktrdr.agents.campaign_plan import interrupted, may_begin, progress_of
from ktrdr.agents.capacity import require_capacity
from ktrdr.agents.leaderboard import result_of
from ktrdr.agents.session_setup import SessionSetup
from ktrdr.agents.workbench import Interrupted, Interruption, Workbench
from ktrdr.checkpointing.schemas import CampaignCheckpointState, CheckpointType
from ktrdr.checkpointing.verification import verified_row
from ktrdr.data.catalog import Catalog
from ktrdr.data.provenance import fingerprint_of
from ktrdr.domain.campaigns import STOPPING, session_operation_id, session_seed, settled
from ktrdr.domain.errors import (
    BudgetExhausted,
    CheckpointCorrupted,
    CheckpointIncompatible,
    CheckpointNotFound,
    DatabaseUnavailable,
    KtrdrError,
    SessionActive,
    StepFailed,
)
from ktrdr.domain.fingerprints import Fingerprint
from ktrdr.domain.operations import RESUMABLE, TERMINAL, Event, Progress, Status
from ktrdr.domain.sessions import TriggerReason
from ktrdr.persistence.campaigns import Member
from ktrdr.persistence.unit_of_work import Transaction

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
ROOM_LOOKS = 4  # so many times as long between two looks for room, where others hold the capacity


class ResumeSession(Protocol):
    """Re-queue a session at its checkpoint, verified as for a user."""

    def __call__(self, operation_id: str, *, force: bool, automatic: bool) -> Awaitable[object]: ...


@dataclass(frozen=True)
class Means:
    """What a campaign sets its sessions going with."""

    setup: SessionSetup
    resume: ResumeSession
    look_seconds: float = LOOK_SECONDS


def inputs_of(request: Mapping[str, Any], catalog: Catalog, settings: Mapping[str, Any]) -> Fingerprint:
    """What a campaign is made from: a resume under another code, data or gates is refused."""
    return fingerprint_of(catalog, str(request["dataset"]), request["strategy"], settings)


async def run_campaign(bench: Workbench, means: Means) -> None:
    """Run one claimed attempt: take up what was interrupted, then go through the series."""

    async def run(bench: Workbench) -> bool:
        while await outliving_outages(bench, partial(_take_up, means=means)):
            pass
        while await outliving_outages(bench, partial(_advance, means=means)):
            pass
        return False

    await run_attempt(bench, run, _prepared)


async def _take_up(bench: Workbench, *, means: Means) -> bool:
    """Resume one session that had begun and was interrupted; False when there is none left.

    As the campaign was resumed, so are its sessions: by a user or automatically, forced or not. One that
    can't be resumed has ended, with the error that its row has; one whose budget is spent stops the campaign.
    """
    await bench.check()
    state = await _load(bench)
    async with bench.database.read() as tx:
        found = interrupted(await _open(tx, state))
        resumes = (await tx.resumes.of([state.operation_id])).get(state.operation_id, [])
    if found is None:
        return False
    forced, automatic = (resumes[-1].forced, resumes[-1].automatic) if resumes else (False, True)
    session_id = found.operation.operation_id
    try:
        await means.resume(session_id, force=forced, automatic=automatic)
    except SessionActive as full:
        await _show(bench, state, waiting=full.message)
        await bench.pause(means.look_seconds * ROOM_LOOKS)
    except DatabaseUnavailable:
        raise
    except BudgetExhausted as spent:
        raise _stopped(found.number, spent.code, spent.message) from spent
    except KtrdrError as obstacle:
        log.warning("%s is not resumed (%s): %s", session_id, obstacle.code, obstacle.message)
        async with bench.database.read() as tx:
            now = await tx.operations.get(session_id)
        if now.status in RESUMABLE:  # else somebody else has resumed it at the same moment
            await _note(bench, state, [found.number])
    return True


async def _advance(bench: Workbench, *, means: Means) -> bool:
    """One session's beginning or end, to its commit; False once all have ended."""
    await bench.check()
    state = await _load(bench)
    if len(state.ended) == state.sessions:
        await _complete(bench, state)
        return False
    waiting = None
    if may_begin(state):
        try:
            await _begin(bench, state, means)
            return True
        except SessionActive as full:
            waiting = full.message
    async with bench.database.read() as tx:
        ended = [one for one in await _open(tx, state) if one.operation.status in TERMINAL]
    if ended:
        _require_going_on(ended)
        await _note(bench, state, [one.number for one in ended])
        return True
    await _show(bench, state, waiting=waiting)
    await bench.pause(means.look_seconds * (1 if waiting is None else ROOM_LOOKS))
    return True


def _require_going_on(ended: Sequence[Member]) -> None:
    """Raises for what would be the end of every later session too; none of it is noted as an end."""
    for one in ended:
        operation = one.operation
        if operation.status is Status.FAILED and operation.error_code in STOPPING:
            raise _stopped(one.number, operation.error_code or "", operation.error_message or "")


def _stopped(number: int, code: str, message: str) -> StepFailed:
    return StepFailed(
        code,
        f"session {number} could not go on: {message}\n"
        "Mend that and resume the campaign: it goes on with this session.",
    )


async def _begin(bench: Workbench, state: CampaignCheckpointState, means: Means) -> None:
    """The next session: capacity, session, membership and count in one transaction. Raises SessionActive."""
    request, number = bench.operation.request, state.begun + 1
    after = replace(state, begun=number)
    async with bench.database.transaction() as tx:
        await require_capacity(tx, means.setup.max_active)
        known = settled(number, state.parallel)
        own = await tx.campaigns.trials(state.operation_id, up_to=known)
        beside = [
            one.operation.operation_id for one in await tx.campaigns.members(state.operation_id, above=known)
        ]
        new = NewSession(
            operation_id=session_operation_id(state.operation_id, number),
            reason=TriggerReason.SCHEDULED,
            seed=session_seed(int(request["seed"]), number),
            dataset=request["dataset"],
            strategy=request["strategy"],
            brief=request["brief"],
            known_trials=[*request["known_trials"], *own][-KNOWN_TRIALS:],
            known_hypotheses=await known_hypotheses(tx, besides=beside),
        )
        progress = progress_of(after, await _open(tx, state), f"session {number} of {state.sessions} begins")
        await _fenced(tx, bench, progress)
        await begin(tx, new, means.setup)
        await tx.campaigns.begun(state.operation_id, number, new.operation_id)
        await _save(tx, bench, after, CheckpointType.PHASE_TRANSITION)
    means.setup.wake()


async def _note(bench: Workbench, state: CampaignCheckpointState, numbers: Sequence[int]) -> None:
    """Sessions have ended, whatever they came to; a resume of the campaign leaves them alone."""
    after = replace(state, ended=tuple(sorted({*state.ended, *numbers})))
    async with bench.database.transaction() as tx:
        progress = progress_of(after, await _open(tx, after))
        await _fenced(tx, bench, progress)
        await _save(tx, bench, after, CheckpointType.PHASE_TRANSITION)


async def _show(bench: Workbench, state: CampaignCheckpointState, *, waiting: str | None) -> None:
    """The sessions' progress as the campaign's own, where it has changed."""
    async with bench.database.read() as tx:
        own = await tx.operations.get(state.operation_id)
        progress = progress_of(state, await _open(tx, state), waiting)
    if progress != own.progress:
        async with bench.database.transaction() as tx:
            await tx.operations.advance(state.operation_id, bench.operation.attempt, progress)


async def _complete(bench: Workbench, state: CampaignCheckpointState) -> None:
    async with bench.database.transaction() as tx:
        members = await tx.campaigns.members(state.operation_id)
        sessions = await tx.campaigns.sessions(state.operation_id)
        done = await tx.operations.finish(
            state.operation_id,
            bench.operation.attempt,
            Event.COMPLETE,
            result=result_of(members, sessions),
        )
        if not done:
            raise Interrupted(Interruption.FENCED)
        await tx.checkpoints.delete(state.operation_id)


async def _prepared(bench: Workbench, ending: Ending) -> Save | None:
    """A cancelled campaign's sessions are cancelled first, all at once."""
    try:
        state = await _load(bench)
    except (CheckpointNotFound, CheckpointCorrupted, CheckpointIncompatible):
        return None
    if ending.event is Event.CANCEL:
        async with bench.database.transaction() as tx:
            active = [
                one.operation.operation_id
                for one in await _open(tx, state)
                if one.operation.status not in TERMINAL
            ]
            for session_id in active:
                if not await tx.operations.cancel_pending(session_id):
                    await tx.operations.request_cancel(session_id)
        for session_id in active:
            await bench.stop_child(session_id)
    return lambda tx, kind: _save(tx, bench, state, kind)


async def _load(bench: Workbench) -> CampaignCheckpointState:
    """The campaign as its checkpoint has it."""
    async with bench.database.read() as tx:
        stored = await tx.checkpoints.get(bench.operation.operation_id)
    if stored is None:
        raise CheckpointNotFound(bench.operation.operation_id)
    return CampaignCheckpointState.from_json(verified_row(stored).state)


async def _open(tx: Transaction, state: CampaignCheckpointState) -> list[Member]:
    """The sessions whose end is not noted. All that are further back than the window have ended."""
    members = await tx.campaigns.members(state.operation_id, above=settled(state.begun, state.parallel))
    return [one for one in members if one.number not in state.ended]


async def _fenced(tx: Transaction, bench: Workbench, progress: Progress) -> None:
    if not await tx.operations.advance(
        bench.operation.operation_id, bench.operation.attempt, progress, milestone=True
    ):
        raise Interrupted(Interruption.FENCED)


async def _save(
    tx: Transaction, bench: Workbench, state: CampaignCheckpointState, kind: CheckpointType
) -> None:
    await tx.checkpoints.save(
        state.operation_id,
        bench.operation.attempt,
        kind,
        state.to_json(),
        None,
        inputs_of(bench.operation.request, bench.catalog, bench.settings),
    )
