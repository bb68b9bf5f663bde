"""A durable step of LangGraph and of DBOS on SQLite, for `benchmarks.durability`; prints JSON.

It runs in an environment of its own (`make bench-durability`), and imports nothing of ktrdr.
"""

from __future__ import annotations

import base64
import ctypes
import importlib
import importlib.metadata
import json
import random
import sqlite3
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypedDict

WARM_UP = 5


class State(TypedDict):
    number: int
    notes: str


class Clock:
    """Seconds and fsyncs from each step to the next."""

    def __init__(self) -> None:
        self.marks: list[tuple[float, int | None]] = []

    def mark(self) -> None:
        self.marks.append((time.perf_counter(), _syncs()))

    def result(self) -> dict[str, float | None]:
        pairs = list(zip(self.marks, self.marks[1:], strict=False))[WARM_UP:]
        counts = [b[1] - a[1] for a, b in pairs if a[1] is not None and b[1] is not None]
        seconds = statistics.median(b[0] - a[0] for a, b in pairs)
        return {"seconds": seconds, "fsyncs": statistics.fmean(counts) if counts else None}


def _syncs() -> int | None:
    try:
        return int(ctypes.CDLL(None).counted_syncs())
    except AttributeError:
        return None


def notes_of(number: int, length: int) -> str:
    return base64.b64encode(random.Random(number).randbytes(length * 3 // 4)).decode()


@contextmanager
def growth(folder: Path, found: dict[str, Any]) -> Iterator[None]:
    yield
    found["bytes"] = sum(path.stat().st_size for path in folder.iterdir())


def run_langgraph(folder: Path, length: int, steps: int) -> dict[str, Any]:
    """A node that hands the state on to itself; every step is written before the next begins."""
    graphs = importlib.import_module("langgraph.graph")
    saver = importlib.import_module("langgraph.checkpoint.sqlite").SqliteSaver
    clock = Clock()

    def node(state: State) -> State:
        clock.mark()
        return {"number": state["number"] + 1, "notes": notes_of(state["number"], length)}

    graph = graphs.StateGraph(State)
    graph.add_node("node", node)
    graph.add_edge(graphs.START, "node")
    graph.add_conditional_edges("node", lambda state: "node" if state["number"] < steps else graphs.END)
    connection = sqlite3.connect(folder / "langgraph.db", check_same_thread=False)
    app = graph.compile(checkpointer=saver(connection))
    config = {"configurable": {"thread_id": "1"}, "recursion_limit": steps + 10}
    app.invoke({"number": 0, "notes": ""}, config, durability="sync")
    connection.close()
    return clock.result()


def run_dbos(folder: Path, length: int, steps: int) -> dict[str, Any]:
    """A workflow whose steps return the state."""
    dbos = importlib.import_module("dbos").DBOS
    url = f"sqlite:///{folder / 'dbos.db'}"
    dbos(config={"name": "durability", "system_database_url": url, "log_level": "ERROR"})
    clock = Clock()
    step = dbos.step()(notes_of)

    @dbos.workflow()  # type: ignore[untyped-decorator, unused-ignore]
    def flow() -> None:
        for number in range(steps):
            clock.mark()
            step(number, length)

    dbos.launch()
    flow()
    dbos.destroy()
    return clock.result()


if __name__ == "__main__":
    name, folder, length, steps = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    run = {"langgraph": run_langgraph, "dbos": run_dbos}[name]
    found: dict[str, Any] = {"name": f"{name} {importlib.metadata.version(name)}"}
    with growth(folder, found):
        found |= run(folder, length, steps)
    print(json.dumps(found))
