"""Positions an operator can reason about: stopped partitions, and decisions on record."""

from hannun.store.migrate import run_sql

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    run_sql("0002_positions.sql")
