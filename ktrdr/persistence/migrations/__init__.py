"""Alembic migrations, run at start. Alembic is imported only when there is something to do."""

from __future__ import annotations

import logging
from pathlib import Path

from sqlalchemy import Connection

from ktrdr.domain.errors import RefusedToStart

HEAD = "0005"  # a test compares it with the newest revision


def upgrade(connection: Connection) -> None:
    """Migrate to HEAD on the caller's connection, in the caller's transaction."""
    logging.getLogger("alembic").setLevel(logging.WARNING)
    from alembic import command
    from alembic.config import Config
    from alembic.util.exc import CommandError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise RefusedToStart(
            f"The database's schema is not one this ktrdr knows ({error}); it has {HEAD}. "
            "Start the newer ktrdr that migrated it, or name another database in KTRDR_DATABASE_URL."
        ) from error
