"""Help: a text for the focused widget, then all keys and commands from the registry."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from textwrap import wrap

from textual.app import ComposeResult
from textual.content import Content
from textual.dom import DOMNode
from textual.widgets import Markdown, Static

from engine.text import drawable
from tui.actions.bindings import Keymap
from tui.actions.registry import ACTIONS, Action, Group, Scope, display_key
from tui.dialogs.page import Page

KEY_CELLS = 26


def help_for(node: DOMNode | None) -> str:
    """Return the help of a widget, or of its nearest ancestor that has one."""
    while node is not None:
        text = getattr(node, "HELP", None)
        if isinstance(text, str) and text.strip():
            return text
        node = node.parent
    return ""


def _entry(key: str, sentence: str, aside: str, width: int) -> Content:
    """Format a key with its description, wrapped with a hanging indent."""
    words = wrap(f"{sentence}  {aside}".rstrip(), max(20, width - KEY_CELLS)) or [""]
    lines = [Content.styled(f"{key:<{KEY_CELLS - 1}} ", "$key") + Content(words[0])]
    if len(key) >= KEY_CELLS:
        lines = [Content.styled(key, "$key"), Content(" " * KEY_CELLS + words[0])]
    return Content("\n").join([*lines, *(Content(" " * KEY_CELLS + line) for line in words[1:])])


def _listed(action: Action, keymap: Keymap) -> bool:
    """Return whether an action is listed in its group: it has a key, or a command that works without an argument."""
    return bool(keymap.keys[action.id] or (action.slash and not action.needs_argument))


def key_lines(keymap: Keymap, width: int, groups: Collection[Group] = tuple(Group)) -> Iterable[Content]:
    """Keys and commands of these groups, wrapped to `width` cells; actions with neither are left out."""
    for group in groups:
        actions = [action for action in ACTIONS if action.group is group and _listed(action, keymap)]
        if not actions:
            continue
        yield Content("")
        yield Content.styled(group.value, "bold $heading")
        for action in actions:
            keys = " or ".join(display_key(key) for key in keymap.keys[action.id])
            where = "" if action.scope is Scope.APP else f", {action.scope.value}"
            yield _entry(keys, f"{action.sentence}{where}", f"/{action.slash[0]}" if action.slash else "", width)
    with_argument = [action for action in ACTIONS if action.argument and action.group in groups]
    if with_argument:
        yield Content("")
        yield Content.styled("Commands with an argument", "bold $heading")
        for action in with_argument:
            yield _entry(f"/{action.slash[0]} {action.argument}", action.with_argument or action.sentence, "", width)


class HelpScreen(Page):
    """Shows a help text, then keys and commands."""

    DEFAULT_CSS = """
    HelpScreen {
        Markdown { padding: 0; margin: 0; background: $surface; }
        MarkdownH2 { margin: 1 0 0 0; color: $heading; text-style: bold; }
        Static { margin-bottom: 1; }
    }
    """

    def __init__(self, about: str, *, plain: str = "", groups: Collection[Group] = tuple(Group)) -> None:
        """`about`: Markdown with `{action}` for keys; `plain` follows verbatim; then the keys of `groups`."""
        super().__init__("Help")
        self._about, self._plain, self._groups = about, plain, groups

    def compose_page(self) -> ComposeResult:
        """Lay out both texts and the list of keys."""
        if self._about:
            yield Markdown(self.keymap.fill(self._about), open_links=False)
        if self._plain:
            yield Static(Content(drawable(self._plain)))
        yield Static(id="key-list")

    def on_resize(self) -> None:
        """Wrap the keys to the width of the page."""
        lines = key_lines(self.keymap, self.page_width, self._groups)
        self.query_one("#key-list", Static).update(Content("\n").join(lines))
