from __future__ import annotations

import numpy as np
import pandas
import pytest

from ktrdr.backtesting.report import trade_rows
from ktrdr.backtesting.trades import TradeTable, trade_metrics

from .simulations import DAY, MONDAY, finished, portfolio


def table(*returns: float, spans: list[tuple[int, int]] | None = None) -> TradeTable:
    """Trades of 1,000 each; `spans` are the days of entry and exit."""
    days = np.array(spans or [(0, 1)] * len(returns), dtype=np.int64).reshape(-1, 2)
    each = np.array(returns)
    return TradeTable(
        pnl=1000.0 * each,
        returns=each,
        fees=np.full(len(each), 2.0),
        traded=np.full(len(each), 2000.0),
        bars=days[:, 1] - days[:, 0],
        begin=MONDAY + DAY * days[:, 0],
        end=MONDAY + DAY * days[:, 1],
    )


FLAT = np.full(10, 1000.0)


@pytest.mark.parametrize("make", [finished, portfolio])
def test_the_figures_are_those_of_a_data_frame(make: type) -> None:
    """Each one, computed a second time with pandas from the rows that a person reads."""
    case = make()
    found = trade_metrics(TradeTable.of(case.result.trades, case.bars.time), case.result.equity, 252)
    rows = pandas.DataFrame(trade_rows(case.result.trade_list(), case.symbols, case.bars))
    won, lost = rows[rows.profit_abs > 0], rows[rows.profit_abs < 0]
    traded = (rows.amount * (rows.open_rate + rows.close_rate)).sum()
    streaks = rows.groupby((np.sign(rows.profit_abs).diff() != 0).cumsum()).profit_abs.agg(["size", "first"])
    expected = {
        "gross_profit": won.profit_abs.sum(),
        "gross_loss": -lost.profit_abs.sum(),
        "fees": rows.fee.sum(),
        "profit_factor": won.profit_abs.sum() / -lost.profit_abs.sum(),
        "expectancy": rows.profit_abs.mean(),
        "expectancy_ratio": rows.profit_abs.mean() / -lost.profit_abs.mean(),
        "average_win": won.profit_ratio.mean(),
        "average_loss": lost.profit_ratio.mean(),
        "average_trade": rows.profit_ratio.mean(),
        "best_trade": rows.profit_ratio.max(),
        "worst_trade": rows.profit_ratio.min(),
        "average_trade_bars": rows.bars.mean(),
        "longest_trade_bars": rows.bars.max(),
        "average_trade_seconds": rows.trade_duration.mean(),
        "longest_trade_seconds": rows.trade_duration.max(),
        "longest_winning_streak": streaks[streaks["first"] > 0]["size"].max(),
        "longest_losing_streak": streaks[streaks["first"] < 0]["size"].max(),
        "turnover": traded / case.result.equity.mean() / (len(case.result.equity) / 252),
    }
    assert len(rows) > 20
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-12)
    assert set(found) - set(expected) == {"time_in_market_days"}


def test_expectancy_is_what_the_win_rate_and_the_sizes_say() -> None:
    """Two of three win 3 % and one loses 2 %: the ratio is win rate · (1 + win / loss) - 1."""
    found = trade_metrics(table(0.03, -0.02, 0.03), FLAT, 252)
    assert found["expectancy"] == pytest.approx(1000.0 * (2 / 3 * 0.03 - 1 / 3 * 0.02))
    assert found["expectancy_ratio"] == pytest.approx(2 / 3 * (1 + 0.03 / 0.02) - 1)


def test_without_a_losing_trade_there_is_no_profit_factor() -> None:
    """It is unknown, not infinite; a loss that is rounding is no loss."""
    for found in (trade_metrics(table(0.03, 0.01), FLAT, 252), trade_metrics(table(0.03, -1e-15), FLAT, 252)):
        assert (found["profit_factor"], found["expectancy_ratio"], found["average_loss"]) == (None,) * 3


def test_without_a_trade_only_sums_are_known() -> None:
    """Money and time are 0; no mean, ratio, extreme or streak is a number that could pass a gate."""
    found = trade_metrics(table(), FLAT, 252)
    known = {name: value for name, value in found.items() if value is not None}
    assert known == dict.fromkeys(("gross_profit", "gross_loss", "fees", "time_in_market_days"), 0.0)


def test_streaks_end_at_a_trade_that_neither_won_nor_lost() -> None:
    """Won, won, nought, won is a streak of two."""
    found = trade_metrics(table(0.01, 0.01, 0.0, 0.01, -0.01), FLAT, 252)
    assert (found["longest_winning_streak"], found["longest_losing_streak"]) == (2, 1)


def test_time_in_the_market_counts_a_day_once() -> None:
    """Trades of several symbols overlap; one may lie within another, and a gap is not counted."""
    spans = [(0, 10), (2, 4), (8, 12), (20, 21)]
    found = trade_metrics(table(0.01, 0.01, 0.01, 0.01, spans=spans), FLAT, 252)
    assert found["time_in_market_days"] == 13.0


def test_once_in_and_out_a_year_is_a_turnover_of_two() -> None:
    """The whole account, bought and sold, in a year of bars."""
    assert trade_metrics(table(0.0), np.full(252, 1000.0), 252)["turnover"] == pytest.approx(2.0)


def test_a_ruined_account_has_no_turnover() -> None:
    """Nothing was worth anything on average: there is nothing to divide by."""
    assert trade_metrics(table(-1.0), np.zeros(3), 252)["turnover"] is None
