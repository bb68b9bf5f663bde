"""Alembic migrations, run at start. Alembic is imported only when there is something to do."""

from __future__ import annotations

import logging
from pathlib import Path

from sqlalchemy import Connection

HEAD = "0001"  # a test compares it with the newest revision


def upgrade(connection: Connection) -> None:
    """Migrate to HEAD on the caller's connection, in the caller's transaction."""
    from alembic import command
    from alembic.config import Config

    logging.getLogger("alembic").setLevel(logging.WARNING)
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
