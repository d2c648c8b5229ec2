"""Minute and channel of a participant in one integer."""

from hannun.store.migrate import run_sql

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    run_sql("0008_packed_arrivals.sql")
