"""Minute and channel of a participant in one integer."""

from hannun.store.migrate import run_sql

revision = "0009"
down_revision = "0006"


def upgrade() -> None:
    run_sql("0009_packed_arrivals.sql")
