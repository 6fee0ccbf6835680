"""Switching on real models: the conversation stays, the answer afterwards is the one of a fresh prefill, and a failure changes nothing."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from pathlib import Path

import msgspec
import pytest

from engine.backend import EngineInfo
from engine.errors import EngineError
from engine.events import Event, ModelFailed, TurnFinished
from engine.host.topology import Room
from engine.llama.backend import LlamaBackend
from engine.llama.vocab import LlamaVocabulary
from engine.models.fit import TooLargeError
from engine.presets.preset import Preset, Sampling
from engine.session.session import Session
from tests.engine.llama.driver import PATIENCE_S, Driver, text_prompt

pytestmark = pytest.mark.slow

TALK = Preset(n_ctx=1024, threads=1, threads_batch=1, max_tokens=12, sampling=Sampling(temperature=0.0))


class Talk:
    """A session on the one backend of the tests."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.turns: list[TurnFinished] = []
        self.failures: list[ModelFailed] = []
        session.subscribe(self._take)

    def _take(self, event: Event) -> None:
        if isinstance(event, TurnFinished):
            self.turns.append(event)
        elif isinstance(event, ModelFailed):
            self.failures.append(event)

    async def ask(self, text: str) -> TurnFinished:
        self.session.send(text)
        await asyncio.wait_for(self.session.wait_idle(), PATIENCE_S)
        return self.turns[-1]

    async def use(self, preset: Preset) -> None:
        self.session.switching.use(preset)
        await self.session.switching.settled()

    async def same_after_a_fresh_prefill(self, other: Path) -> bool:
        """Whether the last answer comes again when the whole conversation is evaluated anew."""
        engine = self.session.engine
        assert engine is not None
        said, preset = self.turns[-1].answer.text, self.session.preset
        await self.session.load(other, preset)
        await self.session.load(engine.model.ref, preset)
        self.session.regenerate()
        await asyncio.wait_for(self.session.wait_idle(), PATIENCE_S)
        assert self.turns[-1].turn.timings.cache_n == 0
        return self.turns[-1].answer.text == said


@pytest.fixture
async def talk(backend: LlamaBackend, models: Callable[[str], Path]) -> AsyncIterator[Talk]:
    session = Session(backend, preset=TALK)
    await session.load(models("dense"), TALK)
    yield Talk(session)
    session.stop()
    await session.wait_idle()
    await session.switching.close()


@pytest.mark.parametrize("kind", ["dense", "sliding-window", "hybrid", "recurrent"])
async def test_another_window_carries_the_conversation_over(kind: str, talk: Talk, models: Callable[[str], Path]) -> None:
    await talk.session.load(models(kind), TALK)
    await talk.ask("The first message, long enough to be worth keeping")
    await talk.use(Preset(n_ctx=2048, threads=1, threads_batch=1, max_tokens=12, sampling=Sampling(temperature=0.0)))
    assert talk.session.engine is not None
    assert talk.session.engine.n_ctx == 2048 or kind != "dense"
    after = await talk.ask("And the second one")
    assert after.turn.timings.cache_n > 0
    assert await talk.same_after_a_fresh_prefill(models("spm"))


async def test_another_cache_type_reads_the_conversation_again_and_answers_right(talk: Talk, models: Callable[[str], Path]) -> None:
    await talk.ask("The first message")
    await talk.use(Preset(n_ctx=1024, threads=1, threads_batch=1, max_tokens=12, type_k="q8_0", sampling=Sampling(temperature=0.0)))
    after = await talk.ask("The second one")
    assert after.turn.timings.cache_n == 0
    assert await talk.same_after_a_fresh_prefill(models("spm"))


async def test_another_file_answers_the_same_conversation(talk: Talk, models: Callable[[str], Path]) -> None:
    await talk.ask("The first message")
    branch = talk.session.branch
    talk.session.switching.use_model(models("spm"))
    await talk.session.switching.settled()
    assert talk.session.branch == branch
    after = await talk.ask("The second one")
    assert after.turn.model == "spm"
    assert after.turn.timings.cache_n == 0
    assert "The first message" in talk.session.turns.last_prompt
    assert await talk.same_after_a_fresh_prefill(models("dense"))


@pytest.mark.parametrize("bad", ["missing", "garbage"])
async def test_a_file_that_can_not_be_used_changes_nothing(bad: str, talk: Talk, tmp_path: Path) -> None:
    path = tmp_path / "bad.gguf"
    if bad == "garbage":
        path.write_bytes(b"GGUF" + bytes(100))
    before = talk.session.engine
    first = await talk.ask("The first message")
    talk.session.switching.use_model(path)
    await talk.session.switching.settled()
    assert talk.session.engine == before
    assert talk.failures[-1].engine == before
    assert talk.session.preset == TALK
    after = await talk.ask("The second one")
    assert after.turn.timings.cache_n > first.turn.timings.prompt_n


