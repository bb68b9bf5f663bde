"""`ktrdr data` over real HTTP against canned answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.conftest import Answers

Ktrdr = Callable[..., tuple[int, str, str]]

BAR = {"time": "2024-01-01T00:00:00Z", "open": 1.0, "high": 2.0, "low": 1.0, "close": 2.0, "volume": 7.0}
CHECKS: dict[str, Any] = {
    "bars": 1200,
    "first": [BAR],
    "last": [BAR | {"time": "2024-02-01T00:00:00Z"}],
    "duplicates": 0,
    "non_monotonic": 0,
    "high_below_low": 0,
    "open_is_previous_close": 0.97,
    "zero_volume": 0.0,
    "gaps": {
        "count": 2,
        "missing_bars": 42,
        "longest": [{"after": "2024-01-30T16:00:00Z", "before": "x", "missing_bars": 40}],
        "recurring": [{"seconds": 57600, "count": 80}, {"seconds": 230400, "count": 20}],
    },
    "warnings": ["open equals the previous close in [97%] of the bars"],
}
ONE: dict[str, Any] = {
    "key": "eurusd_1h",
    "title": "EURUSD",
    "symbol": "EURUSD",
    "timeframe": "1h",
    "start": "2024-01-01",
    "development_end": "2024-01-24",
    "holdout_start": "2024-01-25",
    "end": "2024-02-01",
    "bars": 1200,
    "sha256": "ab" * 32,
    "source": "eurusd.csv",
    "imported_at": "2026-01-01T00:00:00+00:00",
}
FULL = ONE | {"checks": CHECKS}
DONE = FULL | {"dropped_rows": 3, "dropped": {"high is below low": 3}, "notes": ["dates are read day first"]}


def test_the_list_shows_where_development_ends(backend: Answers, ktrdr: Ktrdr) -> None:
    built_in = ONE | {"key": "nasdaq", "bars": None}
    backend.give("GET /data", [built_in, ONE])
    status, out, _ = ktrdr("data", "list")
    assert status == 0
    assert "eurusd_1h" in out
    assert "1,200" in out
    assert "2024-01-24" in out
    assert json.loads(ktrdr("data", "list", "--json")[1]) == [built_in, ONE]


def test_a_data_set_is_shown_with_its_bars_and_warnings(backend: Answers, ktrdr: Ktrdr) -> None:
    """Text of the backend is escaped: brackets are no markup."""
    backend.give("GET /data/eurusd_1h", FULL)
    status, out, _ = ktrdr("data", "show", "eurusd_1h")
    assert status == 0
    assert "2024-02-01T00:00:00Z" in out
    assert "2 gaps with 42 bars missing; besides, 100 closings" in " ".join(out.split())
    assert "[97%] of the bars" in " ".join(out.split())
    assert ONE["sha256"] in "".join(out.split())
    assert json.loads(ktrdr("data", "show", "eurusd_1h", "--json")[1]) == FULL


def test_a_check_is_printed(backend: Answers, ktrdr: Ktrdr) -> None:
    backend.give("GET /data/eurusd_1h/check", CHECKS)
    assert "1,200 bars, 0 duplicates" in " ".join(ktrdr("data", "check", "eurusd_1h")[1].split())
    assert json.loads(ktrdr("data", "check", "eurusd_1h", "--json")[1]) == CHECKS


def test_a_file_is_sent_as_it_is_with_its_name(backend: Answers, ktrdr: Ktrdr, tmp_path: Path) -> None:
    """What was left out, and what was assumed, is said."""
    path = tmp_path / "eurusd.csv"
    path.write_text('{"any": "bytes"}')
    backend.give("POST /data/import", DONE)
    words = ("--symbol", "EUR/USD", "--timeframe", "1h", "--drop-bad-rows", "--day-first")
    status, out, _ = ktrdr("data", "import", str(path), *words)
    assert status == 0
    request, body = backend.asked[0]
    assert body == {"any": "bytes"}
    query = request.partition("?")[2]
    for part in ("symbol=EUR%2FUSD", "drop_bad_rows=true", "day_first=true", "source=eurusd.csv"):
        assert part in query
    assert "holdout_start" not in query
    assert "Imported eurusd_1h: 1,200 bars." in out
    assert "left out: 3 × high is below low" in out
    assert "dates are read day first" in out


def test_bad_rows_are_listed_by_line(backend: Answers, ktrdr: Ktrdr, tmp_path: Path) -> None:
    path = tmp_path / "eurusd.csv"
    path.write_text("null")
    rows = [{"path": "line 7", "message": "close is no number"}]
    backend.refuse("POST /data/import", 422, "IMPORT_REFUSED", "1 of 9 rows are bad", errors=rows)
    status, _, err = ktrdr("data", "import", str(path), "--symbol", "A", "--timeframe", "1h")
    assert status == 1
    assert "IMPORT_REFUSED" in err
    assert "line 7: close is no number" in err


def test_a_file_that_is_not_there_sends_nothing(backend: Answers, ktrdr: Ktrdr, tmp_path: Path) -> None:
    status, _, err = ktrdr("data", "import", str(tmp_path / "no.csv"), "--symbol", "A", "--timeframe", "1h")
    assert status == 2
    assert "Usage" in err
    assert backend.asked == []


@pytest.mark.parametrize("exchange", [None, "kraken"])
def test_a_download_names_its_provider_and_days(backend: Answers, ktrdr: Ktrdr, exchange: str | None) -> None:
    backend.give("POST /data/download", DONE)
    more = () if exchange is None else ("--exchange", exchange)
    words = ("--source", "ccxt", "--symbol", "BTC/USDT", "--timeframe", "1h", "--start", "2024-01-01")
    status, _, _ = ktrdr("data", "download", *words, "--end", "2024-02-01", *more)
    assert status == 0
    sent = backend.asked[0][1]
    assert (sent["provider"], sent["start"], sent["end"]) == ("ccxt", "2024-01-01", "2024-02-01")
    assert sent["exchange"] == exchange
