"""`python -m ktrdr.workers --operation-id X`: claim one operation, run it, exit."""

from __future__ import annotations

import argparse
import gc
import logging
import os
import sys
from functools import partial
from typing import TYPE_CHECKING

from ktrdr.domain.operations import Operation, OperationType, is_safe_key
from ktrdr.processes import process_reference
from ktrdr.workers.logs import keep_output, log_path
from ktrdr.workers.threads import limit_threads

if TYPE_CHECKING:
    from ktrdr.checkpointing.policy import CheckpointPolicy
    from ktrdr.workers.runner import Job


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

    from ktrdr.checkpointing.policy import CheckpointPolicy
    from ktrdr.data.catalog import Catalog
    from ktrdr.persistence.unit_of_work import Database
    from ktrdr.workers.runner import run_operation

    policy = CheckpointPolicy(settings.checkpoint_epochs, settings.checkpoint_seconds)

    return run_operation(
        operation_id,
        connect=lambda: Database(settings.url),
        artifacts=settings.artifacts,
        catalog=Catalog(settings.data),
        executor_ref=os.environ.get("KTRDR_EXECUTOR_REF") or process_reference(),
        job_of=lambda operation: _job_of(operation, policy),
    )


def _job_of(operation: Operation, policy: CheckpointPolicy) -> Job:
    """The job's module is imported once the operation is claimed, so that a claim is not kept waiting."""
    job: Job
    if operation.operation_type is OperationType.TRAINING:
        from ktrdr.workers.jobs import training

        job = partial(training.run, policy=policy)
    else:
        from ktrdr.workers.jobs import backtesting

        job = backtesting.run
    gc.freeze()
    gc.enable()
    return job


if __name__ == "__main__":
    sys.exit(main())
