"""The SQL of `sql/*.sql`, by name. A query has a name, a line that says what it answers, and no Python inside."""

import re
from importlib import resources

_NAME = re.compile(r"^-- (\w+) --$", re.MULTILINE)


def load(subject: str) -> dict[str, str]:
    """Every query of `sql/<subject>.sql` by its name.

    Raises:
        ValueError: two queries have one name.
    """
    text = resources.files("hannun.store").joinpath("sql", f"{subject}.sql").read_text("utf-8")
    _, *parts = _NAME.split(text)
    queries: dict[str, str] = {}
    for name, body in zip(parts[::2], parts[1::2], strict=True):
        if name in queries:
            raise ValueError(f"{subject}.sql: the query {name} stands there twice")
        queries[name] = body.strip()
    return queries
