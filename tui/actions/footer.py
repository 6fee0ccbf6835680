"""The footer: the most important keys of the focused widget."""

from __future__ import annotations

from rich.cells import cell_len
from textual import events
from textual.content import Content
from textual.widget import Widget

from tui.actions.bindings import DEFAULT_KEYMAP, Keymap
from tui.actions.registry import ACTIONS, Action, Scope

GAP = 2


class KeyBar(Widget):
    """Shows as many keys as fit on one line; each can be clicked. One widget, not one per key."""

    DEFAULT_CSS = """
    KeyBar {
        height: 1;
        background: $background;
        color: $muted;
    }
    """

    def __init__(self, *, scope: Scope | None = None, id: str | None = None) -> None:
        """`scope` shows only its keys, wherever the focus is."""
        super().__init__(id=id)
        self._keymap = DEFAULT_KEYMAP
        self._only = scope
        self._scope = scope or Scope.APP

    def on_mount(self) -> None:
        """Follow the focus: `KEY_SCOPE` of a widget names the scope of its keys."""
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
        """Column and action of each key that fits; help and quit are dropped last."""
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
        """Render the line at the current width."""
        pieces: list[Content | str] = [" "]
        for _, action in self._fitting():
            pieces += [Content.styled(self._keymap.shown(action.id), "bold $key"), f" {action.label}", " " * GAP]
        return Content.assemble(*pieces)

    def on_click(self, event: events.Click) -> None:
        """Run the action whose key was clicked."""
        for column, action in self._fitting():
            if column <= event.x < column + self._width(action):
                self.run_worker(self.app.run_action(f"do('{action.id}')"), group="action")
