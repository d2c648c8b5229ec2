"""Both READMEs lead to the same documents, and all of these exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def linked_documents(readme: str) -> set[str]:
    """The files and folders that a README links to, without the places in them."""
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", (ROOT / readme).read_text(encoding="utf-8"))
    return {target for target in targets if not target.startswith("README")}


def test_the_korean_readme_links_the_same_documents() -> None:
    documents = linked_documents("README.md")
    assert {"docs/threat-model.md", "docs/operating.md"} <= documents
    assert linked_documents("README.ko.md") == documents


def test_the_documents_exist() -> None:
    assert [name for name in linked_documents("README.md") if not (ROOT / name).exists()] == []
