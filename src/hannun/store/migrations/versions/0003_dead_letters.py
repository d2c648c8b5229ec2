"""Dead letters that can be worked: resolved by a retry, or dropped."""

from hannun.store.migrate import run_sql

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    run_sql("0003_dead_letters.sql")
