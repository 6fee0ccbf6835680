"""The session browser: finding, reading, resuming, renaming, pinning and deleting saved conversations."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
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
from tui.text.hints import key_line
from tui.text.session_rows import SPANS, hit_row, preview, session_row
from tui.text.wording import count, what_goes

PAGE = 200
"""Sessions that are read at a time."""
NEAR_END = 20
"""The next page is read when the cursor is this near to the end of the list."""
MOST_HITS = 50
FIRST_TITLES = 3
"""Sessions that a search lists for their title only before the messages in which the words occur; the others come after these."""
PREVIEW_MESSAGES = 6
HIT_MESSAGES = 2
"""A preview of a hit shows the message and the one before it."""
WIDE_COLUMNS = 110
"""From this width on the preview stands beside the list."""
TALL_ROWS = 22
"""Narrower, it stands below from this height on."""
FILTER_CELLS = 22


class SessionsScreen(Picker[Chosen]):
    """Dismissed with what to go on with."""

    HELP = """\
## Sessions

Type words to search all messages: the best hits come first, each with the words around it. Every word must occur; the last one may be
unfinished; words in double quotes must stand together. Three sessions whose title has the words come before the messages, the others after.

Enter goes on with the chosen session, with a hit at the message that was found. Tab goes to the list and to the preview, whose text
scrolls with the arrows. Each filter key turns to the next value, and to all again after the last.
"""
    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings_for(Scope.LIST),
        *bindings_for(Scope.APP, only={"performance", "export"}, own=True),
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
        title: str = "Sessions",
    ) -> None:
        """`measure` and `export` open a session's performance view and its export dialog; without them those keys do nothing here."""
        super().__init__()
        self._library = library
        self._keymap = keymap
        self._current = current
        self._report = report
        self._measure = measure
        self._export = export
        self._title = title
        self._entries: list[Entry] = []
        self._listed = SessionFilter()
        """Sessions that the list shows beside messages: `_total` of them, of which `_read` were read so far."""
        self._total = self._read = self._hits = 0
        self._drawn_width = 0
        self._wanted = SessionFilter()
        self._span = 0
        self._choices: FilterChoices | None = None
        self._list_asked = asyncio.Event()
        self._preview_asked = asyncio.Event()

    def compose(self) -> ComposeResult:
        """Search field, filters, the list with its preview, keys."""
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
            yield Static(id="hints", classes="line")

    def on_mount(self) -> None:
        """Begin to follow what is typed and chosen."""
        self.run_worker(self._follow(self._list_asked, self._show_list), group="list")
        self.run_worker(self._follow(self._preview_asked, self._show_preview), group="preview")
        self._show_filters()
        self._list_asked.set()

    async def _follow(self, asked: asyncio.Event, answer: Callable[[], Awaitable[None]]) -> None:
        """Answer the newest question only: what is typed while an answer is on its way makes one question, not many."""
        while True:
            await asked.wait()
            asked.clear()
            try:
                await answer()
            except XchatError as error:
                self._report(error)

    def on_resize(self, event: events.Resize) -> None:
        """Place things by the room there is."""
        wide = event.size.width >= WIDE_COLUMNS
        self.set_class(wide, "-wide")
        self.set_class(not wide and event.size.height >= TALL_ROWS, "-tall")
        self.query_one("#hints", Static).update(key_line(self._hints(), event.size.width - 6))
        self.call_after_refresh(self._fit)

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
        return [("Enter", "go on"), (self._keymap.shown("close"), "close"), (self._keymap.shown("help"), "help"), *keys]

    # The list

    async def narrow(self) -> None:
        """Look for what is typed now."""
        self._list_asked.set()

    async def _show_list(self) -> None:
        words, wanted = self.typed.lstrip(), self._wanted
        reader = self._library.reader
        # The screen shows an answer's end before the disk has it, and the list is not asked again.
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
        """Draw the rows again if they are of another width than the list."""
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
        given = wall_ms(), self._current, self._drawn_width
        return [(e.row_id, session_row(e.info, *given) if e.hit is None else hit_row(e.hit, *given)) for e in entries]

    def _nothing(self) -> str:
        narrowed = self._wanted != SessionFilter()
        every = f" {self._keymap.shown('clear_filters')} lists all again." if narrowed else ""
        if self.typed.strip():
            return f"No conversation has these words.{every}"
        return f"There is no such session.{every}" if narrowed else "Nothing is saved yet."

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
        """Go on with the chosen session."""
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
        self._show_filters()
        self._list_asked.set()

    async def _turn(self, name: str) -> None:
        """The next value of a filter; all again after the last."""
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

    async def action_filter_model(self) -> None:
        """The next model only."""
        await self._turn("model")

    async def action_filter_quant(self) -> None:
        """The next quant only."""
        await self._turn("quant")

    async def action_filter_preset(self) -> None:
        """The next preset only."""
        await self._turn("preset")

    def action_filter_date(self) -> None:
        """Another span of time only."""
        self._span = (self._span + 1) % len(SPANS)
        self._filter(replace(self._wanted, since_ms=SPANS[self._span].since_ms(wall_ms())))

    def action_clear_filters(self) -> None:
        """All sessions again."""
        self._span = 0
        self._filter(SessionFilter())

    # What is done to a session

    def _change(self, change: Awaitable[None], *, saying: str = "") -> None:
        async def run() -> None:
            self.frame.border_subtitle = saying
            try:
                await change
            except XchatError as error:
                self._report(error)
            self._choices = None
            self._list_asked.set()

        self.run_worker(run(), group="change")

    def action_rename_session(self) -> None:
        """Ask for another title."""
        entry = self._chosen()
        if entry is None:
            return

        def rename(title: str | None) -> None:
            if title is not None:
                self._change(self._library.rename(entry.info.id, title))

        self.app.push_screen(AskText("Another title", entry.info.title), rename)

    def action_pin_session(self) -> None:
        """Keep it on top, or no longer."""
        entry = self._chosen()
        if entry is not None:
            self._change(self._library.pin(entry.info.id, not entry.info.pinned))

    async def action_delete_session(self) -> None:
        """Ask, saying what goes, and delete."""
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
                self._change(self._library.delete(entry.info.id), saying="deleting")

        self.app.push_screen(Confirm("Delete this session?", what_goes(entry.info, contents), yes="Delete"), delete)

    # What it leads to

    def action_branches(self) -> None:
        """All branches of the chosen session."""
        from tui.library.branches import BranchesScreen

        entry = self._chosen()
        if entry is None:
            return

        def go_on(message_id: int | None) -> None:
            if message_id is not None:
                self.dismiss(Chosen(entry.info.id, message_id))

        self.app.push_screen(BranchesScreen(self._library.reader, entry.info.id, report=self._report), go_on)

    def action_performance(self) -> None:
        """The measurements of the chosen session."""
        entry = self._chosen()
        if entry is not None and self._measure is not None:
            self._measure(entry.info)

    def action_export(self) -> None:
        """Export the chosen session."""
        entry = self._chosen()
        if entry is not None and self._export is not None:
            self._export(entry.info)
