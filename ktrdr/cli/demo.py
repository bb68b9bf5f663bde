"""`ktrdr demo`: a session loses its backend, then its backend and its worker, and finishes all the same."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
from rich.markup import escape

from ktrdr.cli.client import ApiError, Client
from ktrdr.cli.render import coloured, console, session
from ktrdr.cli.watch import follow
from ktrdr.processes import is_alive

RESTARTED = "Backend restarted - checkpoint available for resume"
START_SECONDS = 30.0
SAVED_SECONDS = 120.0
# The training has saved so many more before a blow: it writes a checkpoint at the first, then every second.
EPOCHS = 20
Status = Mapping[str, Any]


class NotSeen(Exception):
    """Something the demo promises did not happen."""


class TooFast(Exception):
    """This machine had trained the networks before they could be interrupted."""


class Stage:
    """A scratch home and the backend over it; ends everything it started."""

    def __init__(self, home: Path) -> None:
        self.home = home
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = int(probe.getsockname()[1])
        self.client = Client(f"http://127.0.0.1:{self._port}")
        self._backend: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the backend and wait until it is ready."""
        own = {"KTRDR_HOME": str(self.home), "KTRDR_PORT": str(self._port)}
        kept = {name: value for name, value in os.environ.items() if not name.startswith("KTRDR_")}
        self.home.mkdir(parents=True, exist_ok=True)
        with (self.home / "backend.log").open("ab") as log:
            command = [sys.executable, "-m", "ktrdr.api"]
            self._backend = subprocess.Popen(command, env={**kept, **own}, stdout=log, stderr=log)
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                self.client.get("/ready")
                return
            except ApiError as error:
                if self._backend.poll() is not None or time.monotonic() > deadline:
                    raise NotSeen(
                        f"the backend did not start; {self.home / 'backend.log'} says why"
                    ) from error
            time.sleep(0.05)

    def kill(self) -> int:
        """SIGKILL the backend; returns its process id."""
        assert self._backend is not None
        self._backend.kill()
        self._backend.wait()
        return self._backend.pid

    def training(self, operation_id: str) -> Status:
        found: Status = self.client.get(f"/operations/{operation_id}.training")
        return found

    def close(self) -> None:
        """End the backend and any worker that is left; only what this stage started."""
        if self._backend is not None and self._backend.poll() is None:
            self._backend.terminate()
            try:
                self._backend.wait(timeout=START_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
        for worker in workers_of(self.home):
            worker.kill()


def workers_of(home: Path) -> Iterator[psutil.Process]:
    """The workers of one scratch home; nobody else's carries its name."""
    for process in psutil.process_iter():
        try:
            if "ktrdr.workers" in process.cmdline() and process.environ().get("KTRDR_HOME") == str(home):
                yield process
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue


def worker_pid(operation: Status) -> int:
    """The process of a worker's operation, from its reference `local:host:pid:start`."""
    _expect(bool(operation["executor_ref"]), f"{operation['operation_id']} has no worker yet")
    return int(operation["executor_ref"].split(":")[2])


def alive(executor_ref: str) -> bool:
    """True when this very worker runs: a process id alone may be somebody else's by now."""
    return is_alive(executor_ref) is True


def run_demo(*, keep: bool, seed: int, prove: bool) -> int:
    """The whole show; 0 when everything promised was seen."""
    home = Path(tempfile.mkdtemp(prefix="ktrdr-demo-")).resolve()
    begun = time.monotonic()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that finally runs
    stages: list[Stage] = []
    try:
        try:
            interrupted = _interrupted(_stage(stages, home / "interrupted"), seed, EPOCHS)
        except TooFast:
            console.print("\n  The training was done before the blow. Once more, with a blow at once.")
            interrupted = _interrupted(_stage(stages, home / "interrupted_at_once"), seed, 1)
        if prove:
            _prove(_stage(stages, home / "uninterrupted"), seed, interrupted)
    except (NotSeen, ApiError) as problem:
        console.print(f"\n[red]The demo failed:[/red] {escape(str(problem))}")
        keep = True
        return 1
    finally:
        for stage in stages:
            stage.close()
        _farewell(home, keep, time.monotonic() - begun)
    return 0


def _stage(stages: list[Stage], home: Path) -> Stage:
    stages.append(Stage(home))
    stages[-1].start()
    return stages[-1]


def _interrupted(stage: Stage, seed: int, epochs: int) -> Status:
    """One session, two blows, each when the training has saved so many more epochs; returns the session as
    it completed. Raises TooFast when the training was done before."""
    _say("A research session", f"real NASDAQ bars 1999-2018, seed {seed}, no key, home {stage.home}")
    started = _trigger(stage, seed)
    operation_id, session_id = started["operation_id"], started["session_id"]
    follow(stage.client, session_id, until=lambda status: status["phase"] == "TRAINING")
    kept = _first_blow(stage, operation_id, session_id, epochs)
    _second_blow(stage, operation_id, session_id, kept, epochs)
    return _finish(stage, session_id)


def _first_blow(stage: Stage, operation_id: str, session_id: int, epochs: int) -> int:
    """Backend and worker, once there is something to lose; the epoch that the training goes on from."""
    before = stage.client.get(f"/agent/sessions/{session_id}")
    training = _saved(stage, operation_id, attempt=1, begun=0, epochs=epochs)
    worker = worker_pid(training)
    _say("Blow 1", "kill -9 to the backend and to the training worker, in TRAINING")
    backend = stage.kill()
    if not alive(training["executor_ref"]):
        raise TooFast
    os.kill(worker, signal.SIGKILL)
    console.print(f"  backend {backend} and worker {worker} are gone, at epoch {_kept(training)} or later")
    kept = _restart_and_resume(stage, operation_id, lost_training=True)
    after = stage.client.get(f"/agent/sessions/{session_id}")
    _expect(after["strategy_config"] == before["strategy_config"], "the strategy was designed again")
    same = after["training_operation_id"] == before["training_operation_id"] == training["operation_id"]
    _expect(same, "the training was given another id")
    console.print(f"  not repeated: design ({escape(after['strategy_config']['name'])})", soft_wrap=True)
    return kept


def _second_blow(stage: Stage, operation_id: str, session_id: int, kept: int, epochs: int) -> None:
    """The backend alone: its worker goes on, and may be done before anybody asks again."""
    training = _saved(stage, operation_id, attempt=2, begun=kept, epochs=epochs)
    reached, worker = _kept(training), worker_pid(training)
    console.print(f"  training, attempt 2: on from {kept}, now at epoch {reached}")
    _say("Blow 2", "kill -9 to the backend; its worker is left alone")
    backend = stage.kill()
    goes_on = "goes on" if alive(training["executor_ref"]) else "has just ended"
    console.print(f"  backend {backend} is gone; training worker {worker} {goes_on}")
    _restart_and_resume(stage, operation_id)

    def beyond(_: Status) -> bool:
        now = stage.training(operation_id)
        return now["status"] == "COMPLETED" or _epoch_of(now) > reached

    follow(stage.client, session_id, until=beyond)
    now = stage.training(operation_id)
    _expect(now["attempt"] == 2, "the training was started again")
    _expect(beyond(now), f"the training did not go on from epoch {reached}")
    console.print(
        f"  not repeated: design, training {escape(now['operation_id'])}: attempt {now['attempt']}, "
        f"{escape(now['progress']['message'])}",
        soft_wrap=True,
    )


def _saved(stage: Stage, operation_id: str, *, attempt: int, begun: int, epochs: int) -> Status:
    """The running training as soon as it has saved so many epochs after the one that it began behind."""
    deadline = time.monotonic() + SAVED_SECONDS
    while time.monotonic() < deadline:
        found = stage.training(operation_id)
        if found["status"] == "COMPLETED":
            raise TooFast
        if found["attempt"] == attempt and found["status"] == "RUNNING":
            early = 0 < _epoch_of(found) < begun  # 0: nothing reported yet
            _expect(not early, f"the training began again: epoch {_epoch_of(found)} came after {begun}")
            if _kept(found) >= begun + epochs:
                return found
        time.sleep(0.02)
    raise NotSeen(f"the training had not saved epoch {begun + epochs} after {SAVED_SECONDS:.0f} s")


def _kept(training: Status) -> int:
    """The epoch of a training's checkpoint."""
    return int((training["checkpoint"] or {}).get("epoch") or 0)


def _restart_and_resume(stage: Stage, operation_id: str, *, lost_training: bool = False) -> int:
    """Returns the epoch of the training's checkpoint when the training was lost, else 0."""
    epoch = 0
    stage.start()
    found = stage.client.get(f"/operations/{operation_id}")
    console.print(
        f"  after restart: {coloured(found['status'])}  {escape(found['error_message'] or '')}",
        soft_wrap=True,
    )
    _expect(found["status"] == "FAILED" and found["error_message"] == RESTARTED, "the session did not say so")
    if lost_training:
        child = stage.training(operation_id)
        _expect(child["status"] == "FAILED", f"the lost training is {child['status']}, not FAILED")
        epoch = _kept(child)
        console.print(
            f"  training:      {coloured(child['status'])}  {escape(child['error_message'] or '')}",
            soft_wrap=True,
        )
        _expect(epoch > 0, "the training has no checkpoint")
        console.print(f"  its checkpoint is at epoch {epoch}: that is where it goes on")
    answer = stage.client.post(f"/operations/{operation_id}/resume")
    phase = answer["resumed_from"]["phase"]
    console.print(f"  ktrdr operations resume {operation_id}: from {escape(str(phase))}")
    _expect(phase == "TRAINING", f"the session resumed from {phase}, not from TRAINING")
    return epoch


def _prove(stage: Stage, seed: int, interrupted: Status) -> None:
    """The same seed without a scratch: the fingerprints must be equal."""
    _say("The proof", "the same seed once more, uninterrupted, in a home of its own")
    whole = _follow_to_end(stage, _trigger(stage, seed)["session_id"])
    console.print(f"  interrupted twice  {interrupted['result_fingerprint']}", soft_wrap=True)
    console.print(f"  uninterrupted      {whole['result_fingerprint']}", soft_wrap=True)
    _expect(bool(whole["result_fingerprint"]), "the session has no fingerprint")
    _expect(whole["result_fingerprint"] == interrupted["result_fingerprint"], "the two differ")
    console.print("  [green]byte-identical[/green]: strategy, weights, trades, metrics and verdict")


def _trigger(stage: Stage, seed: int) -> Status:
    started: Status = stage.client.post("/agent/trigger", {"trigger_reason": "start_new_cycle", "seed": seed})
    return started


def _finish(stage: Stage, session_id: int) -> Status:
    done = _follow_to_end(stage, session_id)
    session(done)
    _expect(bool((done["assessment"] or {}).get("verdict")), "the session has no verdict")
    console.print("\n[bold]Files[/bold] (--keep keeps them)")
    for path in ("ktrdr.db", "artifacts", "logs", "backend.log"):
        console.print(f"  {escape(str(stage.home / path))}", soft_wrap=True)
    return done


def _follow_to_end(stage: Stage, session_id: int) -> Status:
    ended = follow(stage.client, session_id)
    _expect(ended["status"] == "COMPLETED", f"the session ended {ended['status']}: {ended['error_message']}")
    done: Status = stage.client.get(f"/agent/sessions/{session_id}")
    return done


def _epoch_of(operation: Status) -> int:
    return int(operation["progress"]["detail"].get("epoch") or 0)


def _expect(seen: bool, otherwise: str) -> None:
    if not seen:
        raise NotSeen(otherwise)


def _say(title: str, text: str) -> None:
    console.print(f"\n[bold]{title}[/bold] - {escape(text)}", soft_wrap=True)


def _invoked() -> str:
    """The command line as it was called: after `make demo` ktrdr is in .venv/bin, not on the PATH."""
    called = sys.argv[0]
    return "python -m ktrdr.cli" if called.endswith("__main__.py") else called


def _farewell(home: Path, keep: bool, seconds: float) -> None:
    console.print(f"\n{seconds:.0f} s. ", end="")
    if keep:
        console.print(f"Database, artifacts and logs are in {escape(str(home))}", soft_wrap=True)
        console.print(
            f"Look around: KTRDR_HOME={escape(str(home / 'interrupted'))} {escape(_invoked())} serve",
            soft_wrap=True,
        )
    else:
        shutil.rmtree(home, ignore_errors=True)
        console.print("The scratch home is removed; --keep keeps it.")
    ktrdr = escape(_invoked())
    console.print(
        f"Go on: {ktrdr} serve, and in another terminal: {ktrdr} research start --watch", soft_wrap=True
    )
