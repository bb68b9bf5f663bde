"""Four writers and a reader on one SQLite file."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.integration.backend import Backend, eventually
from tests.integration.conftest import BackendFactory

WRITERS = 4
SECONDS = 20.0
P99_SECONDS = 0.050
LOCKED = "database is locked"


def start_writer(home: Path, name: str) -> subprocess.Popen[str]:
    arguments = (f"sqlite+aiosqlite:///{home / 'ktrdr.db'}", name, f"{SECONDS + 4.0}")  # longer than is read
    with (home / f"{name}.err").open("w") as errors:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.kills.writer", *arguments],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )


def read_for(backend: Backend, seconds: float, names: list[str]) -> list[float]:
    """Ask for one operation and for all of them in turn; the seconds that each answer took."""
    times: list[float] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        for path in (f"/operations/{names[len(times) % len(names)]}", "/operations"):
            asked = time.perf_counter()
            answer = backend.client.get(path)
            times.append(time.perf_counter() - asked)
            assert answer.status_code == 200, answer.text
    return sorted(times)


def at(times: list[float], share: float) -> float:
    return times[min(len(times) - 1, int(share * len(times)))]


def ended(writer: subprocess.Popen[str]) -> dict[str, Any]:
    said, _ = writer.communicate(timeout=60.0)
    assert writer.returncode == 0
    found: dict[str, Any] = json.loads(said.splitlines()[-1])
    return found


def test_four_writers_and_a_reader_share_one_sqlite_file(
    sqlite_backend: BackendFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    """Progress ten times a second each, the API beside it: never `database is locked`, p99 under 50 ms."""
    backend = sqlite_backend()
    backend.start()
    names = [f"writer_{number}" for number in range(WRITERS)]
    writers = [start_writer(backend.home, name) for name in names]
    try:
        eventually(lambda: len(backend.get("/operations")) == WRITERS, within=30.0, what="four writers")
        times = read_for(backend, SECONDS, names)
        found = [ended(writer) for writer in writers]
    finally:
        for writer in writers:
            writer.kill()
    p50, p99 = at(times, 0.5), at(times, 0.99)
    with capsys.disabled():
        print(
            f"\n{sum(one['beats'] for one in found)} beats by {WRITERS} writers, slowest "
            f"{max(one['slowest_ms'] for one in found):.1f} ms; {len(times)} answers: median "
            f"{1e3 * p50:.1f} ms, p99 {1e3 * p99:.1f} ms, slowest {1e3 * times[-1]:.1f} ms"
        )
    assert [one["failures"] for one in found] == [[]] * WRITERS
    said = [path.read_text() for path in (*backend.home.glob("*.err"), backend.home / "backend.log")]
    assert not any(LOCKED in text for text in said)
    assert min(one["beats"] for one in found) == 10 * round(SECONDS + 4.0)
    assert p99 < P99_SECONDS
