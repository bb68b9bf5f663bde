"""Providers give rows, and the import does the rest. Their libraries are all that is faked here."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas
import pytest

from ktrdr.data.catalog import Catalog
from ktrdr.data.downloading import download
from ktrdr.data.loading import load_all
from ktrdr.domain.errors import DownloadFailed, ExtraNotInstalled, InvalidInput
from ktrdr.domain.market import midnight

HOUR = 3_600_000
FIRST = midnight(date(2024, 1, 1)) * 1000

Fetch = Callable[..., dict[str, Any]]


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(tmp_path / "data")


@pytest.fixture
def fetch(catalog: Catalog, tmp_path: Path) -> Fetch:
    def call(provider: str, symbol: str = "BTC/USDT", timeframe: str = "1h", **more: Any) -> dict[str, Any]:
        request = {
            "provider": provider,
            "symbol": symbol,
            "timeframe": timeframe,
            "start": "2024-01-01",
            "end": "2024-01-05",
            "now": "2024-01-04T12:30:00+00:00",
            "file": str(tmp_path / "spool"),
        }
        return download(catalog, request | more)

    return call


class Exchange:
    """Candles without end, at most thirty a page, as an exchange with its own limit gives them."""

    pages = 0

    def __init__(self, options: dict[str, Any]) -> None:
        assert options == {"enableRateLimit": True}

    def fetch_ohlcv(self, symbol: str, timeframe: str, since: int, limit: int) -> list[list[float]]:
        assert (symbol, timeframe) == ("BTC/USDT", "1h")
        Exchange.pages += 1
        first = -(-since // HOUR) * HOUR
        return [[first + at * HOUR, 1.0, 2.0, 1.0, 2.0, 7.0] for at in range(min(limit, 30))]


class BaseError(Exception):
    pass


class Refusing(Exchange):
    def fetch_ohlcv(self, *_: Any) -> list[list[float]]:
        raise BaseError("binance GET https://x 451 restricted location")


def ccxt(monkeypatch: pytest.MonkeyPatch, exchange: type = Exchange) -> None:
    fake = SimpleNamespace(exchanges=["binance", "kraken"], binance=exchange, BaseError=BaseError)
    monkeypatch.setitem(sys.modules, "ccxt", fake)


def yfinance(monkeypatch: pytest.MonkeyPatch, frame: Any) -> dict[str, Any]:
    asked: dict[str, Any] = {}

    def give(symbol: str, **options: Any) -> Any:
        asked.update(options, symbol=symbol)
        return frame

    monkeypatch.setitem(sys.modules, "yfinance", SimpleNamespace(download=give))
    return asked


def test_an_exchange_is_asked_page_by_page_up_to_the_last_bar_that_has_closed(
    monkeypatch: pytest.MonkeyPatch, fetch: Fetch, catalog: Catalog
) -> None:
    """It is half past twelve: the bar from twelve on is not known yet, and not stored."""
    ccxt(monkeypatch)
    report = fetch("ccxt")
    found = load_all(catalog, report["key"])
    assert found.time[0] * 1000 == FIRST
    last = datetime.fromtimestamp(int(found.time[-1]), UTC)
    assert last == datetime(2024, 1, 4, 11, tzinfo=UTC)
    assert len(found) == 24 * 3 + 12
    assert Exchange.pages > 1
    assert catalog.record(report["key"]).source == "ccxt"


def test_days_of_yahoo_are_the_exchanges_dates(
    monkeypatch: pytest.MonkeyPatch, fetch: Fetch, catalog: Catalog
) -> None:
    index = pandas.date_range("2024-01-01", periods=3, tz="America/New_York")
    frame = pandas.DataFrame({"Open": 1.0, "High": 2.0, "Low": 1.0, "Close": 2.0, "Volume": 7}, index=index)
    asked = yfinance(monkeypatch, frame)
    report = fetch("yfinance", "^GSPC", "1d")
    assert load_all(catalog, report["key"]).time[0] * 1000 == FIRST
    assert (asked["symbol"], asked["interval"], asked["end"]) == ("^GSPC", "1d", "2024-01-06")
    assert asked["auto_adjust"] is True


def test_hours_of_yahoo_are_told_to_utc(
    monkeypatch: pytest.MonkeyPatch, fetch: Fetch, catalog: Catalog
) -> None:
    index = pandas.DatetimeIndex(
        [f"2024-01-0{day} {hour}:30" for day in (2, 3) for hour in (10, 11)], tz="America/New_York"
    )
    frame = pandas.DataFrame({"Open": 1.0, "High": 2.0, "Low": 1.0, "Close": 2.0, "Volume": 7}, index=index)
    yfinance(monkeypatch, frame)
    report = fetch("yfinance", "SPY", "1h")
    assert (load_all(catalog, report["key"]).time % 86_400 / 3600).tolist() == [15.5, 16.5, 15.5, 16.5]


def test_a_provider_that_gives_nothing_says_so(
    monkeypatch: pytest.MonkeyPatch, fetch: Fetch, catalog: Catalog
) -> None:
    """A refusal of its own, an empty table, an exchange or a timeframe that it does not have."""
    ccxt(monkeypatch, Refusing)
    with pytest.raises(DownloadFailed, match=r"ccxt \(binance\) failed \(BaseError: .* 451"):
        fetch("ccxt")
    with pytest.raises(InvalidInput, match="ccxt has no 'mtgox'"):
        fetch("ccxt", exchange="mtgox")
    yfinance(monkeypatch, pandas.DataFrame({"Open": [], "High": [], "Low": [], "Close": [], "Volume": []}))
    with pytest.raises(DownloadFailed, match="yfinance has no bars of 'NONE' at 1d"):
        fetch("yfinance", "NONE", "1d")
    with pytest.raises(InvalidInput, match="Download 1h"):
        fetch("yfinance", "SPY", "4h")
    assert list(catalog.specs()) == ["nasdaq"]


@pytest.mark.parametrize("name", ["yfinance", "ccxt"])
def test_a_library_that_is_not_installed_is_named_with_its_command(
    monkeypatch: pytest.MonkeyPatch, fetch: Fetch, name: str
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ExtraNotInstalled, match=rf"pip install 'ktrdr\[{name}\]'"):
        fetch(name, "A", "1d")
