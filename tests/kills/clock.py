"""A machine's clock for one backend and its workers, which a test may set; the machine's own stays."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("clock.c")
# Workers are given few variables: Python itself starts again with the library, as the same process.
PRELOADED = """
import os, sys
if "LD_PRELOAD" not in os.environ:
    os.environ["LD_PRELOAD"] = {library!r}
    os.environ["KTRDR_TEST_CLOCK"] = {setting!r}
    os.execv(sys.executable, sys.orig_argv)
"""


class Clock:
    """Compiles the library, and has every Python of this `PYTHONPATH` use it. Skips without a compiler."""

    def __init__(self, directory: Path) -> None:
        compiler = shutil.which("cc")
        if compiler is None:
            pytest.skip("a clock that can be set needs a C compiler (cc)")
        self._setting = directory / "clock"
        library = directory / "clock.so"
        self.set(0)
        subprocess.run(
            [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE), "-ldl"], check=True
        )
        code = PRELOADED.format(library=str(library), setting=str(self._setting))
        (directory / "sitecustomize.py").write_text(code)
        self.python_path = f"{directory}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"

    def set(self, ahead: int) -> None:
        """So many seconds ahead of the true time, from the next look on; at once for every process."""
        new = self._setting.with_suffix(".new")
        new.write_text(str(ahead))
        new.rename(self._setting)

    def read(self, look: str) -> float:
        """What a new Python finds the time to be."""
        code = f"import psutil, sqlite3, time; print({look})"
        environment = {**os.environ, "PYTHONPATH": self.python_path}
        return float(subprocess.check_output([sys.executable, "-c", code], env=environment, text=True))
