"""The scrolling window over a conversation: follows its end and repaints only rows that changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import var
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip
from textual.widget import Widget

from tui.drawing.ready_lines import ReadyLines
from tui.transcript.layout import NO_KEY, Layout
from tui.transcript.look import Look
from tui.transcript.messages import Place
from tui.transcript.select import extract, highlight
from tui.transcript.welcome import WelcomeLine, centred

WHEEL_LINES = 3


class TranscriptView(ScrollView, ReadyLines, can_focus=True):
    """Shows a layout. Follows its end until the user scrolls up."""

    COMPONENT_CLASSES: ClassVar[set[str]] = set(Look.COMPONENTS)
    DEFAULT_CSS = """
    TranscriptView {
        height: 1fr;
        background: $background;
        color: $foreground;
        overflow-x: hidden;
        scrollbar-gutter: stable;
        scrollbar-size-vertical: 1;

        .transcript--label-user { color: $user; text-style: bold; }
        .transcript--label-assistant { color: $assistant; text-style: bold; }
        .transcript--label-system { color: $muted; text-style: bold; }
        .transcript--user-text { color: $foreground; background: $user-background; }
        .transcript--chosen { color: $chosen; text-style: bold; }
        .transcript--muted { color: $muted; }
        .transcript--faint { color: $faint; }
        .transcript--thinking { color: $thinking; text-style: italic; }
        .transcript--failure { color: $error; }
        .transcript--heading { color: $heading; text-style: bold; }
        .transcript--strong { color: $strong; text-style: bold; }
        .transcript--link { color: $link; text-style: underline; }
        .transcript--quote { color: $quote; }
        .transcript--rule { color: $rule; }
        .transcript--inline-code { color: $code; background: $code-background; }
        .transcript--code { color: $code; background: $code-background; }
        .transcript--code-comment { color: $code-comment; text-style: italic; }
        .transcript--code-keyword { color: $code-keyword; }
        .transcript--code-string { color: $code-string; }
        .transcript--code-number { color: $code-number; }
        .transcript--code-name { color: $code-name; }

        &:ansi {
            .transcript--faint, .transcript--muted, .transcript--rule, .transcript--code-comment { text-style: dim; }
            .transcript--inline-code { text-style: bold; }
        }
    }
    """

    jump: var[int] = var(1)
    """Rows to scroll at once when the end leaves the view: each scroll repaints the whole view."""

    @dataclass
    class FollowChanged(Message):
        """The view started or stopped following the end, or new text arrived below it."""

        following: bool
        unseen: bool

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._welcome: Sequence[WelcomeLine] = ()
        """Lines shown while the conversation is empty."""
        self._welcome_choices: Sequence[int | None] = ()
        """The choice of each row of the empty conversation."""
        self._layout = Layout()
        self._following = True
        self._unseen = False
        self._moving = False
        self._shown: list[Strip] = []
        self._shown_keys: list[int] = []
        self._top: Place | None = None
        self._chosen: int | None = None

    def action_scroll_up(self) -> None:
        """Scroll up a row."""
        self._move_by(-1)

    def action_scroll_down(self) -> None:
        """Scroll down a row."""
        self._move_by(1)

    def action_scroll_home(self) -> None:
        """Scroll to the first row."""
        self.to_start()

    def action_scroll_end(self) -> None:
        """Scroll to the end."""
        self.to_end()

    def show_welcome(self, lines: Sequence[WelcomeLine]) -> None:
        """Show these lines while the conversation is empty."""
        if lines != self._welcome:
            self._welcome = lines
            if not self._layout.entries:
                self._repaint()

    @property
    def welcomes(self) -> bool:
        """Whether the lines of an empty conversation are shown."""
        return not self._layout.entries

    def welcome_choice(self, y: int) -> int | None:
        """Return the choice of a row of an empty conversation."""
        return self._welcome_choices[y] if self.welcomes and 0 <= y < len(self._welcome_choices) else None

    # Scrolling

    @property
    def following(self) -> bool:
        """Whether the view stays at the end while text arrives."""
        return self._following

    def scroll_pages(self, pages: float) -> None:
        """Scroll by pages, keeping one row of the previous page."""
        self._move_by(round(pages * max(1, self._layout.rows - 1)))

    def scroll_lines(self, lines: int) -> None:
        """Scroll by rows."""
        self._move_by(lines)

    def to_start(self) -> None:
        """Scroll to the first row."""
        self._set_following(False)
        self._top = None
        self._go(0)

    def to_end(self) -> None:
        """Scroll to the end and follow it."""
        self._set_following(True)
        self._arrange(settle=True)

    def _on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        event.prevent_default()
        self._move_by(-WHEEL_LINES)

    def _on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        event.prevent_default()
        self._move_by(WHEEL_LINES)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Follow the scroll bar; ignore own moves, and a resize that is handled by `on_resize`."""
        resized = self.scrollable_content_region.height != self._layout.rows
        if not self._moving and not resized and round(old_value) != round(new_value):
            self._move_by(round(new_value) - round(old_value), origin=round(old_value))

    # Textual's hooks

    def on_resize(self) -> None:
        """Rewrap the text: visible rows now, others when they come into view."""
        self._fit()
        self._arrange(settle=True)

    def on_mount(self) -> None:
        """Follow the theme."""
        # `notify_style_update` is too early: Textual 8.2 sets a widget's component styles after it.
        self.app.theme_changed_signal.subscribe(self, lambda _: self._restyle())

    def _restyle(self) -> None:
        self._rich_style_cache.clear()
        if self._layout.ready:
            self._fit()
            self._arrange()

    def render_line(self, y: int) -> Strip:
        """Return one row of the window, with the offsets that Textual needs for mouse selection."""
        strip = self.ready_lines(range(y, y + 1))[0]
        return strip.apply_offsets(0, self._shown_keys[y]) if y < len(self._shown) and self._shown_keys[y] != NO_KEY else strip

    def ready_lines(self, rows: range) -> Sequence[Strip]:
        """Return rows of the window, with the selection."""
        lines = self._shown[rows.start : rows.stop]
        if (selection := self.text_selection) is not None:
            style = self.screen.get_component_rich_style("screen--selection")
            spans = [selection.get_span(key) for key in self._shown_keys[rows.start : rows.stop]]
            lines = [highlight(line, span, style) if span is not None else line for line, span in zip(lines, spans, strict=True)]
        missing = len(rows) - len(lines)
        return lines + [Strip.blank(self.size.width, self.rich_style)] * missing if missing else lines

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """Return the selected text as drawn, without the gutter."""
        return extract(self._layout.entries, selection, self._layout.lines), "\n"

    def _refresh_scrollbars(self) -> None:
        """Hide the scroll bar while following, since it would move with every row."""
        if self._following:
            self.show_vertical_scrollbar = False
        else:
            super()._refresh_scrollbars()

    def selection_updated(self, selection: Selection | None) -> None:  # noqa: ARG002 - Textual's signature
        """Repaint for a changed selection."""
        self.refresh()

    # Laying out

    def _fit(self) -> None:
        size = self.scrollable_content_region.size
        self._layout.fit(size.width, size.height, Look.of(self))
        self._shown = []

    def _arrange(self, *, settle: bool = False) -> None:
        """Update the view after a change: keep the end in view, or the top row in place.

        While an answer grows, blank rows may be shown below it (`jump`); `settle` moves the last row to the bottom.
        """
        layout = self._layout
        if not self.is_attached or not layout.ready:
            return
        if not self._following:
            self._go(layout.line_of(self._top))
            return
        layout.render_end()
        height, y = layout.height, self.scroll_offset.y
        ahead = 0 if settle else self.jump - 1
        if settle or not y <= height - layout.rows + ahead <= y + ahead:
            y = max(0, height - layout.rows + (ahead if height > layout.rows else 0))
        self._set_view(y, max(height, y + layout.rows))

    def _go(self, y: int) -> None:
        """Scroll to row `y`."""
        layout = self._layout
        if not layout.ready:
            return
        y = layout.render_from(max(0, y))
        if y > layout.height - layout.rows:
            layout.render_end()
            y = max(0, layout.height - layout.rows)
        self._set_view(y, layout.height)

    def _move_by(self, lines: int, *, origin: int | None = None) -> None:
        """Scroll by rows; upwards from the top row, whatever its estimated position."""
        layout = self._layout
        if not layout.ready:
            return
        y = self.scroll_offset.y if origin is None else origin
        if lines < 0 < layout.height - layout.rows:
            self._set_following(False)
            if self._top is not None and -lines <= 3 * layout.rows:
                layout.render_above(self._top, -lines)
                y = layout.line_of(self._top)
        self._go(y + lines)
        if lines > 0 and self.scroll_offset.y >= layout.height - layout.rows:
            self._set_following(True)

    def _bring_into_view(self, index: int) -> None:
        if not self._layout.ready:
            return
        top, y = self._layout.top(index), self.scroll_offset.y
        if not y <= top < y + self._layout.rows:
            self._set_following(False)
            self._go(top if top < y else top - self._layout.rows // 3)

    def _set_view(self, y: int, height: int) -> None:
        """Set position and size, without a layout pass while following, which would repaint the whole view."""
        size = Size(self._layout.width, height)
        self._moving = True
        try:
            if self._following:
                self.set_reactive(Widget.virtual_size, size)
            elif size != self.virtual_size or not self.show_vertical_scrollbar:
                self.virtual_size = size
                self._refresh_scrollbars()
            self.set_reactive(Widget.scroll_target_y, y)
            self.scroll_y = y
            if self.show_vertical_scrollbar:
                self.vertical_scrollbar.position = y
        finally:
            self._moving = False
        self._top = self._layout.place(y)
        self._repaint()

    def _set_following(self, following: bool) -> None:
        if following != self._following:
            self._following = following
            self._unseen = False
            if following:
                self.show_vertical_scrollbar = False
            self.post_message(self.FollowChanged(following, False))

    def _repaint(self) -> None:
        """Compute the window and repaint the rows that changed."""
        layout = self._layout
        if not layout.ready:
            return
        old = self._shown
        if layout.entries:
            self._shown, self._shown_keys = layout.window(self._top, self._chosen)
        else:
            self._shown, self._welcome_choices = centred(self._welcome, layout.width, layout.rows, layout.look)
            self._shown_keys = [NO_KEY] * len(self._shown)
        if len(old) != len(self._shown) or self.text_selection is not None:
            self.refresh()
            return
        for row, strip in enumerate(self._shown):
            if strip is not old[row] and strip != old[row]:
                self.refresh(Region(0, row, layout.width, 1))
