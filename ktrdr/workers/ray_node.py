"""`python -m ktrdr.workers.ray_node --head …`: a Ray node whose stop lets its workers save first.

`ray start --block` passes no signal on to its jobs: it waits for them, until whoever stops it loses
patience and kills all. Here SIGTERM goes to the workers first, who write a last checkpoint and end
(a training's own promise: within 25 s), and to Ray after them.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import psutil

SAVE_SECONDS = 22.0  # leaves Ray some of the 30 that compose.yaml gives a container
LOOK_SECONDS = 0.2


def main() -> int:
    told: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
    signal.signal(signal.SIGINT, lambda number, _: told.append(number))
    node = subprocess.Popen(["ray", "start", "--block", *sys.argv[1:]])
    while node.poll() is None and not told:
        time.sleep(LOOK_SECONDS)
    if node.poll() is None:
        stop_workers(node.pid)
        node.terminate()
    return abs(node.wait())


def stop_workers(pid: int) -> None:
    """Ask the workers below a process to save and end; returns when they have, or have had their time."""
    workers = [one for one in psutil.Process(pid).children(recursive=True) if is_worker(one)]
    for worker in workers:
        try:
            worker.terminate()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(workers, timeout=SAVE_SECONDS)


def is_worker(process: psutil.Process) -> bool:
    """Whether this is a worker's own process, not the shell that Ray may have started it in."""
    try:
        return process.cmdline()[1:3] == ["-m", "ktrdr.workers"]
    except psutil.Error:
        return False


if __name__ == "__main__":
    sys.exit(main())
