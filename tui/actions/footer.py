"""The keys that matter most where one is, along the bottom."""

from __future__ import annotations

from dataclasses import dataclass

from rich.cells import cell_len
from textual import events
from textual.content import Content
from textual.message import Message
from textual.widget import Widget

from tui.actions.bindings import DEFAULT_KEYMAP, Keymap
from tui.actions.registry import ACTIONS, Action, Scope

GAP = 2


@dataclass
class ActionRequested(Message):
    """The user clicked an action that works anywhere."""

    action_id: str


class KeyBar(Widget):
    """Shows as many keys as there is room for; each can be clicked. One widget and one line, not a widget per key."""

    DEFAULT_CSS = """
    KeyBar {
        height: 1;
        background: $background;
        color: $muted;
    }
    """

    def __init__(self, *, scope: Scope | None = None, id: str | None = None) -> None:
        """With `scope`, only its keys are shown, wherever the focus is."""
        super().__init__(id=id)
        self._keymap = DEFAULT_KEYMAP
        self._only = scope
        self._scope = scope or Scope.APP

    def on_mount(self) -> None:
        """Follow the focus: a widget with keys of its own says so with `KEY_SCOPE`."""
        self._keymap = getattr(self.app, "keymap", self._keymap)
        self.watch(self.screen, "focused", self._focus_moved, init=False)

    def show_scope(self, scope: Scope) -> None:
        """Show the keys of this scope only."""
        self._only = self._scope = scope
        self.refresh()

    def _focus_moved(self, focused: Widget | None) -> None:
        scope = self._only or getattr(focused, "KEY_SCOPE", None) or Scope.APP
        if scope is not self._scope:
            self._scope = scope
            self.refresh()

    def use(self, keymap: Keymap) -> None:
        """Show the keys of this keymap."""
        self._keymap = keymap
        self.refresh()

    def _fitting(self) -> list[tuple[int, Action]]:
        """Column and action of each key that fits; help and quit are the last to go."""
        wanted = [action for action in ACTIONS if action.footer and self._belongs(action) and self._keymap.shown(action.id)]
        while wanted and 1 + sum(self._width(action) + GAP for action in wanted) - GAP > self.size.width:
            wanted.remove(next((action for action in reversed(wanted) if not action.fixed), wanted[0]))
        placed, column = [], 1
        for action in wanted:
            placed.append((column, action))
            column += self._width(action) + GAP
        return placed

    def _belongs(self, action: Action) -> bool:
        return action.scope is self._scope or (self._only is None and action.scope is Scope.APP and action.fixed)

    def _width(self, action: Action) -> int:
        return cell_len(f"{self._keymap.shown(action.id)} {action.label}")

    def render(self) -> Content:
        """The line at its present width."""
        pieces: list[Content | str] = [" "]
        for _, action in self._fitting():
            pieces += [Content.styled(self._keymap.shown(action.id), "bold $key"), f" {action.label}", " " * GAP]
        return Content.assemble(*pieces)

    def on_click(self, event: events.Click) -> None:
        """A click on a key does what the key does."""
        for column, action in self._fitting():
            if column <= event.x < column + self._width(action):
                if action.scope is Scope.APP:
                    self.post_message(ActionRequested(action.id))
                else:
                    self._run(action.call or action.id)

    def _run(self, call: str) -> None:
        """Have the focused widget, or the nearest one around it that can, do an action."""
        nodes = (self.screen.focused or self.screen).ancestors_with_self
        able = (node for node in nodes if isinstance(node, Widget) and hasattr(node, f"action_{call.partition('(')[0]}"))
        if (node := next(able, None)) is not None:
            self.run_worker(node.run_action(call), group="action")
