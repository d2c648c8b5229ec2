"""docs/architecture.md and docs/glossary.md describe the code that is there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "hannun"
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text("utf-8")
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text("utf-8")


def modules(folder: str) -> set[str]:
    """The modules and packages of a folder of the source."""
    return {
        path.stem for path in (SOURCE / folder).iterdir() if path.stem != "__init__" and (path / "__init__.py").exists()
    } | {path.stem for path in (SOURCE / folder).glob("*.py") if path.stem != "__init__"}


def test_the_lists_of_modules_are_those_of_the_folders() -> None:
    for folder in ("flows", "domain", "counting", "processes"):
        row = next(line for line in ARCHITECTURE.splitlines() if line.startswith(f"| `{folder}/` | "))
        listed = set(re.findall(r"`(\w+)`", row.split("|")[2]))
        assert listed == modules(folder), folder


def test_the_drawing_of_the_layers_names_every_flow() -> None:
    drawn = set(re.findall(r"\w+", "\n".join(re.findall(r'f\d\["(.*)"\]', ARCHITECTURE))))
    assert modules("flows") <= drawn


def test_every_path_that_is_named_exists() -> None:
    named = re.findall(r"`((?:src/hannun|docs|tests|bench|tools)/[\w./-]+)`", ARCHITECTURE + GLOSSARY)
    named += [f"src/hannun/{path}" for path in re.findall(r"`([a-z_]+(?:/[\w.-]+)*(?:\.(?:py|sql|toml)|/))`", GLOSSARY)]
    assert len(named) > 60
    missing = [path for path in named if not (ROOT / path).exists()]
    assert missing == []
