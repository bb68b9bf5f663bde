"""How fast a backtest is: the loop against a minimal one, and all of it from bars to metrics.

1. The simulation of a million bars against a loop of three variables that trades the same targets on
   the same costs, knows no stop, no second symbol and no checkpoint, and writes down no trade.
2. A neuro-fuzzy strategy on a million bars: indicators, memberships, the network, the simulation and
   the metrics, on one core.
3. Final equity against an independent computation in numpy.
4. What a checkpoint of those million bars costs the thread that writes it (it has no limit).

With `--peers PYTHON` also the whole call on 100,000 bars with a given signal against backtesting.py and
vectorbt, which that Python has (`make bench-peers`); each runs in a process of its own. Prints ratios,
and exits with 1 when one of them is beyond its limit.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch
from numpy.typing import NDArray

from ktrdr.backtesting.kernel import simulate
from ktrdr.backtesting.metrics import metrics
from ktrdr.backtesting.rules import Rules, rules_of
from ktrdr.checkpointing.artifacts import write_generation
from ktrdr.data.bars import Bars
from ktrdr.data.features import Scaler
from ktrdr.data.market import Market
from ktrdr.domain.strategies import Strategy, parse_strategy, strategy_sha256
from ktrdr.training.model import build_network
from ktrdr.training.signals import validation_signals

Floats = NDArray[np.float64]
MILLION, SHORT = 1_000_000, 100_000
LOOP_LIMIT, BARS_PER_SECOND = 3.0, 1e6
PEERS = {"backtesting": 300.0, "vectorbt": 20.0}
FEE = 0.001
CONFIG: dict[str, Any] = {
    "name": "benchmark",
    "version": "3.0",
    "training_data": {
        "symbols": {"mode": "single", "symbol": "MADE"},
        "timeframes": {"mode": "single", "timeframe": "1m"},
        "history_required": 100,
    },
    "indicators": {
        "rsi_14": {"type": "rsi", "period": 14},
        "macd_1": {"type": "macd"},
    },
    "fuzzy_sets": {
        "momentum": {"indicator": "rsi_14", "oversold": [0, 25, 40], "overbought": [60, 75, 100]},
        "trend": {
            "indicator": "macd_1.histogram",
            "down": {"type": "sigmoid", "parameters": [-0.05, -40.0]},
            "up": {"type": "sigmoid", "parameters": [0.05, 40.0]},
        },
    },
    "nn_inputs": [{"fuzzy_set": "momentum"}, {"fuzzy_set": "trend"}],
    "model": {"architecture": {"hidden_layers": [32, 16], "activation": "relu"}},
    "decisions": {"confidence_threshold": 0.34},
    "training": {"data_split": {"train": 0.5, "validation": 0.5}},
}


@numba.njit(cache=True)  # type: ignore[untyped-decorator, unused-ignore]
def minimal(opens: Floats, closes: Floats, targets: NDArray[np.int8], fee: float) -> Floats:
    """Cash, units and the bar: what any simulation has to keep."""
    equity = np.empty(len(opens))
    cash, units = 100_000.0, 0.0
    for bar in range(len(opens)):
        if bar > 0:
            wanted = targets[bar - 1]
            held = 1 if units > 0.0 else (-1 if units < 0.0 else 0)
            if wanted != held:
                amount = units * opens[bar]
                cash, units = cash + amount - fee * abs(amount), 0.0
                if wanted != 0:
                    amount = cash / (1.0 + fee)
                    units = wanted * amount / opens[bar]
                    cash = cash - wanted * amount - fee * amount
        equity[bar] = cash + units * closes[bar]
    return equity


def made_up(count: int) -> Bars:
    """A random walk of one-minute bars, at about 100."""
    rng = np.random.default_rng(11)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 0.0005, count)))
    opens = np.concatenate([[100.0], close[:-1]]) * np.exp(rng.normal(0.0, 0.0001, count))
    high = np.maximum(opens, close) * 1.0002
    low = np.minimum(opens, close) * 0.9998
    return Bars(np.arange(count, dtype=np.int64) * 60, opens, high, low, close, np.ones(count))


def crossing(bars: Bars) -> NDArray[np.int8]:
    """1 while the mean of the last 20 closes is above that of the last 100; else 0."""
    total = np.concatenate([[0.0], np.cumsum(bars.close)])
    targets = np.zeros(len(bars), dtype=np.int8)
    slow, fast = (total[100:] - total[:-100]) / 100.0, (total[100:] - total[80:-20]) / 20.0
    targets[99:] = fast > slow
    return targets


def best(work: Callable[[], object], times: int = 7) -> float:
    """Seconds of this process's own CPU time: other programs on the machine do not count."""
    work()
    found = []
    for _ in range(times):
        began = time.process_time()
        work()
        found.append(time.process_time() - began)
    return min(found)


