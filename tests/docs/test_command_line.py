"""Every command that the code or the docs name is one of the real command line: whoever pastes it is understood."""

import ast
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from io import StringIO
from pathlib import Path

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from typer._click.core import Command, Context
from typer._click.exceptions import NoArgsIsHelpError, UsageError
from typer.core import TyperGroup
from typer.testing import CliRunner

from hannun import settings as hannun_settings
from hannun.cli import terminal
from hannun.cli.application import app
from hannun.errors import OperatorError, SettingMissing, install_hint
from hannun.processes import endpoints

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "hannun"
COMMAND = re.compile(r"(?:^|[`(]|: )hannun ([a-z][\w-]*(?: [^`;,()]*)?)(?=$|[`;,()])", re.MULTILINE)
"""A command in a text: alone, in backticks or parentheses, or behind a colon."""
ANY_VALUE = "1"


def commands_in_code() -> Iterator[tuple[str, str]]:
    """The module and the command, for each that a text of the code names; `ANY_VALUE` stands for what varies."""
    for path in sorted(SOURCE.rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        docstrings = {
            id(node.value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        }
        parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
        for node in ast.walk(tree):
            if id(node) not in docstrings | parts and (text := _text_of(node)):
                for command in COMMAND.findall(text):
                    yield str(path.relative_to(SOURCE)), command


def _text_of(node: ast.AST) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(_text_of(part) if isinstance(part, ast.Constant) else ANY_VALUE for part in node.values)
    return ""


def commands_in_docs() -> Iterator[tuple[str, str]]:
    """The page and the command, for each that the docs name; of alternatives the first, without what is optional."""
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        text = re.sub(r" +#.*$", "", path.read_text("utf-8"), flags=re.MULTILINE)
        for command in re.findall(r"`hannun ([^`]+)`|^hannun (.*)$", text, flags=re.MULTILINE):
            first = re.sub(r" \| \S+|\[.*?\](?:\.\.\.)?|\.\.\.|[|>].*", "", "".join(command))
            yield path.name, first.strip()


def with_home_changes(command: str) -> bool:
    """Whether a command takes `--home`, and a printed one names it."""
    return re.match(rf"hannun ({'|'.join(terminal.COMMANDS_WITH_HOME)})\b", command) is not None


def parse(words: list[str]) -> None:
    """Parse a command without running it.

    Raises:
        UsageError: the command line does not understand it.
    """
    command: Command = typer.main.get_command(app)
    context = command.make_context("hannun", list(words))
    while isinstance(command, TyperGroup) and (rest := [*context._protected_args, *context.args]):
        name, found, rest = command.resolve_command(context, rest)
        assert found is not None
        command, context = found, found.make_context(name, rest, parent=context)


def names_real_options(words: list[str]) -> None:
    """Check that the command exists and has the options that are named; the text need not name all of its arguments.

    Raises:
        UsageError: it does not, or has not.
    """
    command: Command = typer.main.get_command(app)
    while words and isinstance(command, TyperGroup) and not words[0].startswith("-"):
        found = command.get_command(Context(command), words[0])
        if found is None:
            raise UsageError(f"there is no command {words[0]}")
        command, words = found, words[1:]
    options = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    unknown = [word for word in words if word.startswith("--") and word not in options]
    if unknown:
        raise UsageError(f"there is no option {unknown[0]}")


@pytest.fixture(autouse=True)
def any_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "command_environment", lambda home: {})


def test_every_command_that_the_code_names_can_be_pasted() -> None:
    commands = list(commands_in_code())
    assert len(commands) > 30
    for module, command in commands:
        try:
            parse(command.split())
        except NoArgsIsHelpError:
            pytest.fail(f"{module}: hannun {command} only prints its help")
        except UsageError as error:
            pytest.fail(f"{module}: hannun {command}: {error.message}")


HOME_COMMANDS = [f"hannun {command}" for _, command in commands_in_code() if with_home_changes(f"hannun {command}")]
FOLDER_NAMES = st.text(st.characters(exclude_categories=["Cc", "Cs", "Co", "Zl", "Zp"]), min_size=1, max_size=90)


@settings(derandomize=True, deadline=None, max_examples=300, database=None)
@given(
    st.sampled_from(HOME_COMMANDS),
    st.lists(FOLDER_NAMES, min_size=1, max_size=3).map("/".join),
    st.integers(20, 200),
    st.integers(0, 60),
    st.sampled_from(["to read on: {}", "look at them; `{}` adds what is missing; or leave it", "{}"]),
)
def test_a_printed_command_can_be_pasted_as_one_line(
    command: str, folder: str, width: int, words_before: int, sentence: str
) -> None:
    """At any width of the terminal and for any home. A command that is wider than a line stands alone on one."""
    home = f"/{folder}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(terminal, "_used_homes", [Path(home)])
        printed = terminal.with_home(command)
    given, _, rest = command.partition(" ")[2].partition(" ")
    assert shlex.split(printed) == ["hannun", given, "--home", str(Path(home)), *shlex.split(rest)]
    console = Console(width=width, file=StringIO(), force_terminal=True, color_system=None, soft_wrap=True, emoji=False)
    before = "x " * words_before if sentence != "{}" else ""
    terminal.print_folded(before + sentence.format(printed), console=console)
    lines = console.file.getvalue().split("\n")  # type: ignore[attr-defined]
    if cell_len(printed) + 2 <= width:
        assert any(printed in line for line in lines), lines
    else:
        assert printed in [line.strip(" ") for line in lines], lines
    if sentence == "{}":
        return
    text = " ".join(" ".join(lines).split())
    for word in sentence.replace("`", "").split("{}")[0].split():
        assert word in text, "nothing else is lost"


@pytest.mark.parametrize("group", ["channels", "dead-letters", "keys", "partitions", "positions", "replay"])
def test_home_is_understood_before_and_behind_each_command_of_a_group(
    monkeypatch: pytest.MonkeyPatch, group: str
) -> None:
    commands = typer.main.get_command(app).commands[group].commands  # type: ignore[attr-defined]
    assert commands
    for name, command in commands.items():
        required = [each for each in command.params if each.required]
        needed = [ANY_VALUE for each in required if each.param_type_name == "argument"]
        options = [word for each in required if each.param_type_name == "option" for word in (each.opts[0], ANY_VALUE)]
        for words in ([group, "--home", "h", name, *needed], [group, name, *needed, "--home", "h"]):
            used: list[Path] = []
            monkeypatch.setattr(terminal, "_used_homes", used)
            parse([*words, *options])
            assert used == [Path("h")], words


def test_the_commands_with_home_are_exactly_those_whose_printed_commands_name_it() -> None:
    """`token`, `simulate` and the sandbox have a home too, and no text names them."""
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    taking = {name for name, command in commands.items() if any("--home" in each.opts for each in command.params)}
    assert taking - {"sandbox", "simulate", "token", "up"} == set(terminal.COMMANDS_WITH_HOME)


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("positions --home h list", "this `hannun up` runs without Kafka: stop it, and start it again with --kafka"),
        ("keys --home h list", "`hannun keys --home h new FILE` makes a key ring; start `hannun up` again with it"),
        ("migrate --home h --plan", "stop this `hannun up`, and start it again"),
    ],
)
def test_a_hint_never_says_to_give_a_home_that_was_given(
    words: str, hint: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for variable in ("DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS", "HANNUN_KEY_RING_FILE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(endpoints, "command_environment", lambda home: {"REDIS_DATABASE": "0"})
    monkeypatch.setattr(terminal, "_used_homes", [])
    monkeypatch.setattr(terminal, "_home_variables", set())
    monkeypatch.setenv("COLUMNS", "300")
    needed = {"positions": "kafka_bootstrap_servers", "keys": "key_ring_file", "migrate": "database_url"}
    parse(words.split())
    with pytest.raises(SettingMissing) as refused:
        hannun_settings.read().needed(needed[words.split()[0]])  # type: ignore[arg-type]
    terminal.print_error(refused.value)
    assert f"Hint: {hint}" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("command", ["dead-letters list", "audit list"])
def test_the_length_of_a_list_is_bounded(command: str) -> None:
    for limit in ("0", "-1", str(terminal.LISTED_MAX + 1)):
        with pytest.raises(UsageError):
            parse([*command.split(), "--limit", limit])
    parse([*command.split(), "--limit", str(terminal.LISTED_MAX)])


def test_every_command_that_the_docs_name_exists_with_its_options() -> None:
    commands = list(commands_in_docs())
    assert len(commands) > 25
    for page, command in commands:
        try:
            names_real_options(command.split())
        except UsageError as error:
            pytest.fail(f"{page}: hannun {command}: {error.message}")


def test_a_command_that_does_not_exist_is_found() -> None:
    for wrong in ("positions set --to earliest", "give-back", "positions set t --to 1 --partition x"):
        with pytest.raises(UsageError):
            parse(wrong.split())
    assert COMMAND.findall("to give it up: hannun positions forget t") == ["positions forget t"]


FLOATS = {
    "token --hours": "token u1 --hours",
    "simulate --pace": "simulate --pace",
    "migrate --lock-wait": "migrate --lock-wait",
    "migrate --give-up-after": "migrate --give-up-after",
    "privacy audit --minutes": "privacy audit --minutes",
    "sandbox tell --share": "sandbox tell Instagram hang --share",
    "sandbox tell --seconds": "sandbox tell Instagram hang --seconds",
}
"""For each option that is a float the command without its value."""


@pytest.mark.parametrize("number", ["0", "-1", "nan", "inf", "1e300"])
@pytest.mark.parametrize("command", FLOATS.values())
def test_a_number_that_makes_no_sense_is_refused_with_its_bounds(command: str, number: str) -> None:
    refused = CliRunner().invoke(app, [*command.split(), number])
    assert isinstance(refused.exception, OperatorError)
    assert refused.exception.hint.startswith(f"{command.split()[-1]} is more than 0 and at most ")


def test_every_option_that_is_a_number_has_bounds() -> None:
    for words in help_pages(typer.main.get_command(app)):
        if words[:1] == ("sandbox",):  # sandbox.channels.behaviours checks what it is told
            continue
        for parameter in command_of(words).params:
            name = " ".join([*words, parameter.opts[0]])
            of_type = parameter.type_descriptor.annotation
            assert of_type is not int or parameter.min is not None, f"{name} has no min"
            assert of_type is not float or name in FLOATS, f"{name} is not tested"


def command_of(words: tuple[str, ...]) -> Command:
    command: Command = typer.main.get_command(app)
    for word in words:
        assert isinstance(command, TyperGroup)
        command = command.commands[word]
    return command


def test_the_version_is_printed() -> None:
    shown = CliRunner().invoke(app, ["--version"])
    assert (shown.exit_code, shown.output) == (0, f"hannun {version('hannun')}\n")


@pytest.mark.parametrize("value", ["nan", "inf", "-1"])
def test_a_setting_that_is_a_number_is_finite_and_not_below_0(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    for name, field in hannun_settings.Settings.model_fields.items():
        if field.annotation is float:
            with monkeypatch.context() as patch:
                patch.setenv(f"HANNUN_{name.upper()}", value)
                with pytest.raises(OperatorError, match=f"HANNUN_{name.upper()}"):
                    hannun_settings.read()


@pytest.mark.parametrize("extra", ["embedded", "parquet"])
def test_what_to_install_can_be_typed_in_a_clone_and_in_an_environment(extra: str) -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert extra in extras
    hint = install_hint(extra)
    assert "in a clone: make env" in hint and f"pip install 'hannun[{extra}]'" in hint
    assert "://" not in hint


def test_the_targets_of_make_fit_a_terminal_of_80_columns() -> None:
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "make demo" in shown
    assert [line for line in shown.splitlines() if len(line) > 80] == []


def help_pages(command: Command, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words before `--help` of every command and group."""
    yield words
    if isinstance(command, TyperGroup):
        for name, one in command.commands.items():
            yield from help_pages(one, (*words, name))


def test_every_help_page_fits_a_terminal_of_80_columns_and_cuts_nothing() -> None:
    pages = list(help_pages(typer.main.get_command(app)))
    assert len(pages) > 20
    for words in pages:
        shown = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "80", "TERMINAL_WIDTH": "80"}).output
        assert "Usage: " in shown
        assert "\N{HORIZONTAL ELLIPSIS}" not in shown, words
        assert [line for line in shown.splitlines() if len(line) > 80] == [], words


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ("", "whom to forget is not said"),
        ("--merchant a --participant b", "--merchant and --participant are both given"),
    ],
)
def test_forgetting_needs_exactly_one_person(options: str, why: str) -> None:
    refused = CliRunner().invoke(app, ["privacy", "forget", "--reason", "request 1", *options.split()])
    assert isinstance(refused.exception, OperatorError)
    assert refused.exception.args[0] == why
    assert refused.exception.hint.startswith("give one of the two")


@pytest.mark.parametrize(
    ("count", "expected"), [(0, "0 entries"), (1, "1 entry"), (2, "2 entries"), (1_200, "1,200 entries")]
)
def test_a_number_agrees_with_its_noun(count: int, expected: str) -> None:
    assert terminal.with_noun(count, "entry", "entries") == expected
