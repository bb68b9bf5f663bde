"""Budgets and what `ktrdr doctor` finds, over the wire."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from ktrdr.api.schemas import Wire, example
from ktrdr.api.services.budget_service import Standing
from ktrdr.api.services.doctor_service import Check
from ktrdr.domain.calls import Budget
from ktrdr.domain.operations import KEY_MAX_LENGTH, KEY_PATTERN


class BudgetData(Wire):
    """US dollars. What is on its way counts as spent at the most it can cost."""

    limit_usd: float
    spent_usd: float
    left_usd: float

    @classmethod
    def of(cls, budget: Budget | None) -> BudgetData | None:
        if budget is None:
            return None
        return cls(limit_usd=budget.limit_usd, spent_usd=budget.spent_usd, left_usd=budget.left_usd)


class BudgetsData(Wire):
    model_config = example(
        {
            "day": {"limit_usd": 10.0, "spent_usd": 0.42, "left_usd": 9.58},
            "session": {"limit_usd": 1.0, "spent_usd": 0.12, "left_usd": 0.88},
            "campaign": None,
        }
    )
    day: BudgetData
    session: BudgetData | None
    campaign: BudgetData | None

    @classmethod
    def of(cls, standing: Standing) -> BudgetsData:
        day = BudgetData.of(standing.day)
        assert day is not None
        session, campaign = BudgetData.of(standing.session), BudgetData.of(standing.campaign)
        return cls(day=day, session=session, campaign=campaign)


class BudgetRequest(Wire):
    """Of the day when neither a session nor a campaign is named."""

    model_config = example({"limit_usd": 2.0, "session_id": 1})
    limit_usd: float = Field(ge=0, le=1_000_000, allow_inf_nan=False)
    session_id: int | None = Field(None, ge=1)
    campaign_id: str | None = Field(None, pattern=KEY_PATTERN, max_length=KEY_MAX_LENGTH)

    @model_validator(mode="after")
    def _not_both(self) -> Self:
        if self.session_id is not None and self.campaign_id is not None:
            raise ValueError("send either session_id or campaign_id")
        return self


class CheckData(Wire):
    name: str
    state: str
    message: str

    @classmethod
    def of(cls, check: Check) -> CheckData:
        return cls(name=check.name, state=check.state.value, message=check.message)
