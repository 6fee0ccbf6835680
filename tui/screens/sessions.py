"""Finding, resuming, renaming and deleting saved conversations."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar, Protocol

from rich.cells import cell_len, set_cell_size
from textual.binding import BindingType
from textual.content import Content

from engine.errors import XchatError
from engine.metrics.clock import wall_ms
from engine.records import SessionInfo
from tui.bindings import Keymap, bindings_for
from tui.cells import drawable
from tui.keys import Scope
from tui.screens.confirm import AskText, Confirm
from tui.screens.picker import Picker

TITLE_CELLS = 36


class Sessions(Protocol):
    """What the screen needs of the session."""

    async def sessions(self, *, search: str = "", limit: int = 200) -> Sequence[SessionInfo]:
        """Saved conversations in which the words occur."""

    async def rename(self, session_id: int, title: str) -> None:
        """Give one another title."""

    async def delete(self, session_id: int) -> None:
        """Delete one for good."""


def ago(then_ms: int, now_ms: int) -> str:
    """How long ago, in the largest unit that says enough."""
    seconds = max(0, now_ms - then_ms) // 1000
    for size, unit in ((86400 * 365, "year"), (86400 * 30, "month"), (86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            count = seconds // size
            return f"{count} {unit}{'' if count == 1 else 's'} ago"
    return "just now"


def row(info: SessionInfo, now_ms: int, current: int | None) -> Content:
    """A session as one line of the list."""
    title = drawable(info.title or "untitled").replace("\n", " ")
    title = set_cell_size(title, TITLE_CELLS) if cell_len(title) <= TITLE_CELLS else set_cell_size(title, TITLE_CELLS - 1) + "…"
    turns = f"{info.n_turns} {'turn' if info.n_turns == 1 else 'turns'}"
    facts = [turns, ago(info.updated_ms, now_ms), drawable(f"{info.model or ''} {info.quant or ''}".strip())]
    marks = [("pinned", info.pinned), ("cut off", info.interrupted), ("open now", info.id == current)]
    shown = ", ".join(word for word, holds in marks if holds)
    return Content.assemble(
        Content.styled(f"{info.id:>5}  ", "$muted"),
        title,
        Content.styled(f"  {shown}" if shown else "", "$warning"),
        Content.styled("  " + "  ".join(facts), "$muted"),
    )


class SessionsScreen(Picker[int]):
    """Dismissed with the number of the session to go on with."""

    HELP = "## Sessions\n\nType words that occur in the conversation or its title. Enter goes on with the chosen one.\n"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings_for(Scope.LIST)]
    PLACEHOLDER = "Words of the conversation or its title"

    def __init__(self, store: Sessions, *, keymap: Keymap, current: int | None, report: Callable[[XchatError], None]) -> None:
        super().__init__()
        self._store = store
        self._keymap = keymap
        self._current = current
        self._report = report
        self._found: Sequence[SessionInfo] = ()

    async def on_mount(self) -> None:
        """Show all."""
        keys = self._keymap
        self.frame.border_title = "Sessions"
        self.frame.border_subtitle = (
            f"Enter go on · {keys.shown('rename_session')} rename · {keys.shown('delete_session')} delete · Esc close"
        )
        await self.narrow()

    async def narrow(self) -> None:
        """Search the database for what is typed."""
        typed = self.typed
        try:
            found = await self._store.sessions(search=typed.strip())
        except XchatError as error:
            self._report(error)
            found = ()
        if typed == self.typed:
            self._found = found
            now = wall_ms()
            empty = "Nothing is saved yet." if not typed.strip() else "No conversation has these words."
            self.fill([(str(info.id), row(info, now, self._current)) for info in found], empty)

    def take(self) -> None:
        """Go on with the chosen session."""
        if self.chosen_id is not None:
            self.dismiss(int(self.chosen_id))

    def _chosen(self) -> SessionInfo | None:
        return next((info for info in self._found if str(info.id) == self.chosen_id), None)

    async def _change(self, change: Awaitable[None]) -> None:
        try:
            await change
        except XchatError as error:
            self._report(error)
        await self.narrow()

    def action_rename_session(self) -> None:
        """Ask for another title."""
        info = self._chosen()
        if info is None:
            return

        async def rename(title: str | None) -> None:
            if title is not None:
                await self._change(self._store.rename(info.id, title))

        self.app.push_screen(AskText("Another title", info.title), rename)

    def action_delete_session(self) -> None:
        """Ask, saying what goes, and delete."""
        info = self._chosen()
        if info is None:
            return
        messages = f"{info.n_messages} {'message' if info.n_messages == 1 else 'messages'}"

        async def delete(sure: bool | None) -> None:
            if sure:
                await self._change(self._store.delete(info.id))

        detail = f"“{info.title}” goes with its {messages}, all branches and all measurements of its turns. This can't be undone."
        self.app.push_screen(Confirm("Delete this session?", detail, yes="Delete"), delete)
