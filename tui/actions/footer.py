"""The footer: the currently most useful keys."""

from __future__ import annotations

from rich.cells import cell_len
from textual import events
from textual.content import Content
from textual.widget import Widget

from tui.actions.bindings import DEFAULT_KEYMAP, Keymap
from tui.actions.hints import HINTS, KEPT, LABELS, Situation
from tui.actions.registry import ACTIONS, BY_ID, Action, Scope

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
        """`scope`: shows its keys; without one, those of the situation."""
        super().__init__(id=id)
        self._keymap = DEFAULT_KEYMAP
        self._scope = scope
        self._situation = Situation.EMPTY

    def on_mount(self) -> None:
        """Use the keymap of the app."""
        self._keymap = getattr(self.app, "keymap", self._keymap)

    def show_scope(self, scope: Scope) -> None:
        """Show the keys of this scope only."""
        self._scope = scope
        self.refresh()

    def show_situation(self, situation: Situation) -> None:
        """Show the keys that are useful now."""
        if situation is not self._situation:
            self._situation = situation
            self.refresh()

    def use(self, keymap: Keymap) -> None:
        """Show the keys of this keymap."""
        self._keymap = keymap
        self.refresh()

    def _fitting(self) -> list[tuple[int, Action]]:
        """Return column and action of each key that fits; help and quit are dropped last."""
        of_scope = [action.id for action in ACTIONS if action.footer and action.scope is self._scope]
        ids = HINTS[self._situation] if self._scope is None else of_scope
        wanted = [BY_ID[name] for name in ids if self._keymap.shown(name)]
        while wanted and 1 + sum(self._width(action) + GAP for action in wanted) - GAP > self.size.width:
            wanted.remove(next((action for action in reversed(wanted) if action.id not in KEPT and not action.fixed), wanted[0]))
        placed, column = [], 1
        for action in sorted(wanted, key=lambda action: action.id in KEPT):
            placed.append((column, action))
            column += self._width(action) + GAP
        return placed

    def _label(self, action: Action) -> str:
        return LABELS.get((self._situation, action.id), action.label) if self._scope is None else action.label

    def _width(self, action: Action) -> int:
        return cell_len(f"{self._keymap.shown(action.id)} {self._label(action)}")

    def render(self) -> Content:
        """Render the line at the current width."""
        pieces: list[Content | str] = [" "]
        for _, action in self._fitting():
            pieces += [Content.styled(self._keymap.shown(action.id), "bold $key"), f" {self._label(action)}", " " * GAP]
        return Content.assemble(*pieces)

    def on_click(self, event: events.Click) -> None:
        """Run the action whose key was clicked."""
        for column, action in self._fitting():
            if column <= event.x < column + self._width(action):
                self.run_worker(self.app.run_action(f"do('{action.id}')"), group="action")
