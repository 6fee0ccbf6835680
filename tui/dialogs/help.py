"""Help: first for where one is, then all keys and commands, made from the registry."""

from __future__ import annotations

from collections.abc import Iterable
from textwrap import wrap
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.dom import DOMNode
from textual.screen import ModalScreen
from textual.widgets import Markdown, Static

from tui.actions.bindings import Keymap, bindings_for
from tui.actions.registry import ACTIONS, Action, Group, Scope, display_key

KEY_CELLS = 26


def help_for(node: DOMNode | None) -> str:
    """The help of a widget, or of the nearest thing around it that has one."""
    while node is not None:
        text = getattr(node, "HELP", None)
        if isinstance(text, str) and text.strip():
            return text
        node = node.parent
    return ""


def _entry(key: str, sentence: str, aside: str, width: int) -> Content:
    """A key and what it does, wrapped with a hanging indent."""
    words = wrap(f"{sentence}  {aside}".rstrip(), max(20, width - KEY_CELLS)) or [""]
    lines = [Content.styled(f"{key:<{KEY_CELLS - 1}} ", "$key") + Content(words[0])]
    if len(key) >= KEY_CELLS:
        lines = [Content.styled(key, "$key"), Content(" " * KEY_CELLS + words[0])]
    return Content("\n").join([*lines, *(Content(" " * KEY_CELLS + line) for line in words[1:])])


def _listed(action: Action, keymap: Keymap) -> bool:
    """Whether an action stands in its group: it has a key, or a command that works without an argument."""
    return bool(keymap.keys[action.id] or (action.slash and not action.needs_argument))


def key_lines(keymap: Keymap, width: int) -> Iterable[Content]:
    """All keys and commands, by group, for lines of `width` cells; what was unbound and has no command is left out."""
    for group in Group:
        actions = [action for action in ACTIONS if action.group is group and _listed(action, keymap)]
        if not actions:
            continue
        yield Content("")
        yield Content.styled(group.value, "bold $heading")
        for action in actions:
            keys = " or ".join(display_key(key) for key in keymap.keys[action.id])
            where = "" if action.scope is Scope.APP else f", {action.scope.value}"
            yield _entry(keys, f"{action.sentence}{where}", f"/{action.slash[0]}" if action.slash else "", width)
    yield Content("")
    yield Content.styled("Commands with an argument", "bold $heading")
    for action in ACTIONS:
        if action.argument:
            yield _entry(f"/{action.slash[0]} {action.argument}", action.with_argument or action.sentence, "", width)


class HelpScreen(ModalScreen[None]):
    """Closed with Escape."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings_for(Scope.DIALOG, only={"close"})]
    DEFAULT_CSS = """
    HelpScreen {
        align: center middle;
        background: $background 60%;
        &:ansi { background: ansi_default; }
        VerticalScroll {
            width: 100;
            max-width: 96%;
            height: 94%;
            padding: 0 2;
            border: round $border;
            background: $surface;
            border-title-color: $heading;
            border-title-style: bold;
            border-subtitle-color: $muted;
            scrollbar-size-vertical: 1;
            scrollbar-gutter: stable;
        }
        Markdown { padding: 0; margin: 0; background: $surface; }
        MarkdownH2 { margin: 1 0 0 0; color: $heading; text-style: bold; }
        Static { height: auto; margin-bottom: 1; }
    }
    """

    def __init__(self, about: str, keymap: Keymap) -> None:
        super().__init__()
        self._about = about
        self._keymap = keymap

    def compose(self) -> ComposeResult:
        """What it is made of."""
        with VerticalScroll() as scroll:
            scroll.border_title = "Help"
            scroll.border_subtitle = "Esc closes"
            if self._about:
                yield Markdown(self._about, open_links=False)
            yield Static(id="key-list")

    def on_resize(self) -> None:
        """Wrap to the room there is."""
        width = self.query_one(VerticalScroll).scrollable_content_region.width
        self.query_one("#key-list", Static).update(Content("\n").join(key_lines(self._keymap, width)))

    def action_close(self) -> None:
        """Back to where one was."""
        self.dismiss()
