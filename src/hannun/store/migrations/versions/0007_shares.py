"""Links that open one event read-only."""

from hannun.store.migrate import run_sql

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    run_sql("0007_shares.sql")
