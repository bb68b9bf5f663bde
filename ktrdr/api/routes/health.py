"""Is the process up, can it serve, and what does it count?"""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse

from ktrdr import __version__
from ktrdr.api.schemas import Envelope
from ktrdr.persistence.unit_of_work import Database


def router(database: Database) -> APIRouter:
    routes = APIRouter(tags=["health"])

    @routes.get("/health")
    async def health() -> Envelope[dict[str, str]]:
        """The process answers; says nothing about the database."""
        return Envelope(data={"status": "up", "version": __version__})

    @routes.get("/ready")
    async def ready() -> Envelope[dict[str, str]]:
        """The database answers too; 503 DATABASE_UNAVAILABLE otherwise."""
        async with database.read() as tx:
            await tx.starts.list(1)  # one row, however many operations there are
        return Envelope(data={"status": "ready"})

    @routes.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> str:
        """Operations by type and status, in the Prometheus text format."""
        async with database.read() as tx:
            counts = await tx.operations.counts()
        lines = ["# HELP ktrdr_operations Operations by type and status.", "# TYPE ktrdr_operations gauge"]
        lines += [
            f'ktrdr_operations{{type="{kind}",status="{status}"}} {count}'
            for (kind, status), count in sorted(counts.items())
        ]
        return "\n".join(lines) + "\n"

    return routes
