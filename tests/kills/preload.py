"""A machine's clock, or its disk, as one backend and its workers find it; the machine's own stays.

A small C library stands before the C library's functions in every Python of a `PYTHONPATH`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# Workers are given few variables: Python itself starts again with the library, as the same process.
PRELOADED = """
import os, sys
if "LD_PRELOAD" not in os.environ:
    os.environ["LD_PRELOAD"] = {library!r}
    os.environ["KTRDR_TEST_SETTING"] = {setting!r}
    os.execv(sys.executable, sys.orig_argv)
"""


class Preloaded:
    """One library, compiled from a source beside this file, and the number that it reads."""

    def __init__(self, directory: Path, source: str) -> None:
        """Skips the test where there is no compiler, or no Linux."""
        compiler = shutil.which("cc")
        if compiler is None or sys.platform != "linux":
            pytest.skip("a library before the C library's needs Linux and a C compiler (cc)")
        directory.mkdir()
        self._setting, library = directory / "setting", directory / "library.so"
        self.set(0)
        path = Path(__file__).with_name(source)
        subprocess.run(
            [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(path), "-ldl"], check=True
        )
        code = PRELOADED.format(library=str(library), setting=str(self._setting))
        (directory / "sitecustomize.py").write_text(code)
        self.python_path = f"{directory}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"

    def set(self, number: int) -> None:
        """What the library reads from the next call on; at once for every process."""
        new = self._setting.with_suffix(".new")
        new.write_text(str(number))
        new.rename(self._setting)

    def read(self, look: str) -> float:
        """What a new Python finds an expression to be."""
        code = f"import psutil, sqlite3, time; print({look})"
        environment = {**os.environ, "PYTHONPATH": self.python_path}
        return float(subprocess.check_output([sys.executable, "-c", code], env=environment, text=True))
