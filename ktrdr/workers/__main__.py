"""`python -m ktrdr.workers --operation-id X`: claim one operation, run it, exit."""

from __future__ import annotations

import argparse
import gc
import logging
import os
import sys

from ktrdr.domain.operations import Operation, OperationType, is_safe_key
from ktrdr.workers.executors.local import process_reference
from ktrdr.workers.logs import keep_output, log_path
from ktrdr.workers.threads import limit_threads


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m ktrdr.workers", description=__doc__)
    parser.add_argument("--operation-id", required=True)
    parser.add_argument("--keep-log", action="store_true", help="write the output to the operation's log")
    arguments = parser.parse_args()
    operation_id = arguments.operation_id
    if not is_safe_key(operation_id):
        parser.error("an operation id has letters, digits, '-', '_' and inner dots only")
    gc.disable()  # until all is imported: what an import makes stays, and collecting it is time lost
    os.umask(0o077)
    limit_threads()

    from ktrdr.settings import Settings

    settings = Settings()
    if arguments.keep_log:
        keep_output(log_path(settings.logs, operation_id))
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )

    from ktrdr.data.catalog import Catalog
    from ktrdr.persistence.unit_of_work import Database
    from ktrdr.workers.runner import run_operation

    return run_operation(
        operation_id,
        connect=lambda: Database(settings.url),
        artifacts=settings.artifacts,
        catalog=Catalog(settings.data),
        executor_ref=os.environ.get("KTRDR_EXECUTOR_REF") or process_reference(),
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
