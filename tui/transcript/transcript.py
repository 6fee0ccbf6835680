"""The conversation: a virtualised view over cached blocks, whose cost does not grow with its length.

Rows out of view are only estimated; when they come into view, the estimate and the scroll position are corrected, so that the visible rows
stay in place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import events
from textual.binding import BindingType
from textual.message import Message as TextualMessage

from engine.messages import Role
from engine.records import Message
from tui.actions.bindings import bindings_for, keymap_of
from tui.actions.registry import Scope
from tui.transcript.blocks import Block, Kind
from tui.transcript.messages import Entry
from tui.transcript.view import TranscriptView


@dataclass(frozen=True, slots=True)
class Extras:
    """Notes shown with a message."""

    label: str | None = None
    """The model that answered, where known."""
    aside: str = ""
    """Text beside the label: its position among its siblings."""
    note: str = ""
    """Text below: timings."""
    failure: str = ""
    """Text below: why it failed or ended early."""
    switch: str = ""
    """Text below: the settings switched before the next message."""


NO_EXTRAS = Extras()


class Transcript(TranscriptView):
    """Shows messages and the streaming answer. Follows the end until the user scrolls up."""

    HELP = """\
## The conversation

Scroll with {page_up} and {page_down} or the wheel. While you read further up, new text does not move the view; {to_end} jumps to the
end and follows it again. {select_previous} and {select_next} select a message to copy, to edit, or to see its branches with
{previous_sibling} and {next_sibling}.

Drag with the mouse to select text. Shift and drag uses the terminal's own selection.
"""
    BINDING_GROUP_TITLE = "Conversation"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings_for(Scope.TRANSCRIPT, leave_out={"take_welcome"})]

    @dataclass
    class MessageChosen(TextualMessage):
        """A message was selected with the keyboard, or deselected."""

        message_id: int | None

    @dataclass
    class SiblingRequested(TextualMessage):
        """The user asks for another version of a message."""

        message_id: int
        step: int

    @dataclass
    class WelcomeChosen(TextualMessage):
        """A line of an empty conversation was chosen by its number."""

        number: int

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._unfolded = False

    def on_key(self, event: events.Key) -> None:
        """Choose a line of an empty conversation by its number."""
        keys = keymap_of(self.app).keys["take_welcome"]
        if self.welcomes and event.key in keys:
            event.stop()
            self.post_message(self.WelcomeChosen(keys.index(event.key) + 1))

    def on_click(self, event: events.Click) -> None:
        """Choose the line of an empty conversation under the mouse."""
        if (number := self.welcome_choice(event.y)) is not None:
            self.post_message(self.WelcomeChosen(number))

    def action_sibling(self, step: int) -> None:
        """Request the previous (-1) or next (1) version of the selected message."""
        if (chosen := self.chosen_id) is not None:
            self.post_message(self.SiblingRequested(chosen, step))

    # Contents

    def show(self, messages: Sequence[Message], extras: Mapping[int, Extras]) -> None:
        """Show a conversation or branch; messages in common with the previous one keep their rendering."""
        old = self._layout.entries
        common = 0
        for entry, message in zip(old, messages, strict=False):
            if entry.live or (entry.id, entry.text, entry.thinking) != (message.id, message.text, message.thinking):
                break
            common += 1
        self._layout.cut(common)
        for index, message in enumerate(messages):
            extra = extras.get(message.id, NO_EXTRAS)
            if index >= common:
                self._add(Entry.of(message, label=extra.label))
            self._decorate(index, extra)
        if self._chosen is not None and self._chosen >= common:
            self.choose(None)
        if common < len(messages) or common < len(old):
            self._set_following(True)
        self._arrange()

    def begin_answer(self, answer_id: int, *, label: str | None = None) -> None:
        """Add an empty answer at the end."""
        self._add(Entry.streaming(answer_id, label=label))
        self._arrange()

    def grow(self, answer_id: int, text: str, thinking: str, *, in_thinking: bool, anew: bool = False) -> None:
        """Append to an answer; `anew` replaces its text."""
        index = self._index(answer_id)
        if index is None:
            return
        if anew:
            self._layout.entries[index].begin_anew()
        self._layout.entries[index].grow(text, thinking, in_thinking=in_thinking)
        self._layout.pages.touch(index)
        if not self._following and not self._unseen:
            self._unseen = True
            self.post_message(self.FollowChanged(False, True))
        self._arrange()

    def finish(self, message: Message, extras: Extras) -> None:
        """Replace a streamed answer by the finished message."""
        index = self._index(message.id)
        if index is None:
            return
        self._layout.entries[index].finish(message)
        self._decorate(index, extras)
        self._arrange(settle=True)

    def decorate(self, extras: Mapping[int, Extras]) -> None:
        """Change the notes of messages."""
        for index, entry in enumerate(self._layout.entries):
            if entry.id in extras:
                self._decorate(index, extras[entry.id])
        self._arrange()

    def fold_thinking(self) -> bool:
        """Toggle folding of all thinking; returns whether it is unfolded now."""
        self._unfolded = not self._unfolded
        for index, entry in enumerate(self._layout.entries):
            entry.fold(unfolded=self._unfolded)
            self._layout.pages.touch(index)
        self._arrange()
        return self._unfolded

    # Selecting messages

    @property
    def chosen_id(self) -> int | None:
        """The message selected with the keyboard."""
        return None if self._chosen is None else self._layout.entries[self._chosen].id

    def choose(self, index: int | None) -> None:
        """Select a message by its index, or none, and scroll to it."""
        if index == self._chosen:
            return
        self._chosen = index
        self.post_message(self.MessageChosen(self.chosen_id))
        if index is not None:
            self._bring_into_view(index)
        self._repaint()

    def choose_step(self, step: int) -> None:
        """Select the message above (-1) or below (+1); below the last one, none."""
        count = len(self._layout.entries)
        index = (count if self._chosen is None else self._chosen) + step
        if count and index >= 0:
            self.choose(index if index < count else None)

    # Entries

    def _index(self, message_id: int) -> int | None:
        entries = self._layout.entries
        return next((index for index in reversed(range(len(entries))) if entries[index].id == message_id), None)

    def _add(self, entry: Entry) -> None:
        entry.fold(unfolded=self._unfolded)
        self._layout.pages.append(entry)

    def _decorate(self, index: int, extras: Extras) -> None:
        entry = self._layout.entries[index]
        label = extras.label if extras.label and entry.role is Role.ASSISTANT else entry.label.source
        if (label, extras.aside) != (entry.label.source, entry.label.aside):
            entry.label.change(label, aside=extras.aside)
        notes = ((Kind.FAILURE, extras.failure), (Kind.NOTE, extras.note), (Kind.SWITCH, extras.switch))
        wanted = [(kind, text) for kind, text in notes if text]
        if wanted != [(block.kind, block.source) for block in entry.notes]:
            entry.notes = [Block(kind, text, gap=1) for kind, text in wanted]
        self._layout.pages.touch(index)
