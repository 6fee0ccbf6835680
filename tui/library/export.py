"""The export dialog: contents, format and file; then progress and result."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Button, Checkbox, Input, OptionList, ProgressBar, Static
from textual.worker import get_current_worker

from engine.errors import UsageError, XchatError
from engine.records import SessionInfo
from engine.store.errors import TargetExistsError
from engine.store.export.exporter import Export, Format, export_to_file
from engine.store.export.tables import Selection, What
from engine.text import drawable, one_line
from tui.dialogs.choice_list import ChoiceList
from tui.dialogs.dialog import Dialog

DOCUMENTS = (Format.MD, Format.HTML)
FORMATS = (*DOCUMENTS, *(form for form in Format if form.dialect is None and form not in DOCUMENTS), "llama-bench")
"""Formats by their names on the command line; the file's extension chooses llama-bench's dialect."""
CONTENTS = (What.CHAT, *(what for what in What if what is not What.CHAT))


@dataclass(frozen=True, slots=True)
class Order:
    """Format and file as typed, not checked yet."""

    format: str
    file: str = ""


class _CancelledError(Exception):
    """The user closed the dialog while the file was being written."""


class ExportScreen(Dialog[None]):
    """Asks for contents, format and file; writes the file on a thread."""

    HELP = """\
## Export

