"""What the language model may cost: one check for whatever sets a session going, or a campaign."""

from __future__ import annotations

from collections.abc import Sequence

from ktrdr.agents.campaign_plan import is_interrupted
from ktrdr.checkpointing.schemas import AgentCheckpointState, CampaignCheckpointState
from ktrdr.domain.calls import DAY, Budget, Limits
from ktrdr.domain.campaigns import settled
from ktrdr.domain.errors import BudgetExhausted
from ktrdr.domain.sessions import AgentSession
from ktrdr.persistence.unit_of_work import Transaction


async def require_budget(
    tx: Transaction,
    limits: Limits | None,
    resuming: AgentCheckpointState | CampaignCheckpointState | None = None,
) -> None:
    """Raises BudgetExhausted when a model would be asked (`limits` is not None) and a budget is spent.

    What begins is told of the day's. What goes on, as its checkpoint has it, has its own and its campaign's
    too, unless all that is left of it needs no model.
    """
    if limits is None:
        return
    for budget in await _budgets(tx, limits, resuming):
        if budget.is_spent:
            raise await _spent(tx, budget)


def asks_a_model(session: AgentSession | AgentCheckpointState) -> bool:
    """Whether a session that has not completed has its design or its opinion before it: the opinion is
    recorded before the holdout is opened."""
    return session.holdout_operation_id is None


async def _budgets(
    tx: Transaction, limits: Limits, resuming: AgentCheckpointState | CampaignCheckpointState | None
) -> Sequence[Budget]:
    match resuming:
        case AgentCheckpointState():
            return await tx.budgets.of_call(resuming.operation_id, limits) if asks_a_model(resuming) else ()
        case CampaignCheckpointState():
            return await _of_campaign(tx, limits, resuming)
    return (await tx.budgets.day(limits),)


async def _of_campaign(tx: Transaction, limits: Limits, state: CampaignCheckpointState) -> Sequence[Budget]:
    """Those of the sessions that it takes up, and its own and the day's when others are to begin."""
    found: list[Budget] = []
    window = settled(state.begun, state.parallel)
    for one in await tx.campaigns.members(state.operation_id, above=window):
        if one.number not in state.ended and is_interrupted(one.operation):
            session = await tx.sessions.by_operation(one.operation.operation_id)
            if session is not None and asks_a_model(session):
                found.extend(await tx.budgets.of_call(session.operation_id, limits))
    if state.begun < state.sessions:
        own = await tx.budgets.campaign(state.operation_id)
        found.extend([await tx.budgets.day(limits)] if own is None else [own, await tx.budgets.day(limits)])
    return found


async def _spent(tx: Transaction, budget: Budget) -> BudgetExhausted:
    session = await tx.sessions.by_operation(budget.owner)
    name, command = budget.named(budget.owner if session is None else str(session.session_id))
    wait = ", or wait until midnight UTC" if budget.scope == DAY else ""
    return BudgetExhausted(
        f"{name} of ${budget.limit_usd:.2f} is spent (${budget.spent_usd:.4f}). "
        f"Raise it ({command} USD){wait}.",
        {"scope": budget.scope, "limit_usd": budget.limit_usd, "spent_usd": budget.spent_usd},
    )
