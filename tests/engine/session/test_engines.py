"""A running session changes to another engine: the reference of the model decides which one."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import pytest

from engine.backend import Backend, BackendEvent, EngineInfo
from engine.errors import EngineError, ModelError
from engine.events import ModelFailed, ModelReady
from engine.model_ref import ModelRef, RemoteModel
from engine.presets.preset import Preset
from engine.session.engines import ENGINES
from tests.echo_backend import PARROT, EchoBackend
from tests.engine.session.watched import MODEL, Watched
from tests.fake_backend import ENGINE_DIED, FakeBackend

UNCONFIGURED = ENGINES[RemoteModel]


class Refusing(EchoBackend):
    """An engine that loads nothing."""

    def load(self, ref: ModelRef, preset: Preset, on_event: Callable[[BackendEvent], None], *, force: bool = False) -> Future[EngineInfo]:
        future: Future[EngineInfo] = Future()
        future.set_exception(ModelError("There is no such model"))
        return future


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Backend]:
    """The engines that were made for a change."""
    made: list[Backend] = []

    def maker(kind: Callable[[], Backend]) -> Callable[[int], Backend]:
        def make(_parallel: int) -> Backend:
            made.append(kind())
            return made[-1]

        return make

    monkeypatch.setitem(ENGINES, RemoteModel, maker(EchoBackend))
    monkeypatch.setitem(ENGINES, Path, maker(FakeBackend))
    return made


async def ask(watched: Watched, text: str) -> str:
    return (await watched.answered(watched.session.send(text))).answer.text


async def test_the_conversation_goes_on_with_the_other_engine_and_back(watched: Watched, made: list[Backend]) -> None:
    session = watched.session
    assert await ask(watched, "Hi") == "Hello there."
    session.switching.use_model(PARROT)
    await session.switching.settled()
    assert (session.engine and session.engine.model.ref, session.slot.capabilities.threads, session.threads_now) == (PARROT, False, None)
    assert await ask(watched, "And you?") == "3 messages, the last one says: And you? "
    assert not watched.backend._thread.is_alive(), "the engine before is closed"
    session.switching.back()
    await session.switching.settled()
    assert (session.engine and session.engine.model.ref, session.slot.capabilities.threads) == (MODEL, True)
    assert await ask(watched, "Back") == "Hello there."
    assert [type(backend) for backend in made] == [EchoBackend, FakeBackend]


async def test_a_preset_that_names_the_model_changes_the_engine(watched: Watched, made: list[Backend]) -> None:
    watched.session.switching.use(Preset(name="far", model=str(PARROT)))
    await watched.session.switching.settled()
    assert await ask(watched, "Hi") == "1 messages, the last one says: Hi "


async def test_an_engine_that_fails_to_load_leaves_the_one_before(
    watched: Watched, made: list[Backend], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ENGINES, RemoteModel, lambda _parallel: Refusing())
    with pytest.raises(ModelError, match="no such model"):
        await watched.session.load(PARROT)
    monkeypatch.setitem(ENGINES, RemoteModel, UNCONFIGURED)
    with pytest.raises(ModelError, match="no engine 'echo'"):
        await watched.session.load(PARROT)
    assert [event.engine for event in watched.of(ModelFailed) if isinstance(event, ModelFailed)] == [watched.session.engine] * 2
    assert await ask(watched, "Hi") == "Hello there."


async def test_a_dead_engine_can_be_left_but_not_be_made_again(watched: Watched, made: list[Backend]) -> None:
    watched.backend.dead = ENGINE_DIED
    await watched.session.load(PARROT)
    assert await ask(watched, "Hi") == "1 messages, the last one says: Hi "
    with pytest.raises(EngineError, match="died"):
        await watched.session.load(MODEL)
    assert len(watched.of(ModelReady)) == 1
    assert await ask(watched, "Still") == "3 messages, the last one says: Still "
    assert [type(backend) for backend in made] == [EchoBackend]
