"""What a campaign can't be asked for."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from ktrdr.api.campaign_schemas import StartCampaign


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"sessions": 0},
        {"sessions": 1001},
        {"sessions": 3, "parallel": 0},
        {"sessions": 3, "seed": -1},
        {"sessions": 3, "budget_usd": 0.0},
        {"sessions": 3, "budget_usd": float("inf")},
        {"sessions": 3, "brief": "x" * 4001},
        {"sessions": 3, "dataset": "../nasdaq"},
        {"sessions": 3, "strategy": {}, "strategy_text": "name: x"},
        {"sessions": 3, "forever": True},
    ],
)
def test_it_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        StartCampaign(**wrong)
    assert StartCampaign(sessions=3).parallel == 1
