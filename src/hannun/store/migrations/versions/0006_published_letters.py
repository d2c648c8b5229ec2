"""Dead letters that a topic has got."""

from hannun.store.migrate import run_sql

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    run_sql("0006_published_letters.sql")