def by_products(bars: Bars, targets: NDArray[np.int8], fee: float) -> float:
    """The final equity of a long-only signal, as one product over its trades."""
    held = np.concatenate([[0], targets[:-1]])
    edges = np.diff(np.concatenate([[0], held]))
    entries, exits = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    prices = bars.open[exits] if len(exits) == len(entries) else np.append(bars.open[exits], bars.close[-1])
    return float(100_000.0 * np.prod(prices / bars.open[entries] * (1.0 - fee) / (1.0 + fee)))


def untrained(strategy: Strategy, count: int) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """A model with random weights: it costs as much as a trained one."""
    torch.manual_seed(3)
    names = strategy.features()
    network = build_network(len(names), strategy)
    tensors = {f"finished.0.{name}": one for name, one in network.state_dict().items()}
    scaler = Scaler(np.zeros(len(names), dtype=np.float32), np.ones(len(names), dtype=np.float32))
    fold = {"name": "split", "scaler": scaler.to_json(), "edges": [], "block": [[100, count]]}
    manifest = {
        "features": list(names),
        "strategy_sha256": strategy_sha256(strategy),
        "folds": [fold],
        "ensemble": 1,
        "classes": 3,
        "directions": [-1, 0, 1],
    }
    return tensors, manifest


def end_to_end(bars: Bars) -> float:
    """Seconds of a whole backtest of a strategy."""
    torch.set_num_threads(1)
    strategy = parse_strategy(CONFIG)
    tensors, manifest = untrained(strategy, len(bars))
    market = Market("1m", {("MADE", "1m"): bars})

    def whole() -> None:
        (signal,) = validation_signals(tensors, manifest, market, strategy)
        result = simulate(bars, signal.targets, signal.first, signal.last, rules_of(strategy))
        metrics(result, bars)

    return best(whole, 3)


def checkpoint(bars: Bars, targets: NDArray[np.int8]) -> tuple[float, float]:
    """Megabytes of the state of a whole simulation, and seconds of this process to keep it."""
    state = simulate(bars, targets, 0, len(bars), Rules(fee=FEE))
    with tempfile.TemporaryDirectory() as folder:
        seconds = best(lambda: write_generation(Path(folder), "backtest", {"state": state.to_bytes()}))
    return len(state.to_bytes()) / 1e6, seconds


def peer(python: str, name: str, bars: Bars, targets: NDArray[np.int8]) -> dict[str, Any] | None:
    """What `benchmarks.peers` says in a process of that Python; None when it is not installed there."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bars.npz"
        arrays = {column: getattr(bars, column) for column in ("time", "open", "high", "low", "close")}
        np.savez(path, targets=targets, **arrays)
        script = str(Path(__file__).with_name("peers.py"))
        done = subprocess.run([python, script, name, str(path), str(FEE)], capture_output=True, text=True)
    if done.returncode:
        print(f"{name}: not run ({(done.stderr.strip().splitlines() or ['no output'])[-1]})")
        return None
    found = json.loads(done.stdout.strip().splitlines()[-1])
    assert isinstance(found, dict)
    return found


def against_peers(python: str) -> bool:
    """Whether every peer that ran was slower by its limit, and ended with the same equity."""
    bars = made_up(SHORT)
    targets, rules = crossing(bars), Rules(fee=FEE)

    def whole() -> float:
        return float(metrics(simulate(bars, targets, 0, len(bars), rules), bars)["total_return"] or 0.0)

    seconds, equity, passed = best(whole), 100_000.0 * (1.0 + whole()), True
    for name, limit in PEERS.items():
        found = peer(python, name, bars, targets)
        if found is not None:
            ratio = found["seconds"] / seconds
            apart = abs(found["equity"] / equity - 1.0)
            print(f"{name}: {ratio:,.0f} times slower (limit {limit:g}), equity {apart:.1e} apart")
            # backtesting.py buys whole units, here of a price that was divided by a million
            passed = passed and ratio >= limit and apart < 1e-6
    return passed


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--peers", metavar="PYTHON")
    python = arguments.parse_args().peers
    if python is not None:
        return 0 if against_peers(python) else 1
    bars = made_up(MILLION)
    targets = crossing(bars)
    floor = best(lambda: minimal(bars.open, bars.close, targets, FEE))
    loop = best(lambda: simulate(bars, targets, 0, MILLION, Rules(fee=FEE)))
    speed = MILLION / end_to_end(bars)
    equity = simulate(bars, targets, 0, MILLION, Rules(fee=FEE)).equity[-1]
    apart = abs(by_products(bars, targets, FEE) / equity - 1.0)
    print(f"simulation of a million bars: {1e3 * loop:.1f} ms, {loop / floor:.2f} of a minimal loop")
    print(f"neuro-fuzzy strategy, end to end: {speed / 1e6:.2f} million bars a second on one core")
    print(f"final equity against numpy: {apart:.1e} apart")
    print(
        "a checkpoint of a million bars: {:.1f} MB, {:.3f} s behind the loop".format(
            *checkpoint(bars, targets)
        )
    )
    return 0 if loop <= LOOP_LIMIT * floor and speed >= BARS_PER_SECOND and apart < 1e-9 else 1


if __name__ == "__main__":
    sys.exit(main())
