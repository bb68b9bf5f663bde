"""How many threads the numeric libraries of a worker may use.

Two threads on a busy two-core machine were 6 to 16 times slower than one, so it is one unless the
operation asks for more CPUs.
"""

from __future__ import annotations

import os

from ktrdr.domain.operations import Resources

_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def thread_variables(resources: Resources) -> dict[str, str]:
    """The environment of a worker with these resources."""
    return {name: str(resources.num_cpus) for name in _VARIABLES}


def limit_threads() -> None:
    """One thread where the environment says nothing; has to come before numpy and torch are imported."""
    for name in _VARIABLES:
        os.environ.setdefault(name, "1")
