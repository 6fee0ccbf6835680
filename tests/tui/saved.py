"""Saved conversations for the tests of what shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from engine.records import Message, TurnRecord
from engine.store.writer import Store
from tests.engine.store.records import answer, sample, turn, user


async def save_session(
    database: Path, *texts: str, title: str = "", at_ms: int = 1_000_000, answers: int = 1, **changes: object
) -> tuple[int, list[Message], list[TurnRecord]]:
    """A session of questions; each is answered `answers` times, the last answer is gone on with. `changes` are fields of its turns."""
    messages: list[Message] = []
    turns: list[TurnRecord] = []
    store = await Store.open(database)
    session_id = await store.create_session(title or texts[0], at_ms)
    parent: int | None = None
    for place, text in enumerate(texts):
        asked = user(text, parent, created_ms=at_ms + place)
        await store.save_message(session_id, asked)
        messages.append(asked)
        for number in range(answers):
            said = replace(answer(f"Answer {number} to {text}", asked.id, created_ms=at_ms + place))
            record = replace(turn(session_id, said, asked=asked), **changes)  # type: ignore[arg-type]
            await store.save_turn(record, said)
            messages.append(said)
            turns.append(record)
        parent = messages[-1].id
    store.put_sample(sample(session_id, at_ms))
    await store.close()
    return session_id, messages, turns


async def save_turns(database: Path, title: str, records: Sequence[TurnRecord]) -> int:
    """A session of turns that are given; each becomes the answer to a question of its own."""
    store = await Store.open(database)
    session_id = await store.create_session(title, 1_000_000)
    for record in records:
        asked = user("Go on")
        said = answer("Done", asked.id)
        await store.save_message(session_id, asked)
        await store.save_turn(replace(record, id=said.id, session_id=session_id, user_message_id=asked.id), said)
    await store.close()
    return session_id
