"""The Alembic environment: runs the revisions in the transaction that `serving.store.admin.migrate` opened."""

from __future__ import annotations

from alembic import context

from serving.store.db.tables import Table

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Table.metadata,
    render_as_batch=True,  # SQLite alters a column by rebuilding its table
)
context.run_migrations()
