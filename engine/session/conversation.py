"""The current conversation: its tree, the next question, and the prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from engine.chat.tree import ConversationTree
from engine.clock import wall_ms
from engine.errors import UsageError
from engine.messages import ChatMessage, ChatPrompt, Role
from engine.presets.preset import Preset
from engine.records import Message, MessageStatus, new_message_id

ANSWER_RESERVE = 512
"""Tokens of the window reserved for an answer without `max_tokens`; turns that need them are left out of the prompt."""


@dataclass(frozen=True, slots=True)
class Question:
    """A message to be answered: a new one, or one of the tree."""

    user: Message
    cut: Message | None = None
    """The answer to continue; None for a new one."""


class Conversation:
    """The tree of the current conversation, and its next question. Lives on the event loop's thread."""

    def __init__(self, tree: ConversationTree | None = None) -> None:
        self.tree = tree or ConversationTree()
        self.first_kept = 0
        """`PromptFacts.first_kept` of the turn before: messages once left out stay out."""

    # Questions; each raises UsageError

    def new_message(self, text: str) -> Question:
        """Make the question of a new message at the end of the branch."""
        head = self.tree.head
        return self._message(text, head.id if head else None)

    def regenerate(self) -> Question:
        """Make the question of the last message again."""
        user = next((message for message in reversed(self.tree.branch()) if message.role is Role.USER), None)
        if user is None:
            raise UsageError("There is no message to regenerate an answer for", "", "Send one first.")
        return Question(user)

    def edit(self, message_id: int, text: str) -> Question:
        """Make the question of a new text in place of an earlier message."""
        old = self.tree.get(message_id)
        if old.role is not Role.USER:
            raise UsageError("Only your own messages can be edited", "", "Select one of them, or regenerate the answer.")
        return self._message(text, old.parent_id)

    def continue_answer(self) -> Question:
        """Make the question that continues the last answer where it was cut."""
        cut = next(iter(reversed(self.tree.branch())), None)
        if cut is None or cut.role is not Role.ASSISTANT or cut.parent_id is None or cut.status is MessageStatus.COMPLETE:
            raise UsageError(
                "There is no partial answer to continue", "", "Only an answer that was stopped or reached its limit can be continued."
            )
        return Question(self.tree.get(cut.parent_id), cut)

    def _message(self, text: str, parent_id: int | None) -> Question:
        if not text.strip():
            raise UsageError("The message is empty", "", "Type something first.")
        return Question(Message(new_message_id(self.tree.newest_id), parent_id, Role.USER, text, created_ms=wall_ms()))

    # Turns

    def begin(self, question: Question, newest: int = 0) -> Message:
        """Make the question the head of the branch; return its answer, with the text so far when it is continued.

        `newest` is the greatest id of the answers under way.
        """
        user = question.user
        if user.id not in self.tree:
            self.tree.add(user)
        self.tree.set_head(user.id)
        answer = Message(new_message_id(max(newest, self.tree.newest_id or 0)), user.id, Role.ASSISTANT, "", created_ms=wall_ms())
        return answer if question.cut is None else replace(question.cut, id=answer.id, created_ms=answer.created_ms)

    def prompt(self, question: Question, preset: Preset) -> ChatPrompt:
        """Make the prompt for the engine: the branch, after the preset's system prompt unless it has its own."""
        branch: Sequence[Message] = self.tree.branch()
        if question.cut is not None:
            branch = (*branch, question.cut)
        messages = tuple(message.for_engine for message in branch)
        if preset.system and branch[0].role is not Role.SYSTEM:
            messages = (ChatMessage(Role.SYSTEM, preset.system), *messages)
        return ChatPrompt(
            messages,
            thinking=preset.thinking,
            began_ms=next((message.created_ms for message in branch if message.role is not Role.SYSTEM), 0),
            reserve=preset.max_tokens or ANSWER_RESERVE,
            first_kept=self.first_kept,
            continue_answer=question.cut is not None,
        )

    # Branches

    def siblings(self, message_id: int) -> tuple[int, int]:
        """Return the index (from 0) of a message among its versions, and their number."""
        versions, index = self.tree.siblings(message_id)
        return index, len(versions)

    def show(self, message_id: int) -> bool:
        """Show the newest branch with a message; False when it is shown already, or unknown."""
        if message_id not in self.tree or any(message.id == message_id for message in self.tree.branch()):
            return False
        self.tree.switch(message_id)
        self.first_kept = 0
        return True

    def step(self, message_id: int, step: int) -> bool:
        """Show the previous (-1) or next (+1) version of a message with its continuation; False at the ends."""
        versions, index = self.tree.siblings(message_id)
        return 0 <= index + step < len(versions) and self.show(versions[index + step].id)
