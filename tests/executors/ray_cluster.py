"""A Ray head node of the tests' own: loopback only, its own ports and folder, stopped by its processes."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import psutil

START_SECONDS = 90.0


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


class RayCluster:
    """`ray start --head --block` with a token."""

    def __init__(self, **environment: str) -> None:
        self.token = secrets.token_hex(16)
        # Ray's sockets lie in this folder, and a socket's path has at most 107 characters.
        self.folder = Path(tempfile.mkdtemp(prefix="ray-"))
        gcs, dashboard, agent = free_ports(3)
        self.address = f"http://127.0.0.1:{dashboard}"
        self._output = (self.folder / "head.log").open("wb")
        here = Path(sys.executable).parent
        own = {
            "PATH": f"{here}{os.pathsep}{os.environ['PATH']}",  # `python` of a job is this one
            "PYTHONPATH": os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")]),
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": self.token,
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        options = {
            "num-cpus": 4,
            "node-ip-address": "127.0.0.1",
            "port": gcs,
            "dashboard-host": "127.0.0.1",
            "dashboard-port": dashboard,
            "dashboard-agent-listen-port": agent,
            "object-store-memory": 100_000_000,
            "temp-dir": self.folder,
        }
        given = [f"--{name}={value}" for name, value in options.items()]
        self.process = subprocess.Popen(
            [str(here / "ray"), "start", "--head", "--block", "--disable-usage-stats", *given],
            env={**os.environ, **own, **environment},
            stdout=self._output,
            stderr=self._output,
            start_new_session=True,
        )
        self._await_jobs_api()

    def _await_jobs_api(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        headers = {"Authorization": f"Bearer {self.token}"}
        while time.monotonic() < deadline:
            assert self.process.poll() is None, (self.folder / "head.log").read_text()
            try:
                if httpx.get(f"{self.address}/api/jobs/", headers=headers, timeout=5.0).is_success:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.2)
        raise AssertionError(f"Ray did not start: {(self.folder / 'head.log').read_text()}")

    def stop(self) -> None:
        """End this cluster's processes, jobs included, and no other's."""
        family = psutil.Process(self.process.pid).children(recursive=True)
        self.process.terminate()
        try:
            self.process.wait(timeout=20.0)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for one in family:
            if one.is_running():
                one.kill()
        psutil.wait_procs(family, timeout=10.0)
        self._output.close()
        shutil.rmtree(self.folder, ignore_errors=True)
