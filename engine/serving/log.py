"""Logs each answer as a turn, in one session per run of the server; texts only on request."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from engine.clock import wall_ms
from engine.records import Message, TurnRecord
from engine.serving.answers import Answer, Answers
from engine.session.journal import Journal

if TYPE_CHECKING:
    from engine.store.writer import Store


class RequestLog:
    """The log of one server. On the event loop."""

    def __init__(self, journal: Journal, *, texts: bool) -> None:
        self._journal = journal
        self._texts = texts

    def finished(self, answers: Answers, answer: Answer, record: TurnRecord) -> None:
        """Log an ended answer; before the first one to a message, also the message."""
        if self._journal.session is None:
            self._journal.begin(f"xchat serve {answer.turn.engine.model.name}".strip(), wall_ms())
        if not answers.logged:
            answers.logged = True
            asked = answers.asked if self._texts else replace(answers.asked, text="")
            self._journal.write(partial(_save_message, message=asked), asked)
        final = answer.turn.final(answer.finished)
        if not self._texts:
            final = replace(final, text="", thinking="", tokens=None)
        elif answers.question.plain:
            final = replace(final, text=answer.text)
        self._journal.write(partial(_save_turn, record=record, answer=final), final, record)


async def _save_message(store: Store, session_id: int, message: Message) -> None:
    await store.save_message(session_id, message)


async def _save_turn(store: Store, session_id: int, record: TurnRecord, answer: Message) -> None:
    await store.save_turn(replace(record, session_id=session_id), answer)
