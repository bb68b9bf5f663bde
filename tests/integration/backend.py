"""A real backend process to hit, kill and restart."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil

T = TypeVar("T")
START_SECONDS = 30.0


def eventually(look: Callable[[], T | None], *, within: float, what: str) -> T:
    """The first answer that is not None or False; fails with `what` after `within` seconds."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        found = look()
        if found is not None and found is not False:
            return found
        time.sleep(0.03)
    raise AssertionError(f"not seen within {within} s: {what}")


class Backend:
    """`python -m ktrdr.api` over one home and one database."""

    def __init__(self, home: Path, port: int, **environment: str) -> None:
        self.home = home
        self.port = port
        self.environment = environment
        self.process: subprocess.Popen[bytes] | None = None
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1", timeout=15.0)

    def variables(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("KTRDR_")}
        own = {"KTRDR_HOME": str(self.home), "KTRDR_PORT": str(self.port)}
        return {**kept, **own, **self.environment}

    def spawn(self) -> subprocess.Popen[bytes]:
        self.home.mkdir(parents=True, exist_ok=True)
        with (self.home / "backend.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "ktrdr.api"], env=self.variables(), stdout=log, stderr=log
            )

    def start(self) -> float:
        """Start and wait for /ready; returns the seconds it took."""
        begun = time.monotonic()
        self.process = self.spawn()
        eventually(self._ready, within=START_SECONDS, what=f"/ready ({self.log()})")
        return time.monotonic() - begun

    def _ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"the backend exited: {self.log()}"
        try:
            return self.client.get("/ready").status_code == 200
        except httpx.TransportError:
            return False

    def log(self) -> str:
        path = self.home / "backend.log"
        return path.read_text()[-3000:] if path.exists() else ""

    def kill(self) -> None:
        """SIGKILL, as a power cut would."""
        self._signal(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM, and wait for the clean exit."""
        self._signal(signal.SIGTERM)

    def _signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(timeout=30.0)

    def close(self) -> None:
        """End the backend and every worker of this home."""
        if self.process is not None and self.process.poll() is None:
            self.kill()
        for worker in workers_of(self.home):
            worker.kill()
        self.client.close()

    # Requests

    def get(self, path: str, **params: Any) -> Any:
        answer = self.client.get(path, params=params)
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert body["success"] is True
        return body["data"]

    def trigger(self, **body: Any) -> tuple[str, int]:
        answer = self.client.post("/agent/trigger", json={"trigger_reason": "start_new_cycle", **body})
        assert answer.status_code == 202, answer.text
        data = answer.json()["data"]
        return data["operation_id"], data["session_id"]

    def operation(self, operation_id: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.get(f"/operations/{operation_id}")
        return found

    def await_phase(self, phase: str, *, within: float = 120.0) -> Mapping[str, Any]:
        def look() -> Mapping[str, Any] | None:
            status: Mapping[str, Any] = self.get("/agent/status")
            assert status["status"] not in ("FAILED", "CANCELLED") or phase == status["status"], status
            return status if phase in (status["phase"], status["status"]) else None

        return eventually(look, within=within, what=f"phase {phase}; {self.log()}")

    def await_status(self, operation_id: str, status: str, *, within: float = 120.0) -> Mapping[str, Any]:
        def look() -> Mapping[str, Any] | None:
            answer = self.client.get(f"/operations/{operation_id}")
            if answer.status_code == 404:  # a child is recorded once its phase is reached
                return None
            found: Mapping[str, Any] = answer.json()["data"]
            return found if found["status"] == status else None

        return eventually(look, within=within, what=f"{operation_id} {status}; {self.log()}")

    def resume(self, operation_id: str) -> httpx.Response:
        return self.client.post(f"/operations/{operation_id}/resume")


def workers_of(home: Path) -> list[psutil.Process]:
    """The worker processes that belong to a home."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        try:
            if "ktrdr.workers" in (process.info["cmdline"] or []) and process.environ().get(
                "KTRDR_HOME"
            ) == str(home):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found
