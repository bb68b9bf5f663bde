"""Python imports this first in every process of a crashed home: it counts boundaries, and dies at one.

A boundary is a commit that wrote something, an fsync or a rename of the home. The product knows nothing of
it: the harness puts this folder on PYTHONPATH, which a backend hands on to its workers. Which boundary is
the last one is said in `KTRDR_HOME/crash/plan.json`: for each role a list of [number, "before" | "after"],
one for each life of that role. A role is `backend`, or what a worker runs: `training`, `backtesting`,
`holdout`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

FOLDER = "crash"
PLAN = "plan.json"
LOG = "boundaries.log"
WRITES = ("INSERT", "UPDATE", "DELETE", "CREATE", "ALTER", "DROP")


class Boundaries:
    """Counts the boundaries of this process, writes each down, and kills it at the one of the plan."""

    def __init__(self, home: Path, role: str) -> None:
        self._home = home
        self._folder = home / FOLDER
        self._role = role
        self._lock = threading.Lock()
        self._number = 0
        self._log = os.open(self._folder / LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._life, self._last = self._planned()

    def _planned(self) -> tuple[int, tuple[int, str] | None]:
        """Which life of its role this is, and at which boundary it ends."""
        lives = json.loads((self._folder / PLAN).read_text()).get(self._role, [])
        for life, (number, when) in enumerate(lives):
            if not self._mark(life).exists():
                return life, (int(number), str(when))
        return len(lives), None

    def _mark(self, life: int) -> Path:
        return self._folder / f"{self._role}.{life}"

    def cross(self, label: str, act: Callable[[], Any]) -> Any:
        """Do what makes something durable, unless this is where the process dies."""
        with self._lock:
            self._number += 1
            number = self._number
        os.write(self._log, f"{self._role}\t{os.getpid()}\t{number}\t{label}\n".encode())
        self._die_if(number, "before", label)
        done = act()
        self._die_if(number, "after", label)
        return done

    def _die_if(self, number: int, when: str, label: str) -> None:
        if self._last == (number, when):
            self._mark(self._life).write_text(f"{when} {number}: {label}\n")
            os.kill(os.getpid(), signal.SIGKILL)

    def shown(self, path: str) -> str | None:
        """A path of the home with its random parts left out; None for a path elsewhere."""
        try:
            parts = Path(path).relative_to(self._home).parts
        except ValueError:
            return None
        return "/".join(part for part in parts if len(part) < 32 and not part.startswith("research_"))


def watch(boundaries: Boundaries) -> None:
    """Have every fsync, rename and commit of this process pass by."""
    fsync, rename, replace = os.fsync, os.rename, os.replace

    def counted_fsync(file: Any) -> None:
        handle = file if isinstance(file, int) else file.fileno()
        shown = boundaries.shown(os.readlink(f"/proc/self/fd/{handle}"))
        if shown is None:
            fsync(file)
        else:
            boundaries.cross(f"fsync {shown}", lambda: fsync(file))

    def counted(move: Callable[..., None], source: Any, target: Any, **more: Any) -> None:
        shown = boundaries.shown(os.fspath(target))
        if shown is None:
            move(source, target, **more)
        else:
            boundaries.cross(f"rename {shown}", lambda: move(source, target, **more))

    os.fsync = counted_fsync  # type: ignore[assignment]
    os.rename = lambda source, target, **more: counted(rename, source, target, **more)
    os.replace = lambda source, target, **more: counted(replace, source, target, **more)
    _watch_commits(boundaries)


def _watch_commits(boundaries: Boundaries) -> None:
    from sqlalchemy import event
    from sqlalchemy.engine import Connection, Engine

    commit = Connection._commit_impl

    @event.listens_for(Engine, "begin")
    def _begin(connection: Any) -> None:
        connection.written = []

    @event.listens_for(Engine, "before_cursor_execute")
    def _note(connection: Any, _c: Any, statement: str, *_: Any) -> None:
        words = statement.split()
        if words[0].upper() in WRITES:
            table = words[1] if words[0].upper() == "UPDATE" else words[2]
            connection.written.append(table.strip('"'))

    def counted_commit(connection: Any) -> None:
        if connection.written:
            tables = "+".join(dict.fromkeys(connection.written))
            boundaries.cross(f"commit {tables}", lambda: commit(connection))
        else:
            commit(connection)

    Connection._commit_impl = counted_commit  # type: ignore[method-assign, assignment]


def role_of(command: list[str]) -> str | None:
    """What this process is, by its command line."""
    if "ktrdr.api" in command:
        return "backend"
    if "ktrdr.workers" in command and "--operation-id" in command:
        return command[command.index("--operation-id") + 1].rpartition(".")[2]
    return None


def begin() -> None:
    home, role = os.environ.get("KTRDR_HOME"), role_of(sys.orig_argv)
    if home is not None and role is not None and (Path(home) / FOLDER / PLAN).exists():
        watch(Boundaries(Path(home).resolve(), role))


begin()
