"""The prompt: multi-line input with history; pastes are never sent automatically."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from textual import events
from textual.binding import BindingType
from textual.message import Message
from textual.timer import Timer
from textual.widgets import TextArea

from engine.text import visible
from tui.actions.bindings import bindings_for
from tui.actions.registry import BY_ID, Scope
from tui.prompt.enter_rule import WAIT_S, EnterRule, Verdict
from tui.prompt.history import PromptHistory
from tui.prompt.suggestions import Suggestions
from tui.terminal.driver import Burst

LONGEST_LINE = 10_000
"""Longest line that is edited, in characters; longer ones are shown as a placeholder, since wrapping them per key is slow."""


PLACEHOLDER = "Message, / for commands, @ for files"

_TYPED_MENTION = re.compile(r'(?:^|\s)(@(?:"[^"]*|[^\s"]*))\Z')
"""An `@` that begins a word, and the path after it up to the end."""


def as_input(text: str) -> str:
    """Normalize pasted text: line ends become newlines, control characters visible symbols."""
    return visible(text.replace("\r\n", "\n").replace("\r", "\n"))


class Prompt(TextArea):
    """The message being written. Keeps its text until `sent` is called."""

    HELP = """\
## The message

{send} sends, {newline} starts a new line. {history_back} on the first line shows older messages, {history_forward} on the last
line newer ones.

A pasted text of any length is inserted unchanged, and not sent before you press {send}. A line of more than 10,000
characters is shown as `[line of … characters]`, and sent in full if you leave those words unchanged.

{undo} undoes, {redo} redoes; {word_left} and {word_right} move by words, {delete_word} deletes one, {clear_prompt} clears all.
{open_editor} opens your editor (`$VISUAL` or `$EDITOR`); {search_history} searches what you sent. What is not sent yet is kept for each
session, also when xchat ends.

Shift+Tab goes to the instrument panel, whose keys are then shown in the last line, and Tab to the conversation; {stop} comes back.
{toggle_panel} shows and hides the panel.

`@` and a path attach a file, a folder or a pattern such as `@src/**/*.py` (in quotes where it has blanks). Files that `.gitignore` leaves
out of a folder are left out. The frame of the prompt shows their tokens while you type.

