"""The tables of docs/operating.md, docs/messages.md and docs/doctor.md are complete."""

import re
from pathlib import Path

from hannun.domain.facts import Kind, Reason
from hannun.flows.doctor.registry import CHECKS
from hannun.settings import Settings
from hannun.store.roles import ROLES

DOCS = Path(__file__).parents[2] / "docs"


def variables() -> set[str]:
    found = set()
    for name, field in Settings.model_fields.items():
        alias = field.validation_alias
        choices = getattr(alias, "choices", None)
        found.add(str(choices[0]) if choices else f"HANNUN_{name.upper()}")
    return found


def test_the_table_of_settings_lists_every_setting_and_no_other() -> None:
    text = (DOCS / "operating.md").read_text("utf-8")
    table = "\n".join(line.split("|")[1] for line in text.splitlines() if line.startswith("| `"))
    listed = set(re.findall(r"`([A-Z_]{6,})`", table))
    by_migrate = {f"HANNUN_{role.upper()}_PASSWORD" for role in ROLES}
    assert listed - by_migrate == variables()


def test_every_kind_and_every_reason_of_a_dead_letter_is_documented() -> None:
    text = (DOCS / "messages.md").read_text("utf-8")
    for word in [*Kind, *Reason]:
        assert f"`{word}`" in text


def test_the_table_of_the_doctor_lists_every_check_and_no_other() -> None:
    rows = (DOCS / "doctor.md").read_text("utf-8").splitlines()
    assert re.findall(r"^\| `([a-z-]+)` \|", "\n".join(rows), re.MULTILINE) == list(CHECKS)
