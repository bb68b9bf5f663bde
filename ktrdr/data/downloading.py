"""Bars from a provider, through the same door as a file. The providers' libraries are extras."""

from __future__ import annotations

import csv
import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from ktrdr.data.catalog import Catalog
from ktrdr.data.importing import check_request, import_file, wanted_of
from ktrdr.domain.errors import DownloadFailed, ExtraNotInstalled, InvalidInput
from ktrdr.domain.market import TIMEFRAME_SECONDS, midnight

YFINANCE_INTERVALS: Mapping[str, str] = {
    "1m": "1m",
    "5m": "5m",
    "15m": "15m",
    "30m": "30m",
    "1h": "1h",
    "1d": "1d",
    "1w": "1wk",
}
PAGE = 1000  # bars a request, which every exchange gives or cuts

Row = tuple[int, float, float, float, float, float]  # milliseconds since 1970, then prices and volume


@dataclass(frozen=True)
class Span:
    """What is downloaded; both days included."""

    symbol: str
    timeframe: str
    start: date
    end: date

    @property
    def first(self) -> int:
        return midnight(self.start) * 1000

    @property
    def after(self) -> int:
        return midnight(self.end + timedelta(days=1)) * 1000


def download(catalog: Catalog, request: Mapping[str, Any]) -> dict[str, Any]:
    """Fetch bars that have closed by `now` and import them; the import's report.

    Raises ExtraNotInstalled without the provider's library, and DownloadFailed when it gives nothing.
    """
    provider = str(request["provider"])
    wanted = wanted_of({**request, "source": provider})
    check_request(catalog, wanted)
    end = date.fromisoformat(request["end"])
    span = Span(wanted.symbol, wanted.timeframe, date.fromisoformat(request["start"]), end)
    now = datetime.fromisoformat(wanted.now).timestamp() * 1000
    length = TIMEFRAME_SECONDS[span.timeframe] * 1000
    rows = PROVIDERS[provider](span, request)
    closed = [row for row in rows if span.first <= row[0] < span.after and row[0] + length <= now]
    if not closed:
        raise DownloadFailed(
            f"{provider} has no bars of '{span.symbol}' at {span.timeframe} from {span.start} to {span.end}. "
            "Check the symbol as that provider writes it, and how far back it goes."
        )
    path = Path(request["file"])
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("timestamp", "open", "high", "low", "close", "volume"))
        writer.writerows(closed)
    return import_file(catalog, path, wanted)


def _yfinance(span: Span, _: Mapping[str, Any]) -> Iterator[Row]:
    """Prices adjusted for splits and dividends; a day is the exchange's own date."""
    library = _library("yfinance")
    interval = YFINANCE_INTERVALS.get(span.timeframe)
    if interval is None:
        raise InvalidInput(f"timeframe: yfinance has no {span.timeframe}. Download 1h; it is added up.")
    try:
        frame = library.download(
            span.symbol,
            start=span.start.isoformat(),
            end=(span.end + timedelta(days=1)).isoformat(),
            interval=interval,
            auto_adjust=True,
            progress=False,
            multi_level_index=False,
            threads=False,
        )
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise _failed("yfinance", error) from error
    daily = TIMEFRAME_SECONDS[span.timeframe] >= TIMEFRAME_SECONDS["1d"]
    if frame is None:
        return
    for stamp, values in frame[["Open", "High", "Low", "Close", "Volume"]].dropna().iterrows():
        moment = stamp.to_pydatetime()
        if daily or moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        opening, high, low, close, volume = (float(one) for one in values)
        yield round(moment.timestamp() * 1000), opening, high, low, close, volume


def _ccxt(span: Span, request: Mapping[str, Any]) -> Iterator[Row]:
    """An exchange's candles, page by page, at the pace the exchange allows."""
    library = _library("ccxt")
    name = str(request.get("exchange") or "binance")
    if name not in library.exchanges:
        raise InvalidInput(f"exchange: ccxt has no '{name}'.")
    exchange = getattr(library, name)({"enableRateLimit": True})
    since = span.first
    while since < span.after:
        try:
            page = exchange.fetch_ohlcv(span.symbol, span.timeframe, since, PAGE)
        except (library.BaseError, OSError) as error:
            raise _failed(f"ccxt ({name})", error) from error
        fresh = [row for row in page if row[0] >= since]
        if not fresh:
            return
        for stamp, *values in fresh:
            opening, high, low, close, volume = (float(one) for one in values)
            yield int(stamp), opening, high, low, close, volume
        since = int(fresh[-1][0]) + 1


PROVIDERS: Mapping[str, Callable[[Span, Mapping[str, Any]], Iterator[Row]]] = {
    "yfinance": _yfinance,
    "ccxt": _ccxt,
}


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as missing:
        raise ExtraNotInstalled(
            f"Downloading needs the library '{name}', which is not installed. "
            f"Install it where the backend runs: pip install 'ktrdr[{name}]'.",
            {"extra": name},
        ) from missing


def _failed(provider: str, error: Exception) -> DownloadFailed:
    said = (str(error).splitlines() or [""])[0][:300]
    return DownloadFailed(f"{provider} failed ({type(error).__name__}: {said}). Try again, or import a file.")
