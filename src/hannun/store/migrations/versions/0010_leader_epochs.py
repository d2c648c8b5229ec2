"""Positions that can be checked by the leader's epoch."""

from hannun.store.migrate import run_sql

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    run_sql("0010_leader_epochs.sql")
