"""The conversation: one virtualised view over cached blocks, so that its cost does not grow with its length.

What is out of sight is neither laid out nor rendered, only estimated; the estimate is corrected when a line of it comes into view,
and the view is moved along so that nothing on the screen jumps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.binding import BindingType
from textual.message import Message as TextualMessage

from engine.messages import Role
from engine.records import Message
from tui.actions.bindings import bindings_for
from tui.actions.registry import Scope
from tui.transcript.blocks import Block, Kind
from tui.transcript.messages import Entry
from tui.transcript.view import TranscriptView


@dataclass(frozen=True, slots=True)
class Extras:
    """What is shown of a message beside its text."""

    label: str | None = None
    """Who answered, when that is known."""
    aside: str = ""
    """Beside the label: which of its siblings it is."""
    note: str = ""
    """Below it, in small print: timings."""
    failure: str = ""
    """Below it: why it failed or ended early."""


NO_EXTRAS = Extras()


class Transcript(TranscriptView):
    """Shows messages and the answer that grows. Follows its end until the person scrolls up."""

    HELP = """\
## The conversation

Scroll with {page_up} and {page_down} or the wheel. While you read further up, new text does not move the view; {to_end} jumps to the
end and follows it again. {select_previous} and {select_next} select a message to copy, to edit, or to see its branches with
{previous_sibling} and {next_sibling}.

Drag with the mouse to select text. Shift and drag selects with the terminal's own means.
"""
    BINDING_GROUP_TITLE = "Conversation"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings_for(Scope.TRANSCRIPT)]

    @dataclass
    class MessageChosen(TextualMessage):
        """A message was picked with the keyboard, or none is any more."""

        message_id: int | None

    @dataclass
    class SiblingRequested(TextualMessage):
        """Another version of a message is to be shown."""

        message_id: int
        step: int

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._unfolded = False

    def action_previous_sibling(self) -> None:
        """Ask for the version before the picked message."""
        self._ask_sibling(-1)

    def action_next_sibling(self) -> None:
        """Ask for the version after the picked message."""
        self._ask_sibling(1)

    def _ask_sibling(self, step: int) -> None:
        if (chosen := self.chosen_id) is not None:
            self.post_message(self.SiblingRequested(chosen, step))

    # What is shown

    def show(self, messages: Sequence[Message], extras: Mapping[int, Extras]) -> None:
        """Show another conversation or branch; what it has in common with the one before keeps its place and rendering."""
        old = self._layout.entries
        common = 0
        for entry, message in zip(old, messages, strict=False):
            if entry.live or (entry.id, entry.text, entry.thinking) != (message.id, message.text, message.thinking):
                break
            common += 1
        self._layout.pages.cut(common)
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
        """An answer is about to grow at the end."""
        self._add(Entry.streaming(answer_id, label=label))
        self._arrange()

    def grow(self, answer_id: int, text: str, thinking: str, *, in_thinking: bool, anew: bool = False) -> None:
        """More of the answer arrived; `anew` when this is all of it, and what was shown before was taken for something else."""
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
        """The answer is whole: its text is taken over as it is, whatever was shown of it before."""
        index = self._index(message.id)
        if index is None:
            return
        self._layout.entries[index].finish(message)
        self._decorate(index, extras)
        self._arrange(settle=True)

    def decorate(self, extras: Mapping[int, Extras]) -> None:
        """Change what stands beside and below messages that are shown."""
        for index, entry in enumerate(self._layout.entries):
            if entry.id in extras:
                self._decorate(index, extras[entry.id])
        self._arrange()

    def fold_thinking(self) -> bool:
        """Unfold all thinking, or fold it again; returns whether it is unfolded now."""
        self._unfolded = not self._unfolded
        for index, entry in enumerate(self._layout.entries):
            entry.fold(unfolded=self._unfolded)
            self._layout.pages.touch(index)
        self._arrange()
        return self._unfolded

    # Picking messages

    @property
    def chosen_id(self) -> int | None:
        """The message that was picked with the keyboard."""
        return None if self._chosen is None else self._layout.entries[self._chosen].id

    def choose(self, index: int | None) -> None:
        """Pick a message by its place, or none, and bring it into view."""
        if index == self._chosen:
            return
        self._chosen = index
        self.post_message(self.MessageChosen(self.chosen_id))
        if index is not None:
            self._bring_into_view(index)
        self._repaint()

    def choose_step(self, step: int) -> None:
        """Pick the message above (-1) or below (+1); below the last one, none is picked."""
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
        wanted = [(kind, text) for kind, text in ((Kind.FAILURE, extras.failure), (Kind.NOTE, extras.note)) if text]
        if wanted != [(block.kind, block.source) for block in entry.notes]:
            entry.notes = [Block(kind, text, gap=1) for kind, text in wanted]
        self._layout.pages.touch(index)
