"""The first schema: the contract in `public`, everything of our own in `hannun`."""

from hannun.store.migrate import run_sql

revision = "0001"
down_revision = None


def upgrade() -> None:
    run_sql("0001_first.sql")
