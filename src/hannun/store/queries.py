"""The SQL statements of `sql/*.sql`, by name. Each has a comment that says what it does, and no Python inside."""

import re
from importlib import resources

_NAME = re.compile(r"^-- (\w+) --$", re.MULTILINE)


def load(subject: str) -> dict[str, str]:
    """Every statement of `sql/<subject>.sql` by its name.

    Raises:
        ValueError: two statements have the same name.
    """
    text = resources.files("hannun.store").joinpath("sql", f"{subject}.sql").read_text("utf-8")
    _, *parts = _NAME.split(text)
    queries: dict[str, str] = {}
    for name, body in zip(parts[::2], parts[1::2], strict=True):
        if name in queries:
            raise ValueError(f"{subject}.sql has two statements named {name}; rename one of them")
        queries[name] = body.strip()
    return queries
