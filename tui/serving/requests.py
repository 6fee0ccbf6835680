"""The live table of the server's requests, with the panel beside it where there is room."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import ClassVar, Final, Protocol

from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container, Horizontal, Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from engine.errors import XchatError
from engine.numbers import milliseconds, percent
from engine.serving.live import RequestNow, ServerNow, State
from engine.text import one_line
from tui.actions.bindings import bindings_for
from tui.actions.registry import Scope
from tui.dialogs.choice_list import ChoiceList
from tui.dialogs.dialog import Dialog
from tui.drawing.braille import Glyphs, spark
from tui.text.table import Column, fitting, heading, table_row
from tui.text.wording import duration

TICK_S: Final = 0.5
BESIDE_COLUMNS: Final = 100
"""Least width for the panel beside the table."""
LEAST_SPARK: Final = 12
_STYLES: Final = {
    State.HELD: "$warning",
    State.WAITING: "$muted",
    State.PROMPT: "$accent",
    State.DECODING: "bold $success",
    State.DONE: "",
    State.STOPPED: "$muted",
    State.FAILED: "$error",
}


class Controls(Protocol):
    """Actions of the screen on the server. They raise XchatError once it has ended."""

    async def now(self) -> ServerNow:
        """Return the state of the server."""

    async def pause(self, paused: bool) -> None:
        """Pause or resume passing new requests to the engine."""

    async def drain(self, draining: bool) -> None:
        """Refuse or accept new requests."""

    async def kick(self, number: int) -> None:
        """End a request."""


def _count(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _time(value: float | None) -> str:
    return "" if value is None else f"{value:.0f} ms" if value < 999.5 else milliseconds(value)


COLUMNS: Final[tuple[Column[RequestNow], ...]] = (
    Column("#", 4, lambda _, request: str(request.number), 0),
    Column("who", 13, lambda _, request: one_line(request.client), 1, left=True),
    Column("endpoint", 20, lambda _, request: request.path.removeprefix("/v1"), 9, left=True),
    Column("state", 8, lambda _, request: request.state, 0, left=True),
    Column("prompt", 6, lambda _, request: _count(request.prompt_n), 3),
    Column("cached", 6, lambda _, request: _count(request.cache_n), 3),
    Column("wait", 6, lambda _, request: _time(request.wait_ms), 2),
    Column("TTFT", 6, lambda _, request: _time(request.ttft_ms), 1),
    Column("tokens", 6, lambda _, request: _count(request.predicted_n or None), 4),
    Column("tokens/s", 8, lambda _, request: "" if (speed := request.predicted_per_second) is None else f"{speed:.1f}", 1),
    Column("age", 7, lambda _, request: duration(request.total_ms), 6),
)
"""All columns, from left to right."""


class RequestsScreen(Dialog[None]):
    """Shows the server and its requests; can end, pause and refuse them. Closing it ends nothing."""

    HELP = """\
## Requests

One row per answer that the server makes, those under way first: who asked (an address, or the number of a key), what became of it, the
tokens of its prompt and how many of them the KV cache held, how long it waited for the engine, the time to its first token, its tokens and
their speed. {accept} opens one with the steps of its time.

