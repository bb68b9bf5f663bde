"""Alembic's entry: migrate on the connection that `upgrade` was given."""

from alembic import context

from ktrdr.persistence.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
