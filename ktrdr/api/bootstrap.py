"""The only wiring: settings in, a running backend out."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from tempfile import TemporaryFile

from fastapi import FastAPI

from ktrdr.agents.agent_service import AgentService
from ktrdr.agents.campaigns import Means
from ktrdr.agents.llm.language_model import LanguageModel
from ktrdr.agents.session_setup import SessionSetup
from ktrdr.agents.supervisor import SessionSupervisor
from ktrdr.api.cleanup import PeriodicCleanup
from ktrdr.api.instance import InstanceLock
from ktrdr.api.services.backtests_service import BacktestsService
from ktrdr.api.services.budget_service import BudgetService
from ktrdr.api.services.campaigns_service import CampaignsService
from ktrdr.api.services.checkpoints_service import CheckpointsService
from ktrdr.api.services.data_service import DataService
from ktrdr.api.services.doctor_service import DoctorService
from ktrdr.api.services.forks_service import ForksService
from ktrdr.api.services.history_service import HistoryService
from ktrdr.api.services.leaks_service import LeaksService
from ktrdr.api.services.memory_service import MemoryService
from ktrdr.api.services.operations_service import OperationsService
from ktrdr.api.services.reports_service import ReportsService
from ktrdr.api.services.resumes_service import ResumesService
from ktrdr.api.services.retention_service import RetentionService
from ktrdr.api.services.startup_reconciliation import StartupReconciliation
from ktrdr.api.services.strategies_service import StrategiesService
from ktrdr.data.catalog import Catalog
from ktrdr.domain.errors import RefusedToStart
from ktrdr.persistence.unit_of_work import Database
from ktrdr.settings import Settings
from ktrdr.workers.dispatcher import Dispatcher
from ktrdr.workers.executors.executor import OperationExecutor
from ktrdr.workers.executors.local import LocalExecutor
from ktrdr.workers.executors.ray import RayExecutor
from ktrdr.workers.leases import LeaseJudge

log = logging.getLogger(__name__)


class Backend:
    """Everything one backend process owns, in the order it starts and stops."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.database = Database(settings.url)
        self.closing = asyncio.Event()
        self._broken = False
        self.executor = executor_of(settings)
        self.dispatcher = Dispatcher(
            self.database,
            self.executor,
            grace_seconds=settings.worker_grace_seconds,
            wait_seconds=settings.ray_wait_seconds,
        )
        self.leases = LeaseJudge(self.database)
        self.catalog = Catalog(settings.data)
        asked = settings.language_model
        self.llm = None if asked is None else LanguageModel(self.database, asked)
        self.lock = InstanceLock(self.database, settings.instance)
        self.reconciliation = StartupReconciliation(self.database, settings.instance, self.lock.holder)
        setup = SessionSetup(
            instance=settings.instance,
            max_active=settings.max_active_sessions,
            thresholds=settings.thresholds,
            catalog=self.catalog,
            wake=self.wake,
            model=None if self.llm is None else self.llm.name,
            limits=None if asked is None else asked.limits,
        )
        self.agent = AgentService(self.database, setup)
        self.budgets = BudgetService(self.database, settings.limits)
        self.doctor = DoctorService(self.database, self.llm, settings.limits)
        self.forks = ForksService(self.database, setup, settings.artifacts)
        self.operations = OperationsService(self.database, executor=self.executor, wake=self.wake)
        self.resumes = ResumesService(self.database, setup, settings.artifacts)
        self.campaigns = CampaignsService(self.database, setup)
        self.supervisor = SessionSupervisor(
            self.database,
            settings.instance,
            settings.thresholds,
            self.catalog,
            holder=self.lock.holder,
            llm=self.llm,
            means=Means(setup, self.resumes.resume),
        )
        self.checkpoints = CheckpointsService(self.database, settings.artifacts)
        self.retention = RetentionService(
            self.database,
            settings.artifacts,
            checkpoint_days=settings.checkpoint_days,
            orphan_hours=settings.orphan_hours,
        )
        self.cleanup = PeriodicCleanup(self.retention, settings.cleanup_hours)
        self.backtests = BacktestsService(self.database, self.catalog)
        self.reports = ReportsService(self.database, settings.artifacts)
        self.history = HistoryService(self.database, settings.artifacts)
        self.strategies = StrategiesService(settings.strategies)
        self.leaks = LeaksService(self.database, self.catalog, settings.artifacts)
        self.memory = MemoryService(self.database)
        self.data = DataService(self.catalog, max_bytes=settings.max_import_bytes)

    @property
    def has_to_end(self) -> bool:
        """Another backend has taken its name, or one of its loops has failed: a half is worse than none."""
        return self.lock.lost or self._broken

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            log.critical("the %s failed: this backend ends", task.get_name(), exc_info=task.exception())
            self._broken = True

    def wake(self) -> None:
        self.supervisor.wake()
        self.dispatcher.wake()

    async def open(self) -> None:
        """Be ready to serve: schema, lock, and the truth about what ran before."""
        await self.database.wait_until_ready(self.settings.database_wait_seconds)
        await self.database.migrate()
        await self.lock.acquire()
        await self.lock.let_others_renew()
        self.data.sweep()
        if self.llm is not None:
            await asyncio.to_thread(self.llm.load)
        await self.reconciliation.reconcile(await self.dispatcher.reap())
        if self.settings.auto_resume:
            await self.resumes.resume_interrupted()

    @asynccontextmanager
    async def lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        """Own the background tasks of a backend that `open` has made ready."""
        tasks = [
            asyncio.create_task(self.supervisor.run(), name="session supervisor"),
            asyncio.create_task(self.dispatcher.run(), name="dispatcher"),
            asyncio.create_task(self.leases.run(), name="lease judge"),
            asyncio.create_task(self.lock.keep(), name="instance lock"),
            asyncio.create_task(self.cleanup.run(), name="cleanup"),
        ]
        for task in tasks:
            task.add_done_callback(self._ended)
        try:
            yield
        finally:
            self.dispatcher.stop()
            self.leases.stop()
            self.cleanup.stop()
            await self.supervisor.stop()
            self.lock.stop()
            await asyncio.gather(*tasks, return_exceptions=True)
            try:
                await self.lock.release()
            finally:
                await self.executor.close()
                await self.database.close()


def executor_of(settings: Settings) -> OperationExecutor:
    """The engine that the settings name, and what it tells its workers."""
    told = {"PYTHONUNBUFFERED": "1", "KTRDR_CHECKPOINT_EPOCHS": str(settings.checkpoint_epochs)}
    if settings.checkpoint_seconds is not None:
        told["KTRDR_CHECKPOINT_SECONDS"] = str(settings.checkpoint_seconds)
    if settings.executor == "local":
        # The database's password travels by environment, never by command line.
        environment = {"KTRDR_HOME": str(settings.home), **told}
        if settings.database_url is not None:
            environment["KTRDR_DATABASE_URL"] = settings.url
        return LocalExecutor(settings.logs, environment, settings.worker_slots)
    environment = {"KTRDR_HOME": settings.ray_home or str(settings.home), **told}
    token = None if settings.ray_token is None else settings.ray_token.get_secret_value()
    return RayExecutor(settings.ray_address, token, logs=settings.logs, environment=environment)


def prepare_home(settings: Settings) -> None:
    """Create the home, closed to other users of the machine. Raises RefusedToStart when it takes no file."""
    os.umask(0o077)
    try:
        settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        with TemporaryFile(dir=settings.home):
            return
    except OSError as error:
        raise RefusedToStart(
            f"The home {settings.home} can't be written to ({error.strerror}). "
            "Make it writable, or name another with KTRDR_HOME."
        ) from error
