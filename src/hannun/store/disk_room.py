"""Whether PostgreSQL's disk has room: asked by writing to it, since no SQL tells how much is free."""

from hannun.store.database import Connection
from hannun.store.queries import load

SQL = load("disk_room")


def check_room(conn: Connection) -> None:
    """Write a temporary file of about 1 MB beside the tables, and remove it. In a transaction.

    Raises what psycopg raises; `Database` raises DiskFull for it.
    """
    conn.execute(SQL["write_beside_the_tables"])
    conn.execute(SQL["write_temporary_file"])
