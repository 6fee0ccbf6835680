"""The session browser: find, read, resume, rename, pin and delete saved sessions."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container, Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from engine.clock import wall_ms
from engine.errors import XchatError
from engine.records import SessionInfo
from engine.session.library import Library
from engine.session.many.background import Running
from engine.store.erase import contents_of
from engine.store.queries.search import search_messages
from engine.store.queries.sessions import FilterChoices, SessionFilter, count_sessions, filter_choices, find_sessions, page_of_branch
from engine.text import one_line
from tui.actions.bindings import Keymap, bindings_for
from tui.actions.registry import Scope
from tui.dialogs.choice_list import ChoiceList
from tui.dialogs.confirm import AskText, Confirm
from tui.dialogs.picker import Picker
from tui.library.saved import Chosen, Entry, with_value
from tui.text.cells import cut
from tui.text.session_rows import SPANS, hit_row, preview, running_states, session_row
from tui.text.wording import count, what_goes

PULSE_S = 1.0
"""Interval of drawing the list again while an answer goes on in the background."""
PAGE = 200
"""Sessions read per page."""
NEAR_END = 20
"""Rows before the end of the list at which the next page is read."""
MOST_HITS = 50
FIRST_TITLES = 3
"""Number of title matches listed before the message matches; the others come after."""
PREVIEW_MESSAGES = 6
HIT_MESSAGES = 2
"""Messages in the preview of a hit: the hit and the one before."""
WIDE_COLUMNS = 110
"""Least width for the preview beside the list."""
TALL_ROWS = 22
"""Least height for the preview below the list."""
FILTER_CELLS = 22


class SessionsScreen(Picker[Chosen]):
    """Dismissed with the session to resume."""

    HELP = """\
## Sessions

Type words to search all messages: the best hits come first, each with its context. Every word must occur; the last one may be
incomplete; words in double quotes must be adjacent. Up to three sessions whose title matches come before the messages, others after.

