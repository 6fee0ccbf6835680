"""Keys come from one registry, and the config can change them without losing the way out."""

from __future__ import annotations

from importlib import import_module
from pkgutil import walk_packages

import pytest
from textual.binding import BindingsMap

import tui
from tui.actions.bindings import DEFAULT_KEYMAP, bindings_for, resolve
from tui.actions.registry import ACTIONS, Action, Scope
from tui.chat.layout import welcome
from tui.models.settings import SettingsScreen


def test_without_changes_the_defaults_are_in_force_and_nothing_clashes() -> None:
    keymap = resolve({})
    assert keymap == DEFAULT_KEYMAP
    assert keymap.overrides() == {}
    for scope in Scope:
        keys = [key for action in ACTIONS if action.scope is scope for key in action.keys]
        assert len(keys) == len(set(keys))


def test_an_action_can_be_put_on_other_keys() -> None:
    keymap = resolve({"regenerate": "alt+9", "newline": ["alt+enter", "ctrl+j"]})
    assert keymap.keys["regenerate"] == ("alt+9",)
    assert keymap.keys["newline"] == ("alt+enter", "ctrl+j")
    assert keymap.overrides() == {"regenerate": "alt+9", "newline": "alt+enter,ctrl+j"}
    assert keymap.problems == ()
    assert keymap.shown("regenerate") == "Alt+9"


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.id)
def test_every_action_can_be_put_on_a_key_while_all_others_lose_theirs(action: Action) -> None:
    keymap = resolve({each.id: "" for each in ACTIONS if not each.fixed} | {action.id: "f24"})
    assert keymap.problems == ()
    bindings = BindingsMap([*bindings_for(action.scope)])
    bindings.apply_keymap(keymap.overrides())
    assert {binding.id for binding in bindings.key_to_bindings["f24"]} == {action.id}


def test_every_action_is_bound_by_a_widget() -> None:
    modules = [import_module(found.name) for found in walk_packages(tui.__path__, "tui.")]
    classes = {value for module in modules for value in vars(module).values() if isinstance(value, type)}
    bound = {getattr(binding, "id", None) for each in classes for binding in vars(each).get("BINDINGS", ())}
    assert {action.id for action in ACTIONS} - bound == {"send", "take_welcome", "toggle_pane"}, "these read their keys from the keymap"


def test_a_clash_is_reported_and_the_newer_wish_wins() -> None:
    keymap = resolve({"regenerate": "ctrl+n"})
    assert keymap.keys["regenerate"] == ("ctrl+n",)
    assert keymap.keys["new_session"] == ()
    assert "New has no key left" in keymap.problems[0]


def test_quit_and_help_are_never_lost() -> None:
    keymap = resolve({"quit": "", "help": [], "regenerate": "f1"})
    assert keymap.keys["quit"] == DEFAULT_KEYMAP.keys["quit"]
    assert keymap.keys["help"] == ("f1",)
    assert keymap.keys["regenerate"] == ()
    assert len(keymap.problems) == 3


def test_a_key_taken_from_an_action_with_two_leaves_it_the_other() -> None:
    keymap = resolve({"regenerate": "f10"})
    assert keymap.keys["quit"] == ("ctrl+q",)


def test_nonsense_is_reported_and_leaves_the_default() -> None:
    keymap = resolve({"fly": "f9", "regenerate": "ctrl+banana+x", "copy_message": "hyperspace key"})
    assert keymap.keys["regenerate"] == DEFAULT_KEYMAP.keys["regenerate"]
    assert len(keymap.problems) == 3
    assert "'fly'" in keymap.problems[0]


def test_keys_that_tmux_screen_or_terminals_swallow_are_taken_with_a_warning() -> None:
    keymap = resolve({"regenerate": "ctrl+b"})
    assert keymap.keys["regenerate"] == ("ctrl+b",)
    assert "tmux" in keymap.problems[0]


def test_the_same_key_may_do_different_things_where_they_never_meet() -> None:
    assert resolve({"pause_panel": "left"}).problems == ()


def test_actions_that_work_anywhere_come_before_the_focused_widget() -> None:
    bindings = list(bindings_for(Scope.APP))
    assert all(binding.priority for binding in bindings)
    assert not any(binding.priority for binding in bindings_for(Scope.TRANSCRIPT))


def test_keys_of_every_view_can_be_changed() -> None:
    keymap = resolve({"flame_search": "f", "chart_left": ["h", "left"]})
    assert keymap.problems == ()
    assert keymap.overrides() == {"flame_search": "f", "chart_left": "h,left"}
    assert "Search has no key left" in resolve({"flame_thread": "slash"}).problems[0]


def test_a_key_of_the_program_is_taken_from_every_view() -> None:
    assert "Pin has no key left" in " ".join(resolve({"theme": "alt+i"}).problems)


def test_actions_without_a_key_are_named_by_their_command_or_their_name_in_the_palette() -> None:
    keymap = resolve({"models": "", "pause_panel": ""})
    assert keymap.hint("Pick one.", "models") == "Pick one: /model."
    assert keymap.reach("pause_panel") == "“Measure: pause” in the palette"


def test_texts_name_the_keys_in_force() -> None:
    assert resolve({"send": "ctrl+s"}).fill("{send} sends") == "Ctrl+S sends"
    assert resolve({"models": ""}).fill("{models} shows it") == "/model shows it"


def test_the_help_of_every_widget_names_actions_that_exist() -> None:
    modules = [import_module(found.name) for found in walk_packages(tui.__path__, "tui.")]
    texts = {value.HELP for module in modules for value in vars(module).values() if isinstance(getattr(value, "HELP", None), str)}
    assert len(texts) > 15
    for text in texts:
        assert "{" not in DEFAULT_KEYMAP.fill(text)


def test_what_an_empty_conversation_and_dialogs_say_follows_the_keys() -> None:
    keymap = resolve({"send": "f5", "close": "f6", "accept": "f10"})
    assert welcome(keymap)[0] == "Write a message and press F5."
    help_text = keymap.fill(SettingsScreen.HELP)
    assert "F10 applies the value, F6 discards it" in help_text
    assert "Enter" not in help_text
