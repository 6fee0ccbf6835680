"""Commands typed into the prompt."""

from __future__ import annotations

import pytest

from tui.actions.registry import ACTIONS, BY_SLASH
from tui.actions.slash import Do, Say, Unknown, commands, parse


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("Hello", Say("Hello")),
        ("//etc/hosts is a file", Say("/etc/hosts is a file")),
        ("/usr/bin/python is a path", Say("/usr/bin/python is a path")),
        ("/", Say("/")),
        ("/new", Do("new_session")),
        ("/CLEAR ", Do("new_session")),
        ("/?", Do("help")),
        ("/model", Do("models")),
        ("/model ~/my model.gguf", Do("models", "~/my model.gguf")),
        ("/load ~/my model.gguf", Do("models", "~/my model.gguf")),
        ("/presets quiet", Do("presets", "quiet")),
        ("/theme light", Do("theme", "light")),
        ("/theme", Do("theme")),
        ("/set temperature 0.2", Do("change_setting", "temperature 0.2")),
        ("/system", Do("system_prompt")),
        ("/read notes.txt\n", Do("read_file", "notes.txt")),
    ],
)
def test_what_a_person_means(text: str, meant: Say | Do) -> None:
    assert parse(text) == meant


def test_an_unknown_command_names_its_nearest_and_is_not_sent() -> None:
    meant = parse("/regenrate please")
    assert isinstance(meant, Unknown)
    assert "/regen" in meant.hint("F1")
    assert meant.hint("F1").endswith("F1 lists all commands; begin with // to send a slash.")


@pytest.mark.parametrize("name", [f"{name}x" for name in BY_SLASH if name != "?"])
def test_the_nearest_commands_are_of_different_actions(name: str) -> None:
    meant = parse(f"/{name}")
    if isinstance(meant, Unknown):
        actions = [BY_SLASH[near].id for near in meant.nearest]
        assert len(set(actions)) == len(actions)


def test_every_slash_command_of_the_registry_is_understood() -> None:
    for name, action in BY_SLASH.items():
        assert parse(f"/{name} a word") == Do(action.id, "a word")


def test_commands_that_match_what_is_typed_so_far_are_offered_with_their_arguments() -> None:
    assert [usage for _, usage, _ in commands("/th")] == ["/thinking", "/threads [N|auto]", "/theme [NAME]"]
    assert commands("/theme light") == []
    assert commands("/set")[0][1] == "/set [KEY VALUE]"


def test_every_command_is_in_the_list_behind_the_slash() -> None:
    listed = {name for name, _, _ in commands("/")}
    assert listed == {action.slash[0] for action in ACTIONS if action.slash}
    for name in BY_SLASH:
        assert commands(f"/{name}")[0][0] == name
