"""Other people's backtesters on a given signal, for `benchmarks.simulation`; prints JSON.

It runs in an environment of its own (`make bench-peers`): backtesting.py is AGPL and vectorbt has the
Commons Clause, so nothing of ktrdr imports them, and this file imports nothing of ktrdr.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

CASH = 100_000.0
UNIT = 1e6  # backtesting.py buys whole units: of prices a million times smaller


def seconds_of(work: Callable[[], float]) -> dict[str, float]:
    """The better of two runs, and the equity it ended with."""
    work()
    began = time.process_time()
    equity = work()
    return {"seconds": time.process_time() - began, "equity": equity}


def run_backtesting(bars: Any, fee: float) -> dict[str, float]:
    pandas, library = importlib.import_module("pandas"), importlib.import_module("backtesting")
    columns = {name.title(): bars[name] / UNIT for name in ("open", "high", "low", "close")}
    frame = pandas.DataFrame(columns, index=pandas.to_datetime(bars["time"], unit="s"))
    targets = bars["targets"]

    class Given(library.Strategy):  # type: ignore[misc, name-defined, unused-ignore]
        def init(self) -> None:
            self.target = self.I(lambda: targets.astype(float), name="target")

        def next(self) -> None:
            wanted = self.target[-1] > 0.0
            if wanted and not self.position:
                self.buy(size=1.0 - 1e-12)
            elif self.position and not wanted:
                self.position.close()

    def whole() -> float:
        test = library.Backtest(frame, Given, cash=CASH, commission=fee, finalize_trades=True)
        return float(test.run()["Equity Final [$]"])

    return seconds_of(whole)


def run_vectorbt(bars: Any, fee: float) -> dict[str, float]:
    pandas, library = importlib.import_module("pandas"), importlib.import_module("vectorbt")
    index = pandas.to_datetime(bars["time"], unit="s")
    opens, close = (pandas.Series(bars[name], index=index) for name in ("open", "close"))
    wanted = np.concatenate([[0], bars["targets"][:-1]]) > 0
    before = np.concatenate([[False], wanted[:-1]])

    def whole() -> float:
        found = library.Portfolio.from_signals(
            close,
            pandas.Series(wanted & ~before, index=index),
            pandas.Series(before & ~wanted, index=index),
            price=opens,
            fees=fee,
            init_cash=CASH,
            freq="1min",
        )
        found.stats()
        return float(found.final_value())

    return seconds_of(whole)


if __name__ == "__main__":
    name, path, fee = sys.argv[1:4]
    run = {"backtesting": run_backtesting, "vectorbt": run_vectorbt}[name]
    print(json.dumps(run(np.load(path), float(fee))))