Enter resumes the selected session, for a hit at the matching message. Tab goes to the list and to the preview, whose text
scrolls with the arrows. Each filter key selects the next value, and all after the last.
"""
    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings_for(Scope.LIST),
        *bindings_for(Scope.APP, only={"performance", "export"}),
    ]
    PLACEHOLDER = "Search all messages and titles"
    DEFAULT_CSS = """
    SessionsScreen {
        background: $background;
        .picker { width: 100%; max-width: 100%; height: 100%; max-height: 100%; }
        .line { height: 1; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; }
        #filters { color: $muted; }
        #places { height: 1fr; layout: vertical; }
        #list { height: 3fr; width: 1fr; }
        OptionList { scrollbar-gutter: stable; background-tint: transparent; }
        #preview { display: none; height: 2fr; border-top: solid $rule; scrollbar-size-vertical: 1; }
        #preview Static { padding: 0 1; }
        &.-tall #preview { display: block; }
        &.-wide #places { layout: horizontal; }
        &.-wide #list { height: 100%; width: 11fr; }
        &.-wide #preview { display: block; height: 100%; width: 9fr; border-top: none; border-left: solid $rule; }
    }
    """

    def __init__(
        self,
        library: Library,
        *,
        keymap: Keymap,
        current: int | None,
        report: Callable[[XchatError], None],
        measure: Callable[[SessionInfo], None] | None = None,
        export: Callable[[SessionInfo], None] | None = None,
        running: Callable[[], Sequence[Running]] = tuple,
        title: str = "Sessions",
    ) -> None:
        """`measure` and `export` open a session's performance view and export dialog; `running` returns the answers in the background."""
        super().__init__()
        self._library = library
        self._keymap = keymap
        self._current = current
        self._report = report
        self._measure = measure
        self._export = export
        self._answers = running
        self._states: Mapping[int, str] = {}
        self._title = title
        self._entries: list[Entry] = []
        self._listed = SessionFilter()
        """Filter of the sessions listed: `_total` match, `_read` were read so far."""
        self._total = self._read = self._hits = 0
        self._drawn_width = 0
        self._wanted = SessionFilter()
        self._span = 0
        self._choices: FilterChoices | None = None
        self._list_asked = asyncio.Event()
        self._preview_asked = asyncio.Event()

    def compose(self) -> ComposeResult:
        """Lay out search, filters, list, preview and keys."""
        with Vertical(classes="box picker") as frame:
            frame.border_title = self._title
            yield Input(placeholder=self.PLACEHOLDER, select_on_focus=False)
            yield Static(id="filters", classes="line")
            yield Static(Content("─" * 400), classes="rule")
            with Container(id="places"):
                with Container(id="list"):
                    yield ChoiceList()
                    yield Static("", classes="empty")
                with VerticalScroll(id="preview"):
                    yield Static("")
            yield Static(id="hints")

    def on_mount(self) -> None:
        """Start the workers that update list and preview."""
        self.run_worker(self._follow(self._list_asked, self._show_list), group="list")
        self.run_worker(self._follow(self._preview_asked, self._show_preview), group="preview")
        self.screen_layout_refresh_signal.subscribe(self, lambda _: self._fit())
        self.set_interval(PULSE_S, self._pulse)
        self._show_filters()
        self._list_asked.set()

    async def _follow(self, asked: asyncio.Event, answer: Callable[[], Awaitable[None]]) -> None:
        """Run `answer` after each request; requests during a run are merged into one."""
        while True:
            await asked.wait()
            asked.clear()
            try:
                await answer()
            except XchatError as error:
                self._report(error)

    def on_resize(self, event: events.Resize) -> None:
        """Lay out by the size of the screen."""
        wide = event.size.width >= WIDE_COLUMNS
        self.set_class(wide, "-wide")
        self.set_class(not wide and event.size.height >= TALL_ROWS, "-tall")
        self.show_hints(self._hints(), event.size.width - 6)

    def _hints(self) -> Sequence[tuple[str, str]]:
        words = {
            "branches": "branches",
            "rename_session": "rename",
            "delete_session": "delete",
            "pin_session": "pin",
            "performance": "measurements" if self._measure is not None else "",
            "export": "export" if self._export is not None else "",
            "filter_model": "model",
            "filter_quant": "quant",
            "filter_preset": "preset",
            "filter_date": "when",
            "clear_filters": "all",
        }
        keys = [(self._keymap.shown(action), word) for action, word in words.items() if word]
        return [("Enter", "resume"), (self._keymap.shown("close"), "close"), (self._keymap.shown("help"), "help"), *keys]

    # The list

    async def narrow(self) -> None:
        """Update the list for the typed words."""
        self._list_asked.set()

    async def _show_list(self) -> None:
        words, wanted = self.typed.lstrip(), self._wanted
        reader = self._library.reader
        # An answer is shown before it is on the disk, and the list is read only once.
        await self._library.logged()
        if words.strip():
            hits = await reader.read(search_messages, replace(wanted, search=words), limit=MOST_HITS)
            self._listed = replace(wanted, title=words.strip())
        else:
            hits, self._listed = (), wanted
        page = await reader.read(find_sessions, self._listed, limit=PAGE)
        self._total, self._read = await reader.read(count_sessions, self._listed), len(page)
        in_messages = {hit.session.id for hit in hits}
        listed = [Entry(info) for info in page if info.id not in in_messages]
        self._hits = len(hits)
        self._entries = [*listed[:FIRST_TITLES], *(Entry(hit.session, hit) for hit in hits), *listed[FIRST_TITLES:]]
        self._redraw()
        self._preview_asked.set()

    def _fit(self) -> None:
        """Redraw the rows if the width of the list changed."""
        if self.is_mounted and self._width != self._drawn_width:
            self._redraw()
            self._preview_asked.set()

    @property
    def _width(self) -> int:
        return max(20, self.options.scrollable_content_region.width)

    def _redraw(self) -> None:
        self._drawn_width = self._width
        self.fill(self._rows(self._entries), self._nothing())
        hits = f"{self._hits:,}{'+' if self._hits == MOST_HITS else ''} in messages, {count(self._total, 'title')}"
        self.frame.border_subtitle = (hits if self.typed.strip() else f"{self._total:,}") if self._entries else ""

    def _rows(self, entries: Sequence[Entry]) -> list[tuple[str, Content]]:
        self._states = running_states(self._answers())
        given = wall_ms(), self._current, self._drawn_width, self._states
        return [(e.row_id, session_row(e.info, *given) if e.hit is None else hit_row(e.hit, *given)) for e in entries]

    def _pulse(self) -> None:
        if self._states:
            (self._redraw if len(self._answers()) == len(self._states) else self._list_asked.set)()

    def _nothing(self) -> str:
        narrowed = self._wanted != SessionFilter()
        every = f" Clear the filters: {self._keymap.reach('clear_filters')}." if narrowed else ""
        if self.typed.strip():
            return f"No session matches these words.{every}"
        return f"No session matches the filters.{every}" if narrowed else "No sessions yet."

    @on(OptionList.OptionHighlighted)
    def _moved(self, event: OptionList.OptionHighlighted) -> None:
        self._preview_asked.set()
        if self._read < self._total and event.option_index >= len(self._entries) - NEAR_END:
            self.run_worker(self._next_page(), group="page", exclusive=True)

    async def _next_page(self) -> None:
        entries = self._entries
        try:
            page = await self._library.reader.read(find_sessions, self._listed, limit=PAGE, offset=self._read)
        except XchatError as error:
            self._report(error)
            return
        if self._entries is entries:
            known = {entry.info.id for entry in entries}
            added = [Entry(info) for info in page if info.id not in known]
            self.options.add_options([Option(text, id=row_id) for row_id, text in self._rows(added)])
            self._entries += added
            self._read = self._read + len(page) if page else self._total

    def _chosen(self) -> Entry | None:
        return next((entry for entry in self._entries if entry.row_id == self.chosen_id), None)

    def take(self) -> None:
        """Dismiss with the selected session."""
        if (entry := self._chosen()) is not None:
            self.dismiss(Chosen(entry.info.id, entry.hit.message_id if entry.hit is not None else None))

    # Preview

    async def _show_preview(self) -> None:
        place = self.query_one("#preview", VerticalScroll)
        text = place.query_one(Static)
        if (entry := self._chosen()) is None or not place.display:
            text.update("")
            return
        hit, words = entry.hit, self.typed
        limit = PREVIEW_MESSAGES if hit is None else HIT_MESSAGES
        messages = await self._library.reader.read(page_of_branch, entry.info.id, hit.message_id if hit is not None else None, limit=limit)
        if self._chosen() is entry:
            text.update(preview(entry.info, messages, words if hit is not None else ""))
            self.call_after_refresh(place.scroll_end if hit is None else place.scroll_home, animate=False)

    # Filters

    def _show_filters(self) -> None:
        parts = []
        for name in ("model", "quant", "preset"):
            value = getattr(self._wanted, name)
            shown = cut(one_line(value), FILTER_CELLS).rstrip() if value is not None else "any"
            parts.append(Content.assemble(f"{name.capitalize()} ", Content.styled(shown, "bold $accent" if value is not None else "")))
        parts.append(Content.styled(SPANS[self._span].label, "bold $accent" if self._span else ""))
        self.query_one("#filters", Static).update(Content("   ").join(parts))

    def _filter(self, wanted: SessionFilter) -> None:
        self._wanted = wanted
        self.set_interval(PULSE_S, self._pulse)
        self._show_filters()
        self._list_asked.set()

    async def action_filter(self, name: str) -> None:
        """Filter by the next model, quant or preset; by none after the last."""
        try:
            if self._choices is None:
                self._choices = await self._library.reader.read(filter_choices)
        except XchatError as error:
            self._report(error)
            return
        values: tuple[str | None, ...] = (None, *getattr(self._choices, f"{name}s"))
        here = getattr(self._wanted, name)
        following = values[(values.index(here) + 1) % len(values)] if here in values else None
        self._filter(with_value(self._wanted, name, following))

    def action_filter_date(self) -> None:
        """Filter by the next time span."""
        self._span = (self._span + 1) % len(SPANS)
        self._filter(replace(self._wanted, since_ms=SPANS[self._span].since_ms(wall_ms())))

    def action_clear_filters(self) -> None:
        """Clear all filters."""
        self._span = 0
        self._filter(SessionFilter())

    # Changing a session

    def _change(self, change: Awaitable[None], *, status: str = "") -> None:
        async def run() -> None:
            self.frame.border_subtitle = status
            try:
                await change
            except XchatError as error:
                self._report(error)
            self._choices = None
            self._list_asked.set()

        self.run_worker(run(), group="change")

    def action_rename_session(self) -> None:
        """Ask for a new title."""
        entry = self._chosen()
        if entry is None:
            return

        def rename(title: str | None) -> None:
            if title is not None:
                self._change(self._library.rename(entry.info.id, title))

        self.app.push_screen(AskText("Rename session", entry.info.title), rename)

    def action_pin_session(self) -> None:
        """Pin or unpin the selected session."""
        entry = self._chosen()
        if entry is not None:
            self._change(self._library.pin(entry.info.id, not entry.info.pinned))

    async def action_delete_session(self) -> None:
        """Ask for confirmation and delete the selected session."""
        entry = self._chosen()
        if entry is None:
            return
        try:
            contents = await self._library.reader.read(contents_of, entry.info.id)
        except XchatError as error:
            self._report(error)
            return

        def delete(sure: bool | None) -> None:
            if sure:
                self._change(self._library.delete(entry.info.id), status="deleting")

        self.app.push_screen(Confirm("Delete this session?", what_goes(entry.info, contents), yes="Delete"), delete)

    # Other screens

    def action_branches(self) -> None:
        """Open the branches of the selected session."""
        from tui.library.branches import BranchesScreen

        entry = self._chosen()
        if entry is None:
            return

        def go_on(message_id: int | None) -> None:
            if message_id is not None:
                self.dismiss(Chosen(entry.info.id, message_id))

        self.app.push_screen(BranchesScreen(self._library.reader, entry.info.id, report=self._report), go_on)

    def action_performance(self) -> None:
        """Open the performance view of the selected session."""
        entry = self._chosen()
        if entry is not None and self._measure is not None:
            self._measure(entry.info)

    def action_export(self) -> None:
        """Open the export dialog of the selected session."""
        entry = self._chosen()
        if entry is not None and self._export is not None:
            self._export(entry.info)
