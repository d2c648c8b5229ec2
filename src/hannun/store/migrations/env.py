"""Alembic's entry: the caller hands in an open connection; each migration is plain SQL beside its version."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    version_table="schema_version",
    version_table_schema="hannun",
    transaction_per_migration=True,
)
with context.begin_transaction():
    context.run_migrations()