A line that begins with `/` is a command, such as `/theme light`: the commands that fit are listed above, {history_back} and
{history_forward} select one, {complete} completes it and its argument. Begin with `//` to send a slash.
"""
    BINDING_GROUP_TITLE = "Message"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings_for(Scope.PROMPT, leave_out={"send"})]
    DEFAULT_CSS = """
    Prompt {
        height: auto;
        min-width: 12;
        min-height: 3;
        max-height: 12;
        padding: 0 1;
        border: round $border-blurred;
        background: $background;
        scrollbar-size-vertical: 1;
        border-title-color: $muted;
        border-subtitle-color: $muted;
        &:focus { border: round $border; }
        .text-area--placeholder { color: $faint; }
        .text-area--cursor-line { background: transparent; }
        &:ansi .text-area--placeholder { text-style: dim; }
    }
    """

    @dataclass
    class Submitted(Message):
        """The user sends this text."""

        text: str

    @dataclass
    class CompletionRequested(Message):
        """The user asks to complete the typed command."""

    def __init__(self, *, history: Path | None = None, remembers: bool = True, id: str | None = None) -> None:
        """`history`: the file of sent messages; `remembers`: whether new ones are added to it."""
        super().__init__(id=id, soft_wrap=True, show_line_numbers=False, highlight_cursor_line=False, placeholder=PLACEHOLDER)
        self.cursor_blink = False  # each blink costs bytes, and stutters over SSH
        self.send_keys: frozenset[str] = frozenset(BY_ID["send"].keys)
        self._history = PromptHistory(history, written=remembers)
        self.suggestions: Suggestions | None = None
        """The list above the prompt; the arrow keys move its selection while it is shown."""
        self._rule = EnterRule()
        self._waiting: Timer | None = None
        self._submitted = ""
        """The text submitted last."""
        self._placeholders: dict[str, str] = {}
        """Lines too long for editing, by their placeholder."""

    def on_unmount(self) -> None:
        """Wait until the history is written."""
        self._history.close()

    @property
    def whole(self) -> str:
        """The message as sent, with placeholders replaced by their lines."""
        return self._unfolded(self.text)

    def sent(self) -> None:
        """Add the submitted text to the history, and remove it from the prompt."""
        taken = self._submitted if self._submitted and self.text.startswith(self._submitted) else self.text
        since = self.text.removeprefix(taken)
        self._submitted = ""
        self._history.add(self._unfolded(taken))
        self.start(since)

    def read_history(self) -> None:
        """Reload the history after a conversation may have been deleted."""
        self._history.read_again()

    def put(self, text: str) -> None:
        """Replace the text and move the cursor to its end; undo restores the former text."""
        self.history.checkpoint()
        self.replace(self._folded(text), (0, 0), self.document.end, maintain_selection_offset=False)
        self.history.checkpoint()
        self.move_cursor(self.document.end)

    def start(self, text: str) -> None:
        """Set the text and clear the undo history."""
        self.load_text(self._folded(text))
        self.move_cursor(self.document.end)

    @property
    def typed_mention(self) -> int | None:
        """Return the position of the `@` of a path being typed at the end of the text; None without one."""
        if not self.cursor_at_end_of_text:
            return None
        line = self.document.get_line(self.document.line_count - 1)
        match = _TYPED_MENTION.search(line)
        return len(self.text) - len(line) + match.start(1) if match is not None else None

    def sent_before(self) -> list[str]:
        """Return sent messages, newest first; waits until the history is read."""
        return self._history.newest_first()

    def _folded(self, text: str) -> str:
        if len(text) <= LONGEST_LINE:
            return text
        return "\n".join(line if len(line) <= LONGEST_LINE else self._put_aside(line) for line in text.split("\n"))

    def _unfolded(self, text: str) -> str:
        for words, line in self._placeholders.items():
            text = text.replace(words, line)
        return text

    def _put_aside(self, line: str) -> str:
        line = self._unfolded(line)
        words = f"[line of {len(line):,} characters, {len(self._placeholders) + 1}]"
        self._placeholders[words] = line
        return words

    def _fold_line_at_cursor(self) -> None:
        row = self.cursor_location[0]
        line = self.document.get_line(row)
        if len(line) > LONGEST_LINE:
            self._replace_via_keyboard(self._put_aside(line), (row, 0), (row, len(line)))

    async def _on_key(self, event: events.Key) -> None:
        self._more_follows()
        if event.key not in self.send_keys:
            self._rule.key(event.time)
            if event.is_printable and event.character and (shown := visible(event.character)) != event.character:
                event.prevent_default()
                event.stop()
                self.insert(shown)
                return
            await super()._on_key(event)
            return
        event.prevent_default()
        event.stop()
        verdict = self._rule.enter(event.time)
        if verdict is Verdict.NEWLINE:
            self.insert("\n")
        elif verdict is Verdict.SEND:
            self.action_send()
        else:
            self._waiting = self.set_timer(WAIT_S, self._nothing_followed)

    async def _on_paste(self, event: events.Paste) -> None:
        event.prevent_default()
        event.stop()
        self._more_follows()
        if isinstance(event, Burst):
            self._rule.burst(event.text, event.time)
        else:
            self._rule.bracketed()
        from engine.attachments.attach import dropped  # with what reads files: the first frame need not wait for it

        if text := self._folded(dropped(event.text) or as_input(event.text)):
            self._replace_via_keyboard(text, *self.selection)
            self._fold_line_at_cursor()
            # Textual 8 scrolls to the cursor before it knows the prompt's height with the new text.
            self.call_after_refresh(self.scroll_cursor_visible)

    def _more_follows(self) -> None:
        """Insert a newline for a waiting Enter, since more input followed."""
        if self._waiting is not None:
            self._waiting.stop()
            self._waiting = None
            self._rule.was_newline()
            self.insert("\n")

    def _nothing_followed(self) -> None:
        self._waiting = None
        self.action_send()

    def action_complete(self) -> None:
        """Complete a command or the path after `@`; in any other text move the focus to the next widget."""
        if (self.text.startswith("/") and self.document.line_count == 1) or self.typed_mention is not None:
            self.post_message(self.CompletionRequested())
        else:
            self.screen.focus_next()

    def action_send(self) -> None:
        """Submit the text, unless it is blank; inserts a selected suggestion first."""
        if (list_shown := self._suggesting) is not None and list_shown.moved:
            self.post_message(self.CompletionRequested())
        elif self.text.strip():
            self._submitted = self.text
            self.post_message(self.Submitted(self.whole))

    def action_newline(self) -> None:
        """Start a new line."""
        self.insert("\n")

    def action_clear_prompt(self) -> None:
        """Remove the whole text; undo restores it."""
        self.put("")

    @property
    def _suggesting(self) -> Suggestions | None:
        """Return the list of suggestions while it is shown."""
        return self.suggestions if self.suggestions is not None and self.suggestions.display else None

    def action_history_back(self) -> None:
        """Move up a line, or from the first line to the previous message; or in the list of suggestions."""
        if (list_shown := self._suggesting) is not None:
            list_shown.move(-1)
        elif not self.navigator.is_first_wrapped_line(self.cursor_location):
            self.action_cursor_up()
        elif (text := self._history.back(self.whole)) is not None:
            self.put(text)

    def action_history_forward(self) -> None:
        """Move down a line, or from the last line to the next message; or in the list of suggestions."""
        if (list_shown := self._suggesting) is not None:
            list_shown.move(1)
        elif not self.navigator.is_last_wrapped_line(self.cursor_location):
            self.action_cursor_down()
        elif (text := self._history.forward()) is not None:
            self.put(text)
