"""Which run of the Redis server a connection has reached. A server that was restarted may hold old data."""

from redis.asyncio import Connection


async def read_run_id(connection: Connection) -> str:
    """The server's run id, which changes with every start; an empty text if the server does not report one.

    For use while the connection is being opened (`redis_connect_func`).
    """
    # Without health checks: against a server that accepts and never answers, each check would connect once more and
    # read the run id again.
    await connection.on_connect_check_health(check_health=False)
    await connection.send_command("INFO", "server", check_health=False)
    return _run_id_in(await connection.read_response())


def _run_id_in(info: object) -> str:
    text = info.decode() if isinstance(info, bytes) else str(info)
    for line in text.splitlines():
        if line.startswith("run_id:"):
            return line.removeprefix("run_id:").strip()
    return ""
