"""What each figure is called in plain words, its unit, and what it says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ktrdr.reporting.wording import (
    DAY,
    NOTHING,
    count,
    date,
    duration,
    instant,
    money,
    percent,
    ratio,
)


def _signed(value: float) -> str:
    return percent(value, signed=True)


def _earned(value: float) -> str:
    return money(value, signed=True)


def _bars(value: float) -> str:
    return f"{count(value)} bars"


def _days(value: float) -> str:
    return duration(round(value * DAY))


def _date(value: str) -> str:
    return date(instant(value))


def _held(name: str) -> str:
    return f"buy_and_hold_{name}"


@dataclass(frozen=True)
class Metric:
    """`beside` is the figure of buy-and-hold that stands in the same row."""

    name: str
    label: str
    written: Callable[[Any], str]
    says: str
    beside: str = ""


GROUPS: tuple[tuple[str, tuple[Metric, ...]], ...] = (
    (
        "Return",
        (
            Metric(
                "total_return", "Total return", _signed, "first bar to last, after costs", _held("return")
            ),
            Metric("annual_return", "Annual return", _signed, "a year, by bars", _held("annual_return")),
            Metric("cagr", "CAGR", _signed, "a year, by the calendar", _held("cagr")),
            Metric("profit", "Profit", _earned, "money, after costs"),
            Metric("final_equity", "Final equity", money, "money at the last close"),
            Metric("alpha", "Alpha", _signed, "a year, beyond what its beta to buy-and-hold earned"),
            Metric("beta", "Beta", ratio, "its move when buy-and-hold moves by 1"),
            Metric("correlation", "Correlation", ratio, "with buy-and-hold, from −1 to 1"),
        ),
    ),
    (
        "Risk",
        (
            Metric("volatility", "Volatility", percent, "deviation of returns, a year", _held("volatility")),
            Metric("sharpe", "Sharpe ratio", ratio, "mean over deviation, a year", _held("sharpe")),
            Metric("sortino", "Sortino ratio", ratio, "mean over deviation of losses, a year"),
            Metric("calmar", "Calmar ratio", ratio, "CAGR over the deepest drawdown"),
            Metric(
                "max_drawdown",
                "Deepest drawdown",
                percent,
                "of the highest worth before",
                _held("max_drawdown"),
            ),
            Metric("max_drawdown_start", "… began", _date, "the peak before it"),
            Metric("max_drawdown_trough", "… lowest", _date, "its lowest bar"),
            Metric("max_drawdown_recovery", "… recovered", _date, "back at the peak; – is not yet"),
            Metric("max_drawdown_bars", "… bars", _bars, "from its peak to its recovery or the end"),
            Metric("max_drawdown_days", "… time", _days, "the same by the calendar"),
            Metric("longest_drawdown_bars", "Longest drawdown", _bars, "the longest time below a peak"),
            Metric("longest_drawdown_days", "… time", _days, "the same by the calendar"),
        ),
    ),
    (
        "Trades",
        (
            Metric("trades", "Trades", count, "closed positions"),
            Metric("win_rate", "Win rate", percent, "trades that gained after costs"),
            Metric("profit_factor", "Profit factor", ratio, "money won over money lost"),
            Metric("gross_profit", "Money won", money, "of the trades that gained"),
            Metric("gross_loss", "Money lost", money, "of the trades that lost"),
            Metric("expectancy", "Expectancy", _earned, "mean profit of a trade, in money"),
            Metric("expectancy_ratio", "Expectancy ratio", ratio, "expectancy over the average loss"),
            Metric("average_trade", "Average trade", _signed, "mean return of a trade"),
            Metric("average_win", "Average gain", _signed, "mean return of those that gained"),
            Metric("average_loss", "Average loss", _signed, "mean return of those that lost"),
            Metric("best_trade", "Best trade", _signed, "return of the best"),
            Metric("worst_trade", "Worst trade", _signed, "return of the worst"),
            Metric("longest_winning_streak", "Longest run of gains", count, "trades in a row"),
            Metric("longest_losing_streak", "Longest run of losses", count, "trades in a row"),
            Metric("average_trade_bars", "Average length", _bars, "from entry to exit"),
            Metric("average_trade_seconds", "… time", duration, "the same by the calendar"),
            Metric("longest_trade_bars", "Longest trade", _bars, "from entry to exit"),
            Metric("longest_trade_seconds", "… time", duration, "the same by the calendar"),
        ),
    ),
    (
        "Activity and costs",
        (
            Metric("exposure", "Exposure", percent, "share of the bars with a position"),
            Metric("time_in_market_days", "Time in the market", _days, "by the calendar, overlaps once"),
            Metric("turnover", "Turnover", ratio, "times the mean equity was bought or sold, a year"),
            Metric("fees", "Fees paid", money, "both sides of all trades"),
        ),
    ),
)
# What the terms say already.
ELSEWHERE = {"bars_per_year", "capital"}
NAMED = ELSEWHERE | {name for _, group in GROUPS for one in group for name in (one.name, one.beside)}
HEADLINE = ("total_return", "cagr", "sharpe", "max_drawdown", "win_rate", "trades")


@dataclass(frozen=True)
class Row:
    label: str
    value: str
    beside: str
    says: str


def groups(metrics: Mapping[str, Any]) -> list[tuple[str, list[Row]]]:
    """The figures that the report has, by group; one without a name here is shown under Other."""
    found = [(title, [row(one, metrics) for one in group if one.name in metrics]) for title, group in GROUPS]
    found.append(("Other", list(_others(metrics))))
    return [(title, rows) for title, rows in found if rows]


def row(metric: Metric, metrics: Mapping[str, Any]) -> Row:
    value, beside = metrics.get(metric.name), metrics.get(metric.beside)
    return Row(
        label=metric.label,
        value=metric.written(value) if value is not None else NOTHING,
        beside=metric.written(beside) if beside is not None else "",
        says=metric.says,
    )


def headline(metrics: Mapping[str, Any]) -> list[Row]:
    named = {one.name: one for _, group in GROUPS for one in group}
    return [row(named[name], metrics) for name in HEADLINE if name in metrics]


def _others(metrics: Mapping[str, Any]) -> Iterable[Row]:
    for name, value in metrics.items():
        if name in NAMED or isinstance(value, (Mapping, list)):
            continue
        plain = isinstance(value, (int, float)) and not isinstance(value, bool)
        yield Row(
            name.replace("_", " "),
            f"{value:.6g}" if plain else NOTHING if value is None else str(value),
            "",
            "",
        )
