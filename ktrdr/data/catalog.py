"""Which data sets there are: the built-in ones, and what was imported into one folder.

Nothing here imports what computes: the API process lists data sets, and workers read them.
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

from ktrdr.data.built_in import built_in_path, built_in_sha256
from ktrdr.data.records import DatasetRecord, key_of, read_record
from ktrdr.domain.errors import DatasetCorrupted, DatasetNotFound, InvalidInput
from ktrdr.domain.grammar.faults import Fault, choices, fault
from ktrdr.domain.market import DATASETS, NASDAQ, TIMEFRAME_SECONDS, DatasetSpec
from ktrdr.domain.operations import is_safe_key
from ktrdr.domain.strategies import Strategy

log = logging.getLogger(__name__)


class Catalog:
    """The built-in data sets, and those imported under `root` (None: only the built-in ones)."""

    def __init__(self, root: Path | None) -> None:
        self.root = root

    def specs(self) -> Mapping[str, DatasetSpec]:
        """Every data set by its key: built-in first, then by name. A record that can't be read is logged."""
        return {**DATASETS, **{key: record.spec for key, record in self._records()}}

    def get(self, key: str) -> DatasetSpec:
        """One data set. Raises DatasetNotFound."""
        if key in DATASETS:
            return DATASETS[key]
        return self.record(key).spec

    def record(self, key: str) -> DatasetRecord:
        """What is written down of an imported data set. Raises DatasetNotFound or DatasetCorrupted."""
        folder = self._folder(key)
        found = None if folder is None else read_record(folder)
        if found is None:
            known = ", ".join(sorted(self.specs()))
            raise DatasetNotFound(
                f"There is no data set '{key}'. Known: {known}. "
                "Import one: ktrdr data import FILE --symbol SYMBOL --timeframe 1h."
            )
        return found

    def find(self, symbol: str, timeframe: str) -> DatasetSpec | None:
        """The series of a symbol that is stored at exactly this timeframe."""
        for spec in DATASETS.values():
            if (spec.symbol, spec.timeframe) == (symbol, timeframe):
                return spec
        folder = self._folder(key_of(symbol, timeframe))
        record = None if folder is None else read_record(folder)
        return record.spec if record is not None and record.spec.symbol == symbol else None

    def source_of(self, symbol: str, timeframe: str) -> DatasetSpec | None:
        """The stored series that gives a symbol's bars at a timeframe: that timeframe's own, else the
        coarsest one whose bars add up to it."""
        seconds = TIMEFRAME_SECONDS[timeframe]
        finer = [one for one, length in TIMEFRAME_SECONDS.items() if seconds % length == 0]
        for one in sorted(finer, key=lambda name: -TIMEFRAME_SECONDS[name]):
            found = self.find(symbol, one)
            if found is not None:
                return found
        return None

    def path(self, key: str) -> Path:
        """The file that holds a data set's bars. Raises DatasetNotFound."""
        if key in DATASETS:
            return built_in_path(key)
        record = self.record(key)
        assert self.root is not None
        return self.root / key / record.file

    def sha256(self, key: str) -> str:
        """The content hash of a data set."""
        return built_in_sha256(key) if key in DATASETS else self.record(key).sha256

    def dataset_of(self, strategy: Strategy) -> DatasetSpec:
        """The data set a strategy is judged on: its first symbol at its base timeframe.

        Raises InvalidInput naming every series that the strategy reads and that is not there.
        """
        faults = list(self._missing(strategy))
        if faults:
            more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
            raise InvalidInput(
                f"The strategy can't be run: {faults[0]['path']}: {faults[0]['message']}{more}.",
                {"errors": faults},
            )
        data = strategy.training_data
        found = self.source_of(data.symbols.all[0], data.timeframes.base)
        assert found is not None
        return found

    def dataset_for(self, strategy: Strategy | None, wanted: str | None) -> DatasetSpec:
        """The data set of a request: the strategy's, and without a strategy the one that is named.

        Raises InvalidInput when another one is named than the strategy's own.
        """
        if strategy is None:
            return self.get(wanted or NASDAQ.key)
        spec = self.dataset_of(strategy)
        if wanted not in (None, spec.key):
            self.get(str(wanted))
            data = strategy.training_data
            raise InvalidInput(
                f"dataset: the strategy trains on '{data.symbols.all[0]}' at {data.timeframes.base}, "
                f"which is '{spec.key}', not '{wanted}'. Leave dataset out, or change training_data.",
                {"found": wanted, "allowed": [spec.key]},
            )
        return spec

    def _missing(self, strategy: Strategy) -> Iterator[Fault]:
        symbols = strategy.training_data.symbols
        single = "training_data.symbols.symbol"
        named = [(single, symbols.all[0])] if symbols.list is None else []
        if symbols.list is not None:
            named = [(f"training_data.symbols.list.{at}", one) for at, one in enumerate(symbols.list)]
        sources = [(name, one.data_source) for name, one in strategy.indicators.items()]
        named += [(f"indicators.{name}.data_source", one) for name, one in sources if one is not None]
        for path, symbol in named:
            for timeframe in strategy.training_data.timeframes.all:
                if self.source_of(symbol, timeframe) is None:
                    yield self._no_data(path, symbol, timeframe)

    def _no_data(self, path: str, symbol: str, timeframe: str) -> Fault:
        stored = sorted({(spec.symbol, spec.timeframe) for spec in self.specs().values()})
        other = [there for one, there in stored if one == symbol]
        only = f", only at {', '.join(other)}" if other else ""
        said = (
            f"there is no data for symbol '{symbol}' at {timeframe}{only}; import it: "
            f"ktrdr data import FILE --symbol {shlex.quote(symbol)} --timeframe {timeframe}"
        )
        allowed = list(dict.fromkeys(one for one, _ in stored))
        return fault(path, said, symbol) | choices(symbol, allowed)

    def _folder(self, key: str) -> Path | None:
        return self.root / key if self.root is not None and is_safe_key(key) else None

    def _records(self) -> Iterator[tuple[str, DatasetRecord]]:
        if self.root is None or not self.root.is_dir():
            return
        for folder in sorted(self.root.iterdir()):
            try:
                record = read_record(folder) if is_safe_key(folder.name) else None
            except DatasetCorrupted as damaged:
                log.warning("%s", damaged.message)
                continue
            if record is not None:
                yield folder.name, record


def series_of(strategy: Strategy) -> tuple[tuple[str, str], ...]:
    """Every (symbol, timeframe) that a strategy reads, its indicators' own data sources too."""
    data = strategy.training_data
    sources = [one.data_source for one in strategy.indicators.values() if one.data_source is not None]
    symbols = dict.fromkeys([*data.symbols.all, *sources])
    return tuple((symbol, timeframe) for symbol in symbols for timeframe in data.timeframes.all)
