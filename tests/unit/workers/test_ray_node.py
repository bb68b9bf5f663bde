"""A Ray node that is stopped lets its workers save first."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).parents[3]
# Stands in for `ray start --block`: it has a worker below a shell, and writes down when it is told to end.
RAY = """#!/bin/sh
trap 'echo ray >>"$ORDER"; exit 0' TERM
(cd "$WORKER" && {python} -m ktrdr.workers --operation-id x; true) &
while :; do sleep 0.1; done
"""
WORKER = """
import os, signal, sys, time
def save(*_):
    time.sleep(0.5)
    open(os.environ["ORDER"], "a").write("worker\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, save)
open(os.environ["ORDER"] + ".started", "w").close()
while True:
    time.sleep(0.1)
"""


def test_workers_are_told_first_and_waited_for(tmp_path: Path) -> None:
    """SIGTERM to the node reaches the workers, and Ray only once they have ended."""
    order = tmp_path / "order"
    package = tmp_path / "worker" / "ktrdr" / "workers"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").touch()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(WORKER)
    ray = tmp_path / "ray"
    ray.write_text(RAY.format(python=sys.executable))
    ray.chmod(0o700)
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "ORDER": str(order),
        "WORKER": str(tmp_path / "worker"),
    }
    command = [sys.executable, "-m", "ktrdr.workers.ray_node", "--head"]
    node = subprocess.Popen(command, env=environment, start_new_session=True)
    try:
        deadline = time.monotonic() + 30
        while not Path(f"{order}.started").exists():
            assert time.monotonic() < deadline, "the worker did not start"
            time.sleep(0.05)
        node.send_signal(signal.SIGTERM)
        assert node.wait(30) == 0
        assert order.read_text().split() == ["worker", "ray"]
    finally:
        with suppress(ProcessLookupError):
            os.killpg(node.pid, signal.SIGKILL)
