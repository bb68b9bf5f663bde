"""Campaigns over the wire: what is asked for, and the leaderboard."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, model_validator

from ktrdr.agents.leaderboard import Standing
from ktrdr.api.schemas import DATASET_WHEN_LEFT_OUT, STRATEGY_TEXT, ProgressData, Wire, example, iso
from ktrdr.api.services.campaigns_service import CampaignView
from ktrdr.domain.campaigns import MAX_PARALLEL, MAX_SESSIONS, Campaign
from ktrdr.domain.operations import KEY_MAX_LENGTH, KEY_PATTERN, Status


class StartCampaign(Wire):
    """Sessions one after the other, or several at once. With a strategy nothing is designed."""

    model_config = example({"sessions": 20, "parallel": 2, "seed": 7, "brief": "mean reversion"})
    sessions: int = Field(ge=1, le=MAX_SESSIONS)
    parallel: int = Field(1, ge=1, le=MAX_PARALLEL, description="at most KTRDR_MAX_ACTIVE_SESSIONS")
    seed: int | None = Field(None, ge=0, lt=2**31)
    dataset: str | None = Field(
        None, pattern=KEY_PATTERN, max_length=KEY_MAX_LENGTH, description=DATASET_WHEN_LEFT_OUT
    )
    strategy: dict[str, Any] | None = None
    strategy_text: str | None = Field(None, description=STRATEGY_TEXT)
    brief: str = Field("", max_length=4000)
    budget_usd: float | None = Field(
        None, gt=0.0, le=1e6, allow_inf_nan=False, description="what all its sessions together may spend"
    )

    @model_validator(mode="after")
    def _not_both(self) -> Self:
        if self.strategy is not None and self.strategy_text is not None:
            raise ValueError("send either strategy or strategy_text")
        return self


class CampaignStarted(Wire):
    model_config = example({"operation_id": "campaign_5be1", "sessions": 20, "parallel": 2})
    operation_id: str
    sessions: int
    parallel: int

    @classmethod
    def of(cls, one: Campaign) -> CampaignStarted:
        return cls(operation_id=one.operation_id, sessions=one.sessions, parallel=one.parallel)


class StandingData(Wire):
    """A session's place by its Sharpe ratio on validation bars; without one it has no rank."""

    rank: int | None
    number: int
    session_id: int
    operation_id: str
    status: str
    phase: str
    progress: ProgressData
    error_code: str | None
    error_message: str | None
    seed: int
    strategy: str | None
    validation_sharpe: float | None
    trades: int | None
    gates: list[dict[str, Any]]
    verdict: str | None
    opening: int | None
    fingerprint: str | None

    @classmethod
    def of(cls, one: Standing) -> StandingData:
        session, operation = one.session, one.operation
        assessment = session.assessment or {}
        trades = (session.backtest_result or {}).get("metrics", {}).get("trades")
        return cls(
            rank=one.rank,
            number=one.number,
            session_id=session.session_id,
            operation_id=operation.operation_id,
            status=operation.status.value,
            phase=session.phase.value,
            progress=ProgressData.of(operation.progress),
            error_code=operation.error_code,
            error_message=operation.error_message,
            seed=session.seed,
            strategy=(session.strategy_config or {}).get("name"),
            validation_sharpe=one.sharpe,
            trades=trades if isinstance(trades, int) else None,
            gates=[dict(gate) for gate in session.gates],
            verdict=assessment.get("verdict"),
            opening=assessment.get("opening"),
            fingerprint=session.result_fingerprint,
        )


class CountsData(Wire):
    """How many sessions there are by what became of them; `to_begin` are not there yet."""

    completed: int
    failed: int
    cancelled: int
    active: int
    to_begin: int


class OpeningsData(Wire):
    """Of the holdout of the campaign's data set, by every session there ever was."""

    used: int
    limit: int


class BudgetData(Wire):
    limit_usd: float | None
    spent_usd: float


class CampaignData(Wire):
    operation_id: str
    status: str
    error_code: str | None
    error_message: str | None
    sessions: int
    parallel: int
    seed: int
    dataset: str
    brief: str
    progress: ProgressData
    counts: CountsData
    trials: int = Field(description="strategies evaluated on this data set, by every session there ever was")
    openings: OpeningsData | None
    budget: BudgetData
    leaderboard: list[StandingData]
    result: dict[str, Any] | None
    created_at: str | None
    completed_at: str | None

    @classmethod
    def of(cls, view: CampaignView) -> CampaignData:
        operation, openings = view.operation, view.openings
        request = operation.request
        return cls(
            operation_id=operation.operation_id,
            status=operation.status.value,
            error_code=operation.error_code,
            error_message=operation.error_message,
            sessions=view.campaign.sessions,
            parallel=view.campaign.parallel,
            seed=request["seed"],
            dataset=request["dataset"],
            brief=request["brief"],
            progress=ProgressData.of(operation.progress),
            counts=CountsData(
                completed=view.count(Status.COMPLETED),
                failed=view.count(Status.FAILED),
                cancelled=view.count(Status.CANCELLED),
                active=view.count(Status.RUNNING) + view.count(Status.PENDING),
                to_begin=view.campaign.sessions - len(view.board),
            ),
            trials=view.trials,
            openings=None if openings is None else OpeningsData(used=openings.used, limit=openings.limit),
            budget=BudgetData(limit_usd=view.spending.limit_usd, spent_usd=view.spending.spent_usd),
            leaderboard=[StandingData.of(one) for one in view.board],
            result=None if operation.result is None else dict(operation.result),
            created_at=iso(operation.created_at),
            completed_at=iso(operation.completed_at),
        )
