"""A month whose detachment was broken off is made again where a message needs it."""

from hannun.store.migrate import run_sql

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    run_sql("0005_broken_off.sql")
