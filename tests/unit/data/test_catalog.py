"""What data there is, by key, by symbol, and by what a strategy reads."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ktrdr.data.catalog import Catalog, series_of
from ktrdr.data.provenance import fingerprint_of
from ktrdr.data.records import RECORD, key_of
from ktrdr.domain.errors import DatasetCorrupted, DatasetExists, DatasetNotFound, InvalidInput
from ktrdr.domain.market import NASDAQ
from ktrdr.domain.operations import is_safe_key
from ktrdr.domain.strategies import Strategy, parse_strategy
from tests.integration.strategies import SMALL
from tests.unit.data.series import put, walk

SYMBOLS = st.from_regex(r"\A[A-Za-z0-9^][A-Za-z0-9_.^/= -]{0,79}\Z")


def on(symbols: Any, timeframes: Any, **indicators: Any) -> Strategy:
    config = {**SMALL, "training_data": {"symbols": symbols, "timeframes": timeframes}}
    return parse_strategy({**config, "indicators": {**SMALL["indicators"], **indicators}})


def hourly(symbol: str) -> Strategy:
    return on({"symbol": symbol}, {"timeframe": "1h"})


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return Catalog(tmp_path / "data")


def root_of(catalog: Catalog) -> Path:
    assert catalog.root is not None
    return catalog.root


@given(SYMBOLS, SYMBOLS)
def test_no_two_symbols_share_a_key(one: str, other: str) -> None:
    """And every key of a symbol of the grammar may be a folder's name."""
    assert is_safe_key(key_of(one, "1h"))
    assert (key_of(one, "1h") == key_of(other, "1h")) == (one == other)


def test_a_plain_symbol_has_a_plain_key() -> None:
    assert key_of("EURUSD", "1h") == "eurusd_1h"
    assert key_of("BTC-USD", "1d") == "btc-usd_1d"
    assert len({key_of(one, "1d") for one in ("EUR/USD", "EUR-USD", "eur-usd", "EUR USD", "^EUR-USD")}) == 5


def test_an_empty_catalogue_has_what_is_built_in(catalog: Catalog) -> None:
    assert dict(catalog.specs()) == {"nasdaq": NASDAQ}
    assert catalog.get("nasdaq") == NASDAQ
    with pytest.raises(DatasetNotFound, match=r"no data set 'x_1h'\. Known: nasdaq\."):
        catalog.get("x_1h")


@pytest.mark.parametrize("key", ["../etc", ".", "a/b", "a..b", "x" * 200, "incoming"])
def test_a_key_never_leads_out_of_the_folder(catalog: Catalog, key: str) -> None:
    with pytest.raises(DatasetNotFound):
        catalog.get(key)


def test_an_imported_series_is_found_by_symbol_and_timeframe(catalog: Catalog) -> None:
    spec = put(root_of(catalog), "EUR/USD", "1h", walk("1h", 200))
    assert catalog.get(spec.key) == catalog.find("EUR/USD", "1h") == spec
    assert list(catalog.specs()) == ["nasdaq", spec.key]
    assert catalog.find("EUR/USD", "1d") is None
    assert catalog.find("EUR-USD", "1h") is None
    assert catalog.path(spec.key).is_file()


def test_the_coarsest_series_that_adds_up_is_the_source(catalog: Catalog) -> None:
    """Fewer bars to read; a timeframe's own series comes first."""
    minutes = put(root_of(catalog), "X", "1m", walk("1m", 2000))
    hours = put(root_of(catalog), "X", "1h", walk("1h", 200))
    assert catalog.source_of("X", "4h") == catalog.source_of("X", "1h") == hours
    assert catalog.source_of("X", "30m") == minutes
    assert catalog.source_of("NASDAQ", "1w") == NASDAQ
    assert catalog.source_of("NASDAQ", "1h") is None


def test_a_strategy_is_judged_on_its_first_symbol_at_its_base_timeframe(catalog: Catalog) -> None:
    hours = put(root_of(catalog), "B", "1h", walk("1h", 200))
    put(root_of(catalog), "A", "1h", walk("1h", 200))
    frames = {"mode": "multi_timeframe", "list": ["1h", "4h"], "base_timeframe": "4h"}
    two = on({"mode": "multi_symbol", "list": ["B", "A"]}, frames)
    assert catalog.dataset_of(two) == hours
    assert series_of(two) == (("B", "1h"), ("B", "4h"), ("A", "1h"), ("A", "4h"))
    assert catalog.dataset_for(two, None) == catalog.dataset_for(two, "b_1h") == hours
    with pytest.raises(InvalidInput, match=r"trains on 'B' at 4h, which is 'b_1h', not 'a_1h'\. Leave"):
        catalog.dataset_for(two, "a_1h")
    with pytest.raises(DatasetNotFound):
        catalog.dataset_for(two, "c_1h")
    assert catalog.dataset_for(None, None) == NASDAQ


