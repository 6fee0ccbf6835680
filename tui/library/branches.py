"""The branches of a saved conversation: edited messages and regenerated answers with what followed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container, Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from engine.chat.outline import OutlineRow, branch_count, outline, sibling_row
from engine.errors import XchatError
from engine.numbers import significant
from engine.records import Message, TurnRecord
from engine.store.queries.sessions import StoredSession, read_session
from engine.store.reader import Reader
from engine.text import one_line
from tui.actions.bindings import bindings_for
from tui.actions.registry import Scope
from tui.dialogs.choice_list import ChoiceList
from tui.dialogs.dialog import Dialog
from tui.text.session_rows import message_text
from tui.text.wording import count, timing_line

WIDE_COLUMNS = 110
"""Least width in cells for showing the message beside the branches."""
TALL_ROWS = 20
"""Least height in rows for showing the message below the branches."""
DEEPEST = 12
"""Deepest indentation of rows."""
ROW_CHARACTERS = 400
"""Characters of a message used for its row."""


class BranchesScreen(Dialog[int]):
    """Dismissed with the message whose branch to open."""

    HELP = """\
## Branches

Each version of a message is indented below the message that it answers, followed by its own answers. Dots mark the
branch that is open. {older_version} and {newer_version} go to the other versions; Enter opens the branch of the chosen message, or unfolds
messages that were folded.
"""
    BINDINGS: ClassVar[list[BindingType]] = [*bindings_for(Scope.BRANCHES)]
    DEFAULT_CSS = """
    BranchesScreen {
        background: $background;
        #places { height: 1fr; layout: vertical; }
        OptionList { height: 3fr; width: 1fr; scrollbar-gutter: stable; }
        #message { display: none; height: 2fr; border-top: solid $rule; scrollbar-size-vertical: 1; }
        #message Static { padding: 0 1; }
        &.-tall #message { display: block; }
        &.-wide #places { layout: horizontal; }
        &.-wide OptionList { height: 100%; width: 1fr; }
        &.-wide #message { display: block; height: 100%; width: 1fr; border-top: none; border-left: solid $rule; }
    }
    """

    def __init__(self, reader: Reader, session_id: int, *, report: Callable[[XchatError], None]) -> None:
        super().__init__()
        self._reader = reader
        self._session_id = session_id
        self._report = report
        self._stored: StoredSession | None = None
        self._turns: Mapping[int, TurnRecord] = {}
        self._rows: tuple[OutlineRow, ...] = ()
        self._unfolded: frozenset[int] = frozenset()

    def compose(self) -> ComposeResult:
        """Lay out branches, selected message and keys."""
        with Vertical(classes="box whole") as frame:
            frame.border_title = "Branches"
            with Container(id="places"):
                yield ChoiceList()
                with VerticalScroll(id="message"):
                    yield Static("")
            yield Static(id="hints")

    def on_mount(self) -> None:
        """Read the conversation."""
        self.run_worker(self._load(), group="branches")

    def on_resize(self, event: events.Resize) -> None:
        """Lay out by the size of the screen."""
        wide = event.size.width >= WIDE_COLUMNS
        self.set_class(wide, "-wide")
        self.set_class(not wide and event.size.height >= TALL_ROWS, "-tall")
        hints = [("Enter", "open this branch"), (self.keymap.fill("{older_version} {newer_version}"), "other versions")]
        hints.append((self.keymap.shown("close"), "back"))
        self.show_hints(hints, event.size.width - 4)

    async def _load(self) -> None:
        try:
            stored = self._stored = await self._reader.read(read_session, self._session_id)
        except XchatError as error:
            self._report(error)
            self.dismiss(None)
            return
        self._turns = {turn.id: turn for turn in stored.turns}
        frame = self.query_one(".box", Vertical)
        frame.border_title = Content(f"Branches of {one_line(stored.info.title)}")
        ends = branch_count(stored.messages)
        frame.border_subtitle = f"{ends:,} {'branch' if ends == 1 else 'branches'}, {count(len(stored.messages), 'message')}"
        self._fill(stored.info.head_id)

    @property
    def _list(self) -> OptionList:
        return self.query_one(OptionList)

    def _fill(self, chosen_id: int | None) -> None:
        """Show the rows with the cursor on this message."""
        if self._stored is None:
            return
        self._rows = outline(self._stored.messages, self._stored.info.head_id, self._unfolded)
        self._list.clear_options()
        self._list.add_options([Option(self._row(row)) for row in self._rows])
        place = next((number for number, row in enumerate(self._rows) if any(one.id == chosen_id for one in row.messages)), 0)
        self._list.highlighted = place if self._rows else None
        self._list.focus()

    def _row(self, row: OutlineRow) -> Content:
        indent = "  " * min(row.depth, DEEPEST)
        mark = Content.styled("● " if row.shown else "○ ", "$accent" if row.shown else "$faint")
        if row.folded:
            return Content.assemble(indent, mark, Content.styled(f"… {count(len(row.messages), 'message')}", "$muted"))
        message = row.message
        version = f" {row.version}/{row.versions}" if row.versions > 1 else ""
        turn = self._turns.get(message.id)
        speed = turn.timings.predicted_per_second if turn is not None else None
        text = one_line((message.text or message.thinking)[:ROW_CHARACTERS])
        return Content.assemble(
            indent,
            mark,
            Content.styled(message.role.capitalize(), f"bold ${message.role.value}" if message.role.value != "system" else "bold"),
            Content.styled(version, "bold $accent"),
            Content.styled(f"  {significant(speed)} tokens/s" if speed else "", "$muted"),
            f"  {text}",
        )

    @on(OptionList.OptionHighlighted)
    def _moved(self, event: OptionList.OptionHighlighted) -> None:
        row = self._rows[event.option_index]
        self.query_one("#message Static", Static).update(Content("\n\n").join(self._text(message) for message in row.messages[:3]))
        self.query_one("#message", VerticalScroll).scroll_home(animate=False)

    def _text(self, message: Message) -> Content:
        turn = self._turns.get(message.id)
        text = message_text(message)
        return text if turn is None else Content("\n").join([text, Content.styled(timing_line(turn), "$muted")])

    @on(OptionList.OptionSelected)
    def _take(self, event: OptionList.OptionSelected) -> None:
        row = self._rows[event.option_index]
        if row.folded:
            self._unfolded |= {row.message.id}
            self._fill(row.message.id)
        else:
            self.dismiss(row.message.id)

    def action_version(self, step: int) -> None:
        """Select the previous or next version."""
        here = self._list.highlighted
        place = sibling_row(self._rows, here, step) if here is not None else None
        if place is not None:
            self._list.highlighted = place
