"""What the documents say about the program is so: their commands parse, their keys and files exist, their tables are made from it."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from engine.errors import UsageError
from tests.documents import PARTS, documents, made
from tui.actions.registry import ACTIONS, BY_SLASH, display_key
from tui.cli.main import COMMANDS, parse

DOCUMENTS = [path for path in documents() if path.name != "figures.md"]
KEY = re.compile(r"`((?:F\d+|(?:Ctrl|Alt|Shift)\+[^`\s]+))`")
OF_OTHERS = {"Shift+F1"}


def texts() -> list[tuple[Path, str]]:
    return [(path, path.read_text("utf-8")) for path in DOCUMENTS]


def test_the_tables_are_made_from_the_program() -> None:
    for path, text in texts():
        assert made(text) == text, f"python -m tests.documents writes {path.name}"
    everything = "".join(text for _, text in texts())
    assert {name for name in PARTS if f"<!-- made: {name} -->" in everything} == set(PARTS)


def commands_in(text: str) -> list[str]:
    """The command lines that are shown, without what a shell does to their output."""
    lines = [line.strip() for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    lines += [" ".join(span.split()) for span in re.findall(r"`(xchat [^`]+)`", text)]
    return [line for line in lines if re.match(r"xchat( |$)", line)]


def refused(words: list[str]) -> str:
    """What the command line says against the words; nothing when it takes them."""
    try:
        parse(words)
    except UsageError as error:
        return str(error)
    except SystemExit:
        return ""  # --help
    return ""


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_command_in_a_document_is_one(path: Path) -> None:
    for line in commands_in(path.read_text("utf-8")):
        words = shlex.split(re.split(r" (?:[|>]|\|\|) |\s{2,}", line)[0], comments=True)[1:]
        if words and words[0] in COMMANDS and not set(words) & {"…", "NAME", "ID", "FILE"}:
            refusal = refused(words)
            # A command may be named without what it takes.
            assert not refusal or "required" in refusal, f"{line}: {refusal}"


def test_every_command_is_documented() -> None:
    text = Path(documents()[0].parent / "docs/commands.md").read_text("utf-8")
    assert [command for command in COMMANDS if f"`xchat {command}`" not in text] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_key_in_a_document_does_something(path: Path) -> None:
    known = {display_key(key) for action in ACTIONS for key in action.keys} | OF_OTHERS
    assert [key for key in KEY.findall(path.read_text("utf-8")) if key not in known] == []


def test_the_keys_of_the_readme_do_what_it_says() -> None:
    said = {
        "F1": "help",
        "F3": "models",
        "F4": "presets",
        "F5": "previous_quant",
        "F6": "next_quant",
        "F7": "fewer_threads",
        "F8": "more_threads",
        "F9": "capture",
        "Ctrl+G": "toggle_panel",
        "?": "explain",
    }
    keys = {action.id: [display_key(key) for key in action.keys] for action in ACTIONS}
    assert [key for key, action in said.items() if key not in keys[action]] == []
    assert set(KEY.findall(documents()[0].read_text("utf-8"))) <= said.keys(), "say here what a new one does"


@pytest.mark.parametrize("path", [path for path in DOCUMENTS if path.name not in {"serve.md", "service.md"}], ids=lambda path: path.name)
def test_every_slash_command_in_a_document_exists(path: Path) -> None:
    named = re.findall(r"`/([a-z][a-z-]*)(?: [^`]*)?`", path.read_text("utf-8"))
    assert [name for name in named if name not in BY_SLASH] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_that_a_document_shows_or_links_to_is_there(path: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text("utf-8"))
    assert [link for link in links if "://" not in link and not (path.parent / link).exists()] == []


def test_the_cast_takes_about_twenty_seconds_in_asciinema_s_format() -> None:
    lines = (documents()[0].parent / "docs/xchat.cast").read_text("utf-8").splitlines()
    head = json.loads(lines[0])
    assert head["version"] == 2
    events = [json.loads(line) for line in lines[1:]]
    assert all(kind == "o" for _, kind, _ in events)
    assert 10 <= events[-1][0] <= 25
    assert "tokens/s" in "".join(text for _, _, text in events)
