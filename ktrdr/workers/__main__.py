"""`python -m ktrdr.workers --operation-id X`: claim one operation, run it, exit."""

from __future__ import annotations

import argparse
import gc
import logging
import os
import sys

from ktrdr.domain.operations import Operation, OperationType, is_safe_key


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m ktrdr.workers", description=__doc__)
    parser.add_argument("--operation-id", required=True)
    operation_id = parser.parse_args().operation_id
    if not is_safe_key(operation_id):
        parser.error("an operation id has letters, digits, '-', '_' and inner dots only")
    gc.disable()  # until all is imported: what an import makes stays, and looking through it costs 15 %
    os.umask(0o077)
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    # Before numpy or torch are imported: two threads on a busy two-core machine are 6-16x slower.
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")

    from ktrdr.persistence.unit_of_work import Database
    from ktrdr.settings import Settings
    from ktrdr.workers.runner import run_operation

    settings = Settings()
    return run_operation(
        operation_id,
        connect=lambda: Database(settings.url),
        artifacts=settings.artifacts,
        job_of=_job_of,
    )


def _job_of(operation: Operation):  # type: ignore[no-untyped-def]
    """The job's module is imported once the operation is claimed, so that a claim is not kept waiting."""
    if operation.operation_type is OperationType.TRAINING:
        from ktrdr.workers.jobs.training import run
    else:
        from ktrdr.workers.jobs.backtesting import run
    gc.freeze()
    gc.enable()
    return run


if __name__ == "__main__":
    sys.exit(main())
