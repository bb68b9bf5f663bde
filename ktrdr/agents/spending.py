"""What the language model may cost: one check for whatever sets a session going."""

from __future__ import annotations

from ktrdr.domain.calls import Limits
from ktrdr.domain.errors import BudgetExhausted
from ktrdr.persistence.unit_of_work import Transaction


async def require_budget(tx: Transaction, limits: Limits | None) -> None:
    """Raises BudgetExhausted when a model is asked (`limits` is not None) and the day's budget is spent."""
    if limits is None:
        return
    day = await tx.budgets.day(limits)
    if day.is_spent:
        raise BudgetExhausted(
            f"The day's budget of ${day.limit_usd:.2f} is spent (${day.spent_usd:.4f}). "
            "Raise it (ktrdr research budget --day USD), or wait until midnight UTC.",
            {"scope": day.scope, "limit_usd": day.limit_usd, "spent_usd": day.spent_usd},
        )
