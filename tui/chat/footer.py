"""The keys that matter most where one is, along the bottom."""

from __future__ import annotations

from rich.cells import cell_len
from textual import events
from textual.content import Content
from textual.widget import Widget

from tui.actions.bindings import DEFAULT_KEYMAP, Keymap
from tui.actions.registry import ACTIONS, Action, Scope
from tui.chat.messages import ActionRequested

GAP = 2


class KeyBar(Widget):
    """Shows as many keys as there is room for; each can be clicked. One widget and one line, not a widget per key."""

    DEFAULT_CSS = """
    KeyBar {
        height: 1;
        background: $background;
        color: $muted;
    }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._keymap = DEFAULT_KEYMAP
        self._scope = Scope.APP

    def on_mount(self) -> None:
        """Follow the focus: a widget with keys of its own says so with `KEY_SCOPE`."""
        self.watch(self.screen, "focused", self._focus_moved, init=False)

    def _focus_moved(self, focused: Widget | None) -> None:
        scope = getattr(focused, "KEY_SCOPE", Scope.APP)
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
        while wanted and sum(self._width(action) + GAP for action in wanted) > self.size.width:
            wanted.remove(next((action for action in reversed(wanted) if not action.fixed), wanted[0]))
        placed, column = [], 1
        for action in wanted:
            placed.append((column, action))
            column += self._width(action) + GAP
        return placed

    def _belongs(self, action: Action) -> bool:
        return action.scope is self._scope or (action.scope is Scope.APP and action.fixed)

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
                elif (focused := self.screen.focused) is not None:
                    self.run_worker(focused.run_action(action.id), group="action")
