"""Dead letters that a topic has got."""

from hannun.store.migrate import run_sql

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    run_sql("0005_published_letters.sql")
