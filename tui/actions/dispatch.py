"""Finds the widget that runs an action: the focused one, or its nearest ancestor that binds the action."""

from __future__ import annotations

from typing import Any

from textual.screen import Screen
from textual.widget import Widget

from tui.actions.registry import ACTIONS, Action, Scope


def widget_for(screen: Screen[Any], action: Action) -> Widget | None:
    """Return the widget or screen that runs `action` itself; None where no ancestor of the focus does.

    An action that works anywhere is the program's or the chat's, unless a view has its own: Textual's methods of the same name, such as
    `action_page_up`, mean something else.
    """
    name = f"action_{action.method.partition('(')[0]}"
    around = (node for node in (screen.focused or screen).ancestors_with_self if isinstance(node, Widget))
    return next((node for node in around if _runs(node, name, anywhere=action.scope is Scope.APP) and _binds(node, action)), None)


def _runs(node: Widget, name: str, *, anywhere: bool) -> bool:
    method = getattr(type(node), name, None)
    return method is not None and not (anywhere and method.__module__.startswith("textual."))


def _binds(node: Widget, action: Action) -> bool:
    bindings = (binding for base in type(node).__mro__ for binding in vars(base).get("BINDINGS", ()))
    return any(getattr(binding, "id", None) == action.id for binding in bindings)


def actions_here(screen: Screen[Any]) -> list[Action]:
    """Return the actions that work anywhere, and those of the focused widget and its ancestors, in the order of the help."""
    return [action for action in ACTIONS if action.scope is Scope.APP or widget_for(screen, action) is not None]