`chat` is the conversation, `turns` one row per turn, `samples` the machine over time, `tokens` one row per token, `events` the marks on
the time line. `md` and `html` make a document of the chat and a report of the rest; `llama-bench` has the fields of that tool. Messages,
titles and system prompts are left out of reports and rows unless you include them. The file is readable
by you only, and is written atomically.
"""
    DEFAULT_CSS = """
    ExportScreen {
        .lists { height: 8; }
        OptionList { width: 1fr; height: 100%; border: round $rule; background: $surface; padding: 0;
            border-title-color: $muted; &:focus { border: round $border; } }
        Checkbox { border: none; padding: 0; background: $surface; height: 1; width: 1fr; &:focus { border: none; } }
        Input { border: round $rule; height: 3; background: $surface; border-title-color: $muted; &:focus { border: round $border; } }
        .wrong { color: $error; height: auto; }
        .wrong.-none { display: none; }
        #done { height: auto; }
        #work, #done { display: none; }
        #work { height: auto; }
        &.-working #ask, &.-done #ask { display: none; }
        &.-working #work { display: block; }
        &.-done #done { display: block; }
        #ask { height: auto; }
        &.-short .lists { height: 6; }
        &.-short Input { height: 1; border: none; padding: 0; }
        &.-short .box { padding: 0 1; }
        .buttons { margin-top: 0; }
    }
    """

    def __init__(
        self,
        database: Path,
        info: SessionInfo,
        *,
        copy: Callable[[str], Awaitable[None]],
        order: Order | None = None,
        what: What = What.CHAT,
    ) -> None:
        """`what`: the initial contents. With a valid `order`, the file is written immediately."""
        super().__init__()
        self._database = database
        self._info = info
        self._copy = copy
        self._order = order
        self._first = what if order is None or order.format in DOCUMENTS else What.TURNS
        self._own_name = True
        """Whether the file name follows the choices; until the user edits it."""
        self._target: Path | None = None
        self._in_the_way: Path | None = None
        """An existing file that was refused; exporting to it again overwrites it."""
        self._choice: tuple[str, str] | None = None

    def compose(self) -> ComposeResult:
        """Lay out form, progress and result; one of them is shown."""
        with Vertical(classes="box question") as dialog:
            dialog.border_title = Content(f"Export session {self._info.id}, {one_line(self._info.title)}")
            with Vertical(id="ask"):
                with Horizontal(classes="lists"):
                    what, form = ChoiceList(*CONTENTS, id="what"), ChoiceList(*FORMATS, id="format")
                    what.border_title, form.border_title = "What", "Format"
                    yield what
                    yield form
                yield Checkbox("With titles, messages and system prompts", id="texts")
                file = Input(id="file", select_on_focus=False)
                file.border_title = "File"
                yield file
                yield Static("", classes="wrong -none", markup=False)
                with Horizontal(classes="buttons"):
                    yield Button("Cancel", id="cancel")
                    yield Button("Export", id="export", variant="primary")
            with Vertical(id="work"):
                yield Static("Writing", id="rows")
                yield ProgressBar(show_eta=False)
                with Horizontal(classes="buttons"):
                    yield Button("Cancel", id="stop")
            with Vertical(id="done"):
                yield Static("", id="where", classes="detail", markup=False)
                with Horizontal(classes="buttons"):
                    yield Button("Copy the path", id="copy")
                    yield Button("Close", id="close", variant="primary")

    def on_mount(self) -> None:
        """Select the first choice, or the order."""
        order = self._order
        form = order.format if order is not None and order.format in FORMATS else Format.MD if self._first is What.CHAT else Format.HTML
        self.query_one("#what", OptionList).highlighted = CONTENTS.index(self._first)
        self.query_one("#format", OptionList).highlighted = FORMATS.index(form)
        self._choice = self._chosen("what"), self._chosen("format")
        self._suggest()
        if order is not None and order.file:
            self._own_name = False
            self.query_one("#file", Input).value = order.file
        if order is None:
            self.query_one("#format").focus()
        elif order.format in FORMATS:
            self._begin()
        else:
            self._refuse(UsageError(f"There is no export format {order.format!r}", f"Known formats: {', '.join(FORMATS)}."))

    def on_resize(self, event: events.Resize) -> None:
        """Reduce spacing on a small screen."""
        self.set_class(event.size.height < 24, "-short")

    # Form

    def _chosen(self, which: str) -> str:
        choices = self.query_one(f"#{which}", OptionList)
        return str(choices.get_option_at_index(choices.highlighted or 0).prompt)

    def _export(self, target: Path | None) -> Export:
        what = What(self._chosen("what"))
        texts = self.query_one("#texts", Checkbox).value or what is What.CHAT
        return Export(what, Format.parse(self._chosen("format"), target), Selection((self._info.id,), texts=texts))

    def _suggest(self) -> None:
        """Suggest a file name."""
        if self._own_name:
            try:
                name = self._export(None).default_name()
            except UsageError as error:
                self._refuse(error)
                return
            with self.prevent(Input.Changed):
                self.query_one("#file", Input).value = str(Path.cwd() / name)
            self.query_one(".wrong").add_class("-none")

    @on(OptionList.OptionHighlighted)
    def _choice_moved(self) -> None:
        choice = self._chosen("what"), self._chosen("format")
        if choice != self._choice:
            self._choice = choice
            self._suggest()

    @on(OptionList.OptionSelected)
    def _choice_taken(self) -> None:
        self._begin()

    @on(Input.Changed)
    def _named(self) -> None:
        self._own_name = False

    @on(Input.Submitted)
    def _submitted(self) -> None:
        self._begin()

    def _refuse(self, error: XchatError) -> None:
        wrong = self.query_one(".wrong", Static)
        wrong.update(drawable(str(error)))
        wrong.remove_class("-none")
        self.remove_class("-working")
        self.query_one("#file").focus()

    @on(Button.Pressed)
    async def _pressed(self, event: Button.Pressed) -> None:
        if event.button.id == "export":
            self._begin()
        elif event.button.id == "copy" and self._target is not None:
            await self._copy(str(self._target))
            self.dismiss()
        else:
            self.action_close()

    # Writing

    def _begin(self) -> None:
        target = Path(self.query_one("#file", Input).value.strip() or ".").expanduser()
        try:
            export = self._export(target)
        except UsageError as error:
            self._refuse(error)
            return
        self.add_class("-working")
        self.query_one("#stop").focus()
        overwrite, self._in_the_way = target == self._in_the_way, None
        self.run_worker(lambda: self._write(export, target, overwrite), group="export", exclusive=True, thread=True)

    def _write(self, export: Export, target: Path, overwrite: bool) -> None:
        """Write the file, on a thread."""
        worker = get_current_worker()

        def progress(done: int, whole: int) -> None:
            if worker.is_cancelled:
                raise _CancelledError
            self.app.call_from_thread(self._advance, done, whole)

        try:
            written = export_to_file(self._database, export, target, overwrite=overwrite, progress=progress)
        except _CancelledError:
            return
        except TargetExistsError as error:
            self.app.call_from_thread(self._meet, target, error)
        except XchatError as error:
            self.app.call_from_thread(self._refuse, error)
        else:
            self.app.call_from_thread(self._finish, written)

    def _meet(self, target: Path, error: TargetExistsError) -> None:
        """Ask before overwriting an existing file."""
        self._refuse(UsageError(error.title, "", "Export again to overwrite it, or give another name."))
        self._in_the_way = target

    def _advance(self, done: int, whole: int) -> None:
        self.query_one("#rows", Static).update(f"Writing {done:,} of {whole:,} rows")
        self.query_one(ProgressBar).update(total=max(1, whole), progress=done if whole else 1)

    def _finish(self, target: Path) -> None:
        self._target = target
        self.query_one("#where", Static).update(f"Exported to {drawable(str(target))}")
        self.set_class(False, "-working")
        self.add_class("-done")
        self.query_one("#close").focus()

    def action_close(self) -> None:
        """Cancel a running export and close."""
        self.workers.cancel_group(self, "export")
        self.dismiss()
