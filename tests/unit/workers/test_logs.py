"""The end of a log, cut where a line begins."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ktrdr.workers.logs import log_path, read_end


def test_a_log_is_read_from_its_end(tmp_path: Path) -> None:
    path = log_path(tmp_path, "op_1.training")
    assert path.name == "op_1.training.log"
    assert read_end(path, 100) is None
    path.write_text("first line\nsecond line\nthird\n")
    assert read_end(path, 1000) == "first line\nsecond line\nthird\n"
    assert read_end(path, 15) == "third\n"
    path.write_text("one line without an end")
    assert read_end(path, 3) == "end"


def test_a_process_that_keeps_its_output_writes_it_all(tmp_path: Path) -> None:
    """Native code writes past Python's streams; a second attempt is appended."""
    path = tmp_path / "logs" / "op.log"
    code = (
        "import os, sys; from pathlib import Path; from ktrdr.workers.logs import keep_output;"
        f"keep_output(Path({str(path)!r}));"
        "print('python', flush=True); os.write(2, b'native\\n')"
    )
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
        assert (done.stdout, done.stderr) == ("", "")
    assert path.read_text() == "python\nnative\n" * 2
    assert path.stat().st_mode & 0o077 == 0
