"""What a session keeps of the engine's state, when, and that it never outlives its conversation."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.config import Config
from engine.kv_state import HeldState, StateKey
from engine.models.kv_files import KvFolder
from engine.presets.preset import Preset
from engine.session.kv_states import DISK_BYTES_PER_S, LEAST_TOKENS, LONGEST_WRITE_S, session_of
from engine.session.open import open_session
from engine.session.session import Session
from tests.fake_backend import FakeBackend

MODEL = Path("/models/fake-Q4_K_M.gguf")
KEY = StateKey("fake", "f16 f16 on 1", "fake")
HELD = HeldState(KEY, tuple(range(1000)), memoryview(bytes(5000)))
SLOW = 10.0
"""Tokens per second at which nobody wants to prefill twice."""


async def opened(*, log: bool = True, prefill_per_s: float | None = SLOW, held: HeldState | None = HELD) -> tuple[Session, FakeBackend]:
    backend = FakeBackend()
    backend.held = held
    session = await open_session(Preset(), Config(), backend=backend, log=log)
    await session.load(MODEL)
    if prefill_per_s is not None:
        session.switching._prices.record_prefill(str(MODEL), prefill_per_s)
    return session, backend


async def talked(session: Session) -> int | None:
    session.send("Hi")
    await session.wait_idle()
    await session.library.logged()
    return session.session_id


async def test_a_resumed_conversation_is_given_its_state_before_it_goes_on() -> None:
    first, _ = await opened()
    session_id = await talked(first)
    assert session_id is not None
    await first.close(keep_state=True)

    second, backend = await opened()
    await second.resume(session_id)
    (given,) = backend.given
    assert (given.key, given.tokens, bytes(given.state)) == (KEY, HELD.tokens, bytes(5000))
    assert second._states.held == 1000
    await second.close()


async def test_a_conversation_resumed_before_the_model_is_there_gets_its_state_with_the_model() -> None:
    first, _ = await opened()
    session_id = await talked(first)
    assert session_id is not None
    await first.close(keep_state=True)
    backend = FakeBackend()
    second = await open_session(Preset(), Config(), backend=backend)
    await second.resume(session_id)
    assert backend.given == []
    await second.load(MODEL)
    assert len(backend.given) == 1
    await second.close()


@pytest.mark.parametrize(
    ("prefill_per_s", "held"),
    [
        (None, HELD),
        (1e9, HELD),
        (SLOW, None),
        (SLOW, HeldState(KEY, tuple(range(LEAST_TOKENS - 1)), HELD.state)),
        (1000.0, HeldState(KEY, HELD.tokens, memoryview(bytes(int(0.6 * DISK_BYTES_PER_S))))),
    ],
    ids=["unknown speed", "prefill is quick", "nothing held", "short", "reading it would take longer"],
)
async def test_what_does_not_pay_is_not_kept(prefill_per_s: float | None, held: HeldState | None) -> None:
    session, _ = await opened(prefill_per_s=prefill_per_s, held=held)
    await talked(session)
    await session.close(keep_state=True)
    assert KvFolder().names() == ()


async def test_a_state_that_would_take_too_long_to_write_is_not_asked_for() -> None:
    session, backend = await opened()
    await talked(session)
    await session.close(keep_state=True)
    assert 0 < backend.most_bytes <= LONGEST_WRITE_S * DISK_BYTES_PER_S


async def test_an_unlogged_conversation_leaves_nothing_on_the_disk() -> None:
    session, _ = await opened(log=False)
    await talked(session)
    await session.close(keep_state=True)
    assert KvFolder().names() == ()


async def test_closing_in_a_hurry_keeps_nothing() -> None:
    session, _ = await opened()
    await talked(session)
    await session.close()
    assert KvFolder().names() == ()


async def test_leaving_a_conversation_and_changing_the_model_keep_the_state_of_each_conversation() -> None:
    session, _ = await opened()
    first = await talked(session)
    session.new_session()
    second = await talked(session)
    await session.load(Path("/models/other.gguf"))
    await session._states.written()
    assert {session_of(name) for name in KvFolder().names()} == {first, second}
    await session.close()


async def test_a_conversation_without_a_turn_on_this_engine_keeps_nothing() -> None:
    session, _ = await opened()
    first = await talked(session)
    assert first is not None
    session.new_session()
    await session._states.written()
    for name in KvFolder().names():
        KvFolder().delete(name)
    await session.resume(first)
    await session.close(keep_state=True)
    assert KvFolder().names() == (), "the engine may hold another conversation"


async def test_a_deleted_conversation_takes_its_state_along() -> None:
    session, _ = await opened()
    first = await talked(session)
    assert first is not None
    session.new_session()
    await session._states.written()
    assert len(KvFolder().names()) == 1
    await session.library.delete(first)
    assert KvFolder().names() == ()
    await session.close()


async def test_states_of_conversations_deleted_elsewhere_go_at_the_next_end() -> None:
    KvFolder().save("4711-00000000", KEY, HELD.tokens, HELD.state)
    session, _ = await opened()
    kept = await talked(session)
    await session.close(keep_state=True)
    assert [session_of(name) for name in KvFolder().names()] == [kept]
