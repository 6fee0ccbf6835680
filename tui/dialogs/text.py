"""A long read-only text: the raw prompt, the native log."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual.app import ComposeResult
from textual.widgets import TextArea

from engine.text import drawable
from tui.dialogs.dialog import Dialog

REFRESH_S = 1.0


class TextScreen(Dialog[None]):
    """Shows text verbatim; markup and control characters have no effect."""

    DEFAULT_CSS = "TextScreen .box { width: 96%; height: 94%; &:focus { border: round $border; } }"
    HELP = ""

    def __init__(self, title: str, text: str, *, wrap: bool = True) -> None:
        super().__init__()
        self._title, self._text, self._wrap = title, text, wrap

    def compose(self) -> ComposeResult:
        """Lay out the text."""
        area = TextArea(
            drawable(self._text), read_only=True, soft_wrap=self._wrap, show_cursor=False, highlight_cursor_line=False, classes="box"
        )
        area.border_title = self._title
        area.border_subtitle = self.close_hint
        yield area


class PromptScreen(TextScreen):
    """Shows the last prompt after the chat template."""

    HELP = "## Raw prompt\n\nThe conversation after the model's own chat template, with its control tokens, as it was tokenized.\n"

    def __init__(self, prompt: str) -> None:
        super().__init__("Raw prompt", prompt or "No message has been sent yet.")


class NoticesScreen(TextScreen):
    """The notices since the start, newest first."""

    HELP = "## Notices\n\nAll notices since xchat was started, newest first.\n"

    def __init__(self, text: str) -> None:
        super().__init__("Notices", text or "No notices yet.")


class LogScreen(TextScreen):
    """The log of the native library, refreshed while it is open."""

    HELP = "## Log of the native library\n\nMessages of llama.cpp, which are never printed to the terminal.\n"

    def __init__(self, lines: Callable[[], Sequence[str]]) -> None:
        super().__init__("Log of the native library", "\n".join(lines()) or "The log is empty.", wrap=False)
        self._lines = lines
        self._shown = self._text

    def on_mount(self) -> None:
        """Scroll to the end and follow it."""
        area = self.query_one(TextArea)
        area.move_cursor(area.document.end)
        self.set_interval(REFRESH_S, self._reload)

    def _reload(self) -> None:
        text = "\n".join(self._lines())
        area = self.query_one(TextArea)
        if text and text != self._shown and area.max_scroll_y - area.scroll_y <= 1:
            self._shown = text
            area.load_text(drawable(text))
            area.move_cursor(area.document.end)
