"""Start a campaign and look at what its sessions have come to.

Cancel and resume are operations' business: a campaign is one operation like any other.
"""

from __future__ import annotations

import asyncio
import builtins
import secrets
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ktrdr.agents.beginnings import KNOWN_TRIALS
from ktrdr.agents.campaigns import inputs_of
from ktrdr.agents.leaderboard import Standing, ranked
from ktrdr.agents.session_setup import SessionSetup
from ktrdr.agents.spending import require_budget
from ktrdr.checkpointing.schemas import CampaignCheckpointState, CheckpointType
from ktrdr.domain.calls import campaign_scope
from ktrdr.domain.campaigns import Campaign
from ktrdr.domain.errors import InvalidInput, KtrdrError
from ktrdr.domain.market import MAX_OPENINGS
from ktrdr.domain.operations import NewOperation, Operation, OperationType, Status
from ktrdr.domain.strategies import parse_strategy
from ktrdr.persistence.budgets import Spending
from ktrdr.persistence.unit_of_work import Database


@dataclass(frozen=True)
class Wanted:
    """What a user asks for. With a strategy nothing is designed: each session has its own seed."""

    sessions: int
    parallel: int = 1
    seed: int | None = None
    dataset: str | None = None  # the strategy's own, or the built-in one
    strategy: Mapping[str, Any] | None = None
    brief: str = ""
    budget_usd: float | None = None


@dataclass(frozen=True)
class Openings:
    """How many times the holdout was opened, and how many times it can be."""

    used: int
    limit: int = MAX_OPENINGS


@dataclass(frozen=True)
class CampaignView:
    """A campaign as the database has it now."""

    campaign: Campaign
    operation: Operation
    board: tuple[Standing, ...]
    trials: int  # strategies evaluated on its data set, by whomever
    openings: Openings | None  # None: its data are gone
    spending: Spending

    def count(self, status: Status) -> int:
        return sum(one.operation.status is status for one in self.board)


class CampaignsService:
    """Use cases of campaigns."""

    def __init__(self, database: Database, setup: SessionSetup) -> None:
        self._database = database
        self._setup = setup

    async def start(self, wanted: Wanted) -> Campaign:
        """Operation, campaign, budget and first checkpoint in one transaction; its sessions follow.

        What the first designers may look at is fixed here. A campaign holds no capacity, its sessions do.
        Raises InvalidInput for what can't be run, BudgetExhausted as a trigger does.
        """
        if wanted.parallel > self._setup.max_active:
            raise InvalidInput(
                f"parallel: {wanted.parallel} sessions at once are more than this backend runs "
                f"({self._setup.max_active}). Ask for fewer, or start it with "
                f"KTRDR_MAX_ACTIVE_SESSIONS={wanted.parallel}.",
                {"max_active_sessions": self._setup.max_active},
            )
        given = None if wanted.strategy is None else parse_strategy(wanted.strategy)
        spec = await asyncio.to_thread(self._setup.catalog.dataset_for, given, wanted.dataset)
        campaign_id = f"campaign_{uuid.uuid4().hex[:12]}"
        state = CampaignCheckpointState(campaign_id, wanted.sessions, wanted.parallel, 0, ())
        async with self._database.transaction() as tx:
            await require_budget(tx, self._setup.limits)
            request = {
                "sessions": wanted.sessions,
                "parallel": wanted.parallel,
                "seed": secrets.randbelow(2**31) if wanted.seed is None else wanted.seed,
                "dataset": spec.key,
                "strategy": None if given is None else given.to_config(),
                "brief": wanted.brief,
                "budget_usd": wanted.budget_usd,
                "known_trials": await tx.ledger.recent_ids(KNOWN_TRIALS),
            }
            await tx.operations.insert_if_absent(
                NewOperation(
                    campaign_id,
                    OperationType.CAMPAIGN,
                    request,
                    is_backend_local=True,
                    owner=self._setup.instance,
                )
            )
            await tx.campaigns.create(campaign_id, sessions=wanted.sessions, parallel=wanted.parallel)
            if wanted.budget_usd is not None:
                await tx.budgets.set(campaign_scope(campaign_id), wanted.budget_usd)
            await tx.checkpoints.save(
                campaign_id,
                0,
                CheckpointType.PHASE_TRANSITION,
                state.to_json(),
                None,
                inputs_of(request, self._setup.catalog, self._setup.settings),
            )
            campaign = await tx.campaigns.get(campaign_id)
        self._setup.wake()
        return campaign

    async def view(self, campaign_id: str) -> CampaignView:
        """One campaign. Raises CampaignNotFound."""
        async with self._database.read() as tx:
            campaign = await tx.campaigns.get(campaign_id)
            operation = await tx.operations.get(campaign_id)
        dataset = str(operation.request["dataset"])
        key = await asyncio.to_thread(self._holdout_key, dataset)
        async with self._database.read() as tx:
            return CampaignView(
                campaign=campaign,
                operation=await tx.operations.get(campaign_id),
                board=ranked(
                    await tx.campaigns.members(campaign_id), await tx.campaigns.sessions(campaign_id)
                ),
                trials=await tx.ledger.count(dataset),
                openings=None if key is None else Openings(await tx.ledger.opened(key)),
                spending=await tx.budgets.spending(campaign_id),
            )

    async def list(self, limit: int) -> builtins.list[CampaignView]:
        """Campaigns, newest first."""
        async with self._database.read() as tx:
            found = await tx.campaigns.list(limit)
        return [await self.view(one.operation_id) for one in found]

    def _holdout_key(self, dataset: str) -> str | None:
        try:
            spec = self._setup.catalog.get(dataset)
            return spec.holdout_key(self._setup.catalog.sha256(spec.key))
        except KtrdrError:  # a leaderboard is shown although its data are gone
            return None