{pause_requests} pauses the server: requests that come are kept, those that run go on; pressed again, it sends them to the engine.
{drain_requests} refuses new requests with 503 and reports no health, so that a proxy asks elsewhere; what runs finishes. {kick_request}
ends the selected request with an error. Your own messages always go first.
"""
    AUTO_FOCUS = "ChoiceList"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings_for(Scope.REQUESTS)]
    DEFAULT_CSS = """
    RequestsScreen {
        background: $background;
        Static { height: auto; }
        .table { width: 1fr; }
        .titles { height: 1; color: $muted; margin-top: 1; text-wrap: nowrap; }
        .empty { display: none; padding: 1 2; color: $muted; }
        .empty.-shown { display: block; }
        OptionList { height: 1fr; scrollbar-gutter: stable; }
        .beside { display: none; width: 36%; max-width: 74; border-left: solid $rule; padding: 0 1; }
        &.-beside .beside { display: block; }
    }
    """

    def __init__(
        self, url: str, controls: Controls, panel: Widget, *, opened: Callable[[RequestNow], Awaitable[None]], glyphs: Glyphs
    ) -> None:
        """Create the screen; `panel` is shown beside the table; `opened` opens a request."""
        super().__init__()
        self._url = url
        self._controls = controls
        self._panel = panel
        self._opened = opened
        self._glyphs = glyphs
        self._now: ServerNow | None = None
        self._columns: tuple[Column[RequestNow], ...] = COLUMNS
        self._drawn: dict[str, str] = {}
        """The text of each row by the number of its answer."""

    def compose(self) -> ComposeResult:
        """Yield the total figures, the table, the panel and the keys."""
        with Vertical(classes="box whole") as frame:
            frame.border_title = Content(f"Serving on {self._url}")
            with Horizontal():
                with Vertical(classes="table"):
                    yield Static(classes="figures", markup=False)
                    yield Static(classes="titles", markup=False)
                    yield Static(classes="empty", markup=False)
                    yield ChoiceList()
                yield Container(self._panel, classes="beside")
            yield Static(id="hints")

    def on_mount(self) -> None:
        """Start following the server."""
        self.run_worker(self._follow(), group="requests")

    def on_resize(self, event: events.Resize) -> None:
        """Lay out by the size of the screen."""
        self.set_class(event.size.width >= BESIDE_COLUMNS, "-beside")
        words = {
            "accept": "open",
            "kick_request": "end it",
            "pause_requests": "pause",
            "drain_requests": "drain",
            "help": "help",
            "close": "close",
        }
        self.show_hints([(self.keymap.shown(action), word) for action, word in words.items()], event.size.width - 4)
        self._drawn.clear()
        self.call_after_refresh(self._draw)

    async def _follow(self) -> None:
        while self.is_attached:
            try:
                self._now = await self._controls.now()
            except XchatError as error:
                self.query_one(".figures", Static).update(Content(one_line(str(error))))
                return
            self._draw()
            await asyncio.sleep(TICK_S)

    # Actions

    @on(OptionList.OptionSelected)
    async def _open(self) -> None:
        if (request := self._selected()) is not None:
            await self._opened(request)

    async def action_kick_request(self) -> None:
        """End the selected request."""
        request = self._selected()
        if request is None or not request.state.under_way:
            self.notify("It has ended already." if request is not None else "There is none.", severity="warning", markup=False)
            return
        await self._ask(self._controls.kick(request.number))

    async def action_pause_requests(self) -> None:
        """Pause or resume the server."""
        if self._now is not None:
            await self._ask(self._controls.pause(self._now.state != "paused"))

    async def action_drain_requests(self) -> None:
        """Refuse or accept new requests."""
        if self._now is not None:
            await self._ask(self._controls.drain(self._now.state != "draining"))

    async def _ask(self, control: Awaitable[None]) -> None:
        try:
            await control
            self._now = await self._controls.now()
        except XchatError as error:
            self.notify(str(error), severity="error", markup=False)
            return
        self._draw()

    # Drawing

    @property
    def _list(self) -> OptionList:
        return self.query_one(OptionList)

    def _selected(self) -> RequestNow | None:
        place = self._list.highlighted
        chosen = self._list.get_option_at_index(place).id if place is not None else None
        requests = self._now.requests if self._now is not None else ()
        return next((request for request in requests if str(request.number) == chosen), None)

    def _draw(self) -> None:
        now = self._now
        if now is None or not self.is_mounted or not (width := self._list.scrollable_content_region.width):
            return
        self.query_one(".figures", Static).update(figures(now, width, self._glyphs))
        self._columns = fitting(COLUMNS, width)
        self.query_one(".titles", Static).update(heading(self._columns))
        self._fill(now)
        empty = self.query_one(".empty", Static)
        empty.set_class(not now.requests, "-shown")
        empty.update(f"No requests yet. Clients ask {self._url}/v1 as they would ask OpenAI; a browser finds a chat at {self._url}")

    def _fill(self, now: ServerNow) -> None:
        """Update changed rows; rebuild all when the list differs, with the selection kept."""
        rows = {str(request.number): (table_row(self._columns, 0, request), request.state) for request in now.requests}
        listed = self._list
        if list(rows) != [option.id for option in listed.options]:
            chosen = listed.get_option_at_index(listed.highlighted).id if listed.highlighted is not None else None
            top = listed.scroll_offset.y
            listed.clear_options()
            listed.add_options([Option(_styled(text, state), id=number) for number, (text, state) in rows.items()])
            if rows:
                listed.highlighted = list(rows).index(chosen) if chosen in rows and top else 0
        else:
            for place, (number, (text, state)) in enumerate(rows.items()):
                if self._drawn.get(number) != text:
                    listed.replace_option_prompt_at_index(place, _styled(text, state))
        self._drawn = {number: text for number, (text, _) in rows.items()}


def _styled(text: str, state: State) -> Content:
    """Return a row with its state coloured."""
    content, style = Content(text), _STYLES[state]
    if not style:
        return content
    place = text.find(state)
    return content.stylize(style, place, place + len(state)) if state.under_way and place >= 0 else content.stylize(style)


def figures(now: ServerNow, width: int, glyphs: Glyphs) -> Content:
    """Return the total figures in lines of `width` cells."""
    style = {"serving": "bold $success", "failed": "bold $error"}.get(now.state, "bold $warning")
    counts = [f"{now.running} running of {now.parallel}", f"{now.waiting} waiting", f"{now.answered:,} answered"]
    counts += [f"{now.failed:,} failed"] if now.failed else []
    first = Content.assemble((now.state, style), "  ", (one_line(now.model), "$muted"), "  ", " · ".join(counts))
    speed = f"{now.tokens_per_second:6.1f} tokens/s  "
    cells = min(len(now.speed), width - len(speed))
    chart = spark([*map(float, now.speed[-cells:])], high=max(now.speed), glyphs=glyphs) if cells >= LEAST_SPARK else ""
    parts = [f"TTFT {milliseconds(now.ttft_p50_ms)} median, {milliseconds(now.ttft_p95_ms)} p95"]
    if now.cells:
        parts.append(f"KV cache {percent(now.cells_used / now.cells)} of {now.cells:,}")
    parts.append(f"{now.tokens:,} tokens in {duration(now.uptime_s * 1e3)}")
    while len(last := " · ".join(parts)) > width and len(parts) > 1:
        parts.pop()
    return Content("\n").join([first, Content.assemble((speed, "bold"), (chart, "$accent")), Content.styled(last, "$muted")])