def test_every_series_that_is_missing_is_named_with_its_command(catalog: Catalog) -> None:
    put(root_of(catalog), "EURUSD", "1d", walk("1d", 200))
    vix = {"type": "rsi", "data_source": "^VIX"}
    wanted = on({"mode": "multi_symbol", "list": ["NASDAQ", "EURUSB"]}, {"timeframe": "1d"}, fear=vix)
    with pytest.raises(InvalidInput, match=r"can't be run: training_data.* \(and 1 more\)") as refused:
        catalog.dataset_of(wanted)
    errors: Any = refused.value.details["errors"]
    assert [one["path"] for one in errors] == ["training_data.symbols.list.1", "indicators.fear.data_source"]
    assert errors[0] == {
        "path": "training_data.symbols.list.1",
        "message": "there is no data for symbol 'EURUSB' at 1d; import it: "
        "ktrdr data import FILE --symbol EURUSB --timeframe 1d",
        "found": "EURUSB",
        "allowed": ["EURUSD", "NASDAQ"],
        "closest": "EURUSD",
    }
    with pytest.raises(InvalidInput, match="'EURUSD' at 1h, only at 1d; import it"):
        catalog.dataset_of(hourly("EURUSD"))


def test_a_damaged_record_is_never_reported_as_missing(catalog: Catalog) -> None:
    """The others are listed all the same."""
    good = put(root_of(catalog), "A", "1h", walk("1h", 200))
    bad = put(root_of(catalog), "B", "1h", walk("1h", 200))
    path = root_of(catalog) / bad.key / RECORD
    record = json.loads(path.read_text())
    for text in ("{", "[]", json.dumps({**record, "file": "../a_1h/x"}), json.dumps({**record, "key": "c"})):
        path.write_text(text)
        with pytest.raises(DatasetCorrupted, match=r"'b_1h' is damaged.*--replace"):
            catalog.get(bad.key)
        assert list(catalog.specs()) == ["nasdaq", good.key]


def test_a_data_set_is_not_written_over_unless_it_is_said(catalog: Catalog) -> None:
    from ktrdr.data.storage import store

    spec = put(root_of(catalog), "A", "1h", walk("1h", 200))
    before = catalog.sha256(spec.key)
    with pytest.raises(DatasetExists, match="--replace"):
        store(root_of(catalog), catalog.record(spec.key), walk("1h", 100), replace=False)
    put(root_of(catalog), "A", "1h", walk("1h", 100))
    assert catalog.sha256(spec.key) != before
    assert sorted(one.name for one in (root_of(catalog) / spec.key).iterdir()) == [
        catalog.path(spec.key).name,
        RECORD,
    ]
    assert {oct(one.stat().st_mode & 0o777) for one in catalog.path(spec.key).parent.iterdir()} == {"0o600"}


def test_the_fingerprint_covers_every_series_that_is_read(catalog: Catalog) -> None:
    """One series is named by its own hash, as it always was."""
    small = parse_strategy(SMALL).to_config()
    assert fingerprint_of(catalog, "nasdaq", small, {}).data == catalog.sha256("nasdaq")
    put(root_of(catalog), "B", "1d", walk("1d", 200))
    two = on({"mode": "multi_symbol", "list": ["NASDAQ", "B"]}, {"timeframe": "1d"}).to_config()
    before = fingerprint_of(catalog, "nasdaq", two, {}).data
    assert before != catalog.sha256("nasdaq")
    put(root_of(catalog), "B", "1d", walk("1d", 200, seed=2))
    assert fingerprint_of(catalog, "nasdaq", two, {}).data != before
    assert fingerprint_of(catalog, "nasdaq", None, {}).data == catalog.sha256("nasdaq")


def test_listing_imports_nothing_that_computes(catalog: Catalog) -> None:
    put(root_of(catalog), "A", "1h", walk("1h", 200))
    source = (
        "import sys; from pathlib import Path; from ktrdr.data.catalog import Catalog; "
        f"print(len(Catalog(Path({str(catalog.root)!r})).specs()), "
        "[one for one in ('numpy', 'pyarrow', 'pandas') if one in sys.modules])"
    )
    said = subprocess.check_output([sys.executable, "-c", source], text=True)
    assert said.strip() == "2 []"
