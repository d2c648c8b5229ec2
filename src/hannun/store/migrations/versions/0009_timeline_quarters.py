"""The timeline by quarters of an hour."""

from hannun.store.migrate import run_sql

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    run_sql("0009_timeline_quarters.sql")
