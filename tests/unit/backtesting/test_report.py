from __future__ import annotations

import json
from datetime import datetime

import numpy as np
import pytest
from hypothesis import given, settings

from ktrdr.backtesting.metrics import metrics
from ktrdr.backtesting.portfolio import SimulationState
from ktrdr.backtesting.prices import Panel
from ktrdr.backtesting.report import report
from ktrdr.domain.fingerprints import canonical_json

from .simulations import COSTLY, Finished, anything, finished, idle, portfolio, weekdays

PRICES = ("open", "high", "low", "close")


def reported(case: Finished) -> dict[str, object]:
    return report(case.result, case.bars, case.symbols, case.rules, 252.0, {"segment": "validation"})


def test_a_report_has_what_the_sheet_reads() -> None:
    """Every part, what it is about, and the metrics as they are computed elsewhere."""
    case = finished()
    found = report(case.result, case.bars, ["ACME"], case.rules, 252.0, {"segment": "validation"})
    assert list(found) == ["schema", "meta", "metrics", "trades", "series", "bars", "monthly", "yearly"]
    assert found["schema"] == 1
    assert found["metrics"] == metrics(case.result, case.bars, 252.0)
    meta = found["meta"]
    assert meta["rules"].pop("stop_loss") == 0.03
    del meta["rules"]
    assert meta == {
        "symbols": ["ACME"],
        "timeframe": "1d",
        "first": "2009-03-16T00:00:00Z",
        "last": "2013-08-09T00:00:00Z",
        "bars": 1150,
        "bars_per_year": 252.0,
        "capital": 20_000.0,
        "fee": 0.0007,
        "slippage": 0.0002,
        "segment": "validation",
    }


def test_trades_have_the_names_that_people_know() -> None:
    """A row is its trade: prices, money, times of its bars, reason and side."""
    case = finished()
    rows = report(case.result, case.bars, ["ACME"], case.rules, 252.0)["trades"]
    assert len(rows) == len(case.result.trade_list())
    assert {row["exit_reason"] for row in rows} >= {"signal", "stop_loss", "take_profit"}
    for row, trade in zip(rows, case.result.trade_list(), strict=True):
        opened, closed = (datetime.fromisoformat(row[name]) for name in ("open_date", "close_date"))
        assert opened.timestamp() == case.bars.time[trade.entry_bar]
        assert (closed - opened).total_seconds() == row["trade_duration"]
        assert row == {
            "pair": "ACME",
            "open_date": row["open_date"],
            "close_date": row["close_date"],
            "open_rate": trade.entry_price,
            "close_rate": trade.exit_price,
            "amount": abs(trade.units),
            "fee": trade.fee,
            "profit_abs": trade.pnl,
            "profit_ratio": trade.return_,
            "trade_duration": row["trade_duration"],
            "bars": trade.exit_bar - trade.entry_bar,
            "exit_reason": trade.reason,
            "is_short": trade.units < 0,
        }


def test_the_series_are_the_account_and_its_benchmark() -> None:
    """Equity, the capital held in the same bars, and the depth below the peak, at each bar's time."""
    case = finished()
    series = report(case.result, case.bars, ["ACME"], case.rules, 252.0)["series"]
    closes = case.bars.close[case.result.first :]
    assert series["time"] == case.bars.time[case.result.first :].tolist()
    assert series["equity"] == case.result.equity.tolist()
    assert series["benchmark"] == pytest.approx(20_000.0 * closes / closes[0])
    peak = np.maximum(np.maximum.accumulate(case.result.equity), 20_000.0)
    assert series["drawdown"] == pytest.approx(1.0 - case.result.equity / peak)


def test_a_portfolio_is_reported_with_the_names_of_its_symbols() -> None:
    """Trades name their symbol, the benchmark holds both, the candles are the first one's own bars."""
    case = portfolio()
    found = report(case.result, case.bars, case.symbols, case.rules, 252.0)
    assert {row["pair"] for row in found["trades"]} == {"ACME", "ZINC"}
    growth = case.bars.close / case.bars.close[0]
    assert found["series"]["benchmark"] == pytest.approx(20_000.0 * growth.mean(axis=1))
    assert found["bars"]["symbol"] == "ACME"
    assert found["bars"]["close"] == case.bars.close[:, 0].tolist()


def test_candles_are_those_that_the_first_symbol_has() -> None:
    """An instant at which only the other symbol has a bar is no candle."""
    case = portfolio()
    columns = {name: getattr(case.bars, name)[:, ::-1] for name in PRICES}
    present = np.arange(400)[:, None] % 7 != np.array([[3, 7]])
    panel = Panel(time=case.bars.time, per_year=case.bars.per_year, present=present, **columns)
    found = report(case.result, panel, ["ZINC", "ACME"], case.rules, 252.0)
    assert found["bars"]["time"] == case.bars.time[np.arange(400) % 7 != 3].tolist()


@settings(deadline=None, max_examples=100)
@given(anything())
def test_a_report_is_plain_json(case: Finished) -> None:
    """Whatever happened, it has one spelling, and reads back as what was written."""
    found = reported(case)
    assert json.loads(canonical_json(found)) == found
    assert canonical_json(reported(case)) == canonical_json(found)


def test_a_report_of_no_trade_is_a_report() -> None:
    """The account is a flat line and the table is empty."""
    found = reported(idle())
    assert found["trades"] == []
    assert found["yearly"] == [[2009, 0.0]]


def test_a_report_of_nothing_is_refused() -> None:
    """An empty result raises, and so do names that are not those of the bars."""
    with pytest.raises(ValueError, match="nothing was simulated"):
        report(SimulationState.start(0), weekdays(3), ["ACME"], COSTLY, 252.0)
    case = finished(100)
    with pytest.raises(ValueError, match="2 symbols for the bars of 1"):
        report(case.result, case.bars, ["ACME", "ZINC"], case.rules, 252.0)
