"""A process is known again, whatever happens to the clock and to its number."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import psutil
import pytest

from ktrdr.processes import is_alive, is_stopped, pid_of, process_reference


def test_a_process_is_alive_until_it_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        ref = process_reference(process.pid)
        assert (is_alive(ref), is_stopped(ref), pid_of(ref)) == (True, False, process.pid)
        process.send_signal(signal.SIGSTOP)
        os.waitpid(process.pid, os.WUNTRACED)
        assert (is_alive(ref), is_stopped(ref)) == (True, True)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # a zombie now
        assert is_alive(ref) is False
        process.wait()
        assert (is_alive(ref), is_stopped(ref)) == (False, False)


def test_a_process_id_that_was_given_again_is_not_the_process() -> None:
    own = process_reference()
    assert is_alive(own) is True
    assert is_alive(f"{own.rpartition(':')[0]}:1@00000000") is False


def test_another_machines_process_is_unknown() -> None:
    kind, _, pid, start = process_reference().split(":")
    elsewhere = f"{kind}:elsewhere:{pid}:{start}"
    assert (is_alive(elsewhere), is_stopped(elsewhere), pid_of(elsewhere)) == (None, False, None)


def test_a_clock_that_is_set_changes_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of the boot moves with the clock, and with it every start time of `psutil`."""
    before, started = process_reference(), psutil.Process().create_time()
    boot = psutil.boot_time()
    monkeypatch.setattr("psutil._psplatform.boot_time", lambda: boot + 3600.0)
    assert psutil.Process().create_time() - started > 3000.0 or not sys.platform.startswith("linux")
    assert process_reference() == before
    assert is_alive(before) is True
