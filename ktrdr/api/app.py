"""The ASGI application over an opened backend."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp

from ktrdr import __version__
from ktrdr.api import errors
from ktrdr.api.bootstrap import Backend
from ktrdr.api.guard import Guard
from ktrdr.api.routes import (
    agent,
    budget,
    campaigns,
    checkpoints,
    data,
    following,
    forks,
    health,
    history,
    jobs,
    leaks,
    memory,
    operations,
    reports,
    restarts,
    strategies,
)
from ktrdr.api.schemas import Failure

PREFIX = "/api/v1"


def create_app(backend: Backend) -> ASGIApp:
    """Routes inside, the guard outside."""
    refusals: dict[int | str, dict[str, Any]] = {
        code: {"model": Failure} for code in (404, 409, 413, 422, 429, 503)
    }
    app = FastAPI(title="ktrdr", version=__version__, lifespan=backend.lifespan, responses=refusals)
    errors.install(app)
    for router in (
        agent.router(backend.agent),
        memory.router(backend.memory),
        campaigns.router(backend.campaigns),
        operations.router(backend.operations, backend.resumes),
        forks.router(backend.forks),
        budget.router(backend.budgets, backend.doctor),
        following.router(backend.operations, backend.closing),
        history.router(backend.history),
        checkpoints.router(backend.checkpoints, backend.retention),
        jobs.router(backend.operations, backend.backtests, backend.catalog),
        reports.router(backend.reports),
        strategies.router(backend.strategies),
        leaks.router(backend.leaks),
        data.router(backend.data),
        health.router(backend.database),
        restarts.router(backend.reconciliation),
    ):
        app.include_router(router, prefix=PREFIX)
    settings = backend.settings
    token = None if settings.token is None else settings.token.get_secret_value()
    hosts = [settings.host, *settings.allowed_hosts.split(",")]
    return Guard(app, hosts=hosts, token=token, streams={f"{PREFIX}{data.IMPORT_PATH}"})