@pytest.fixture
def no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without any memory left, so that the old model has to go before the new one is loaded."""
    monkeypatch.setattr("engine.llama.loader.read_room", lambda: Room(available=0, total=0, limited=False))


async def test_a_model_too_large_for_the_machine_is_refused_with_numbers(talk: Talk, models: Callable[[str], Path], no_room: None) -> None:
    talk.session.switching.use_model(models("spm"))
    await talk.session.switching.settled()
    error = talk.failures[-1].error
    assert isinstance(error, TooLargeError)
    assert "does not fit: it needs" in str(error)
    assert talk.session.engine is not None
    assert talk.session.engine.model.name == "dense"

    talk.session.switching.force(models("spm"))
    await talk.session.switching.settled()
    assert talk.session.engine.model.name == "spm"


def test_the_old_model_comes_back_when_the_new_one_fails_after_it_had_to_go(
    backend: LlamaBackend, models: Callable[[str], Path], driver: Driver, no_room: None
) -> None:
    before = loaded(backend.load(models("dense"), TALK, lambda _event: None, force=True))
    impossible = Preset(n_ctx=1024, threads=1, threads_batch=1, type_k="q8_0")
    with pytest.raises(EngineError, match="context can't be made"):
        loaded(backend.load(models("narrow"), impossible, lambda _event: None, force=True))
    assert backend.loaded is not None
    assert backend.loaded.model == before.model
    assert backend.loaded.preset == TALK
    assert driver.ask(text_prompt("x"), max_tokens=3).finished.error is None


def loaded(future: Future[EngineInfo]) -> EngineInfo:
    return future.result(PATIENCE_S)


async def test_the_same_file_loaded_again_answers_with_its_own_vocabulary(talk: Talk) -> None:
    """A freed model's vocabulary may only be remembered, never asked: that ended the process."""

    def vocabulary() -> LlamaVocabulary:
        return talk.session.slot.backend._compute._loaded.model.vocabulary  # type: ignore[attr-defined, no-any-return]

    await talk.ask("hello")
    for repack in (False, True):
        before = vocabulary()
        await talk.use(msgspec.structs.replace(talk.session.preset, repack=repack))
        assert (await talk.ask(f"and again, a text that is new: {repack}")).error is None
        assert before is not vocabulary()
        with pytest.raises(EngineError, match="not loaded any more"):
            before.tokenize("x", parse_special=False)


async def test_a_model_whose_file_was_deleted_goes_on_and_gets_another_window(
    talk: Talk, models: Callable[[str], Path], tmp_path: Path
) -> None:
    path = tmp_path / "gone.gguf"
    shutil.copyfile(models("dense"), path)
    await talk.session.load(path, TALK)
    await talk.ask("hello")
    path.unlink()
    assert (await talk.ask("and again")).error is None
    await talk.use(msgspec.structs.replace(TALK, n_ctx=2048))
    assert talk.session.engine is not None
    assert talk.session.engine.n_ctx == 2048
    await talk.use(msgspec.structs.replace(TALK, n_ctx=2048, repack=False))
    assert talk.failures[-1].ref == path
    assert (await talk.ask("still there?")).error is None


async def test_a_file_that_was_replaced_is_another_model_from_the_next_load_on(
    talk: Talk, models: Callable[[str], Path], tmp_path: Path
) -> None:
    path = tmp_path / "changing.gguf"
    shutil.copyfile(models("dense"), path)
    await talk.session.load(path, TALK)
    first = (await talk.ask("hello")).turn.model_fingerprint
    fresh = tmp_path / "fresh.gguf"
    shutil.copyfile(models("spm"), fresh)
    fresh.replace(path)
    assert (await talk.ask("and again")).turn.model_fingerprint == first
    await talk.use(msgspec.structs.replace(TALK, n_ctx=2048))
    assert (await talk.ask("and now")).turn.model_fingerprint != first


async def test_a_file_that_was_overwritten_where_it_lies_is_refused_until_it_is_loaded_again(
    talk: Talk, models: Callable[[str], Path], tmp_path: Path
) -> None:
    path = tmp_path / "mapped.gguf"
    shutil.copyfile(models("dense"), path)
    await talk.session.load(path, TALK)
    await talk.ask("hello")
    os.truncate(path, 4096)
    refused = await talk.ask("reading the weights would end the process now")
    assert "was overwritten while it was loaded" in str(refused.error)
    await talk.use(msgspec.structs.replace(TALK, n_ctx=2048))
    assert talk.failures[-1].ref == path
    shutil.copyfile(models("dense"), path)
    await talk.session.load(path, TALK)
    assert (await talk.ask("and again")).error is None
