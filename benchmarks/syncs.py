"""Counts the fsyncs of this process: a shared library that stands before the C library's own calls.

A program that is started with it (`LD_PRELOAD`) asks `syncs()` how many there were so far.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

SOURCE = """
#define _GNU_SOURCE
#include <dlfcn.h>
static long calls;
long counted_syncs(void) { return __atomic_load_n(&calls, __ATOMIC_SEQ_CST); }
static int counted(const char *name, int file) {
    __atomic_add_fetch(&calls, 1, __ATOMIC_SEQ_CST);
    return ((int (*)(int))dlsym(RTLD_NEXT, name))(file);
}
int fsync(int file) { return counted("fsync", file); }
int fdatasync(int file) { return counted("fdatasync", file); }
"""


def syncs() -> int | None:
    """fsync and fdatasync calls of this process so far; None when it was started without the counter."""
    try:
        return int(ctypes.CDLL(None).counted_syncs())
    except AttributeError:
        return None


@contextlib.contextmanager
def counting() -> Iterator[dict[str, str]]:
    """The environment of a program whose fsyncs are counted; unchanged where that can't be done."""
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "syncs.so"
        if sys.platform == "linux" and shutil.which("gcc"):
            command = ["gcc", "-shared", "-fPIC", "-o", str(library), "-xc", "-", "-ldl"]
            subprocess.run(command, input=SOURCE.encode(), check=True)
            yield {**os.environ, "LD_PRELOAD": str(library)}
        else:
            yield dict(os.environ)
