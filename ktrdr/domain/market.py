"""Segments of a data set in time: development, and the holdout that is sealed until the exam."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from ktrdr.domain.fingerprints import sha256_of

TRADING_DAYS = 252  # a year
MAX_OPENINGS = 10
FAMILY_WISE_LEVEL = 0.05

TIMEFRAME_SECONDS: Mapping[str, int] = {
    "1m": 60,
    "5m": 300,
    "15m": 900,
    "30m": 1800,
    "1h": 3600,
    "2h": 7200,
    "4h": 14_400,
    "1d": 86_400,
    "1w": 604_800,
}


class Segment(StrEnum):
    """Which bars a backtest runs over."""

    VALIDATION = "validation"  # the out-of-fold blocks inside development
    HOLDOUT = "holdout"  # sealed; opened once a session, in ASSESSING


@dataclass(frozen=True)
class DatasetSpec:
    """A built-in data set and the day its holdout begins."""

    key: str
    title: str
    symbol: str
    timeframe: str
    start: date
    development_end: date
    holdout_start: date
    end: date

    def holdout_key(self, content_sha256: str) -> str:
        """Names one holdout: the same bars are the same exam for every session that sits it."""
        return sha256_of([content_sha256, self.holdout_start.isoformat(), self.end.isoformat()])


NASDAQ = DatasetSpec(
    key="nasdaq",
    title="NASDAQ Composite, daily, 1999-2018 (read from the installed `arch` package)",
    symbol="NASDAQ",
    timeframe="1d",
    start=date(1999, 1, 4),
    development_end=date(2013, 12, 31),
    holdout_start=date(2014, 1, 1),
    end=date(2018, 12, 31),
)

DATASETS = {NASDAQ.key: NASDAQ}


def midnight(day: date) -> int:
    """When a day begins in UTC, in seconds since 1970-01-01."""
    return (day - date(1970, 1, 1)).days * TIMEFRAME_SECONDS["1d"]


def opening_level(opening: int) -> float:
    """The level of the j-th opening of one holdout: 0.05 · 6 / (π² j²).

    The levels of all openings sum to at most 0.05 (Basel series), so however many sessions sit
    the same exam, the chance that pure noise passes any of them stays below five per cent.
    """
    if not 1 <= opening <= MAX_OPENINGS:
        raise ValueError(f"a holdout has {MAX_OPENINGS} openings; this would be number {opening}")
    pi = 3.141592653589793
    return float(FAMILY_WISE_LEVEL * 6.0 / (pi * pi * opening * opening))
