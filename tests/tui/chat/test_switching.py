"""Presets, quants and threads by key, by command and from the list."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from engine.host.topology import Room, Topology
from engine.last_used import recall
from engine.model_ref import short_name
from engine.models.check import check_model
from engine.models.fit import TooLargeError, fit
from engine.models.memory import predict
from engine.paths import models_dir
from engine.presets.folder import PresetFolder
from engine.presets.preset import Preset
from tests.engine.models import raw_gguf
from tests.fake_backend import FakeBackend
from tests.tui.host import wait_until
from tests.tui.program import Running, program
from tui.models.presets import PresetsScreen
from tui.models.too_large import TooLargeScreen

pytestmark = pytest.mark.slow


def quants() -> tuple[Path, Path]:
    larger = [(name, shape, raw_gguf.F16 if len(shape) > 1 else raw_gguf.F32) for name, shape, _ in raw_gguf.TENSORS]
    return (
        raw_gguf.write(models_dir() / "tiny-F16.gguf", tensors=larger, general__file_type=1),
        raw_gguf.write(models_dir() / "tiny-Q8_0.gguf"),
    )


@pytest.fixture(autouse=True)
def four_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.session.switching.read_topology", lambda: Topology(usable=4, cores=4, fast_cores=4, quota=None))


async def test_the_transcript_says_what_made_each_answer_and_where_something_was_switched() -> None:
    async with chatting(FakeBackend(script=["one ", "two "])) as run:
        await run.send("first")
        await run.answered()
        await run.until("Q4_K_M · daily")
        assert "Switched" not in run.text
        run.app.do("use_threads", "1")
        await run.until("─ Switched: threads auto → 1")
        await run.send("second")
        await run.answered()
        assert run.text.count("─ Switched: threads auto → 1") == 1, "it stands between the two answers"
        assert run.text.index("first") < run.text.index("Switched") < run.text.index("second")
        await run.until("1 thread")
        await run.until("before the switch)")
        run.app.do("switch_back")
        await run.until("─ Switched: threads 1 → auto")


@asynccontextmanager
async def chatting(backend: FakeBackend | None = None) -> AsyncIterator[Running]:
    async with program(backend, model=quants()[0]) as run:
        yield run


async def threads_shown(run: Running, text: str) -> None:
    await wait_until(run.pilot, lambda: run.chat.status_line.status.threads == text, text)


async def test_a_key_takes_the_next_smaller_quant_and_another_the_way_back() -> None:
    async with chatting() as run:
        await run.pilot.press("f6")
        await run.until_noticed("Switched to tiny-Q8_0.gguf")
        assert run.session.engine is not None
        assert short_name(run.session.engine.model.ref) == "tiny-Q8_0.gguf"
        assert recall().model == str(models_dir() / "tiny-Q8_0.gguf")
        await run.pilot.press("alt+z")
        await run.until_noticed("Switched to tiny-F16.gguf")
        await run.pilot.press("f5")
        await run.until_noticed("There is no larger quant of tiny-F16.gguf")


async def test_thread_keys_change_the_count_in_mid_answer() -> None:
    backend = FakeBackend(gated=True)
    async with chatting(backend) as run:
        await threads_shown(run, "2 threads auto")
        await run.send("Hi")
        await run.pilot.press("f7")
        await threads_shown(run, "1 thread")
        assert backend.hot[-1].threads == 1
        assert run.session.busy
        await run.pilot.press("f8")
        await run.pilot.press("f8")
        await threads_shown(run, "3 threads")
        await run.send("/threads auto")
        await threads_shown(run, "2 threads auto")
        await run.send("/threads 9")
        await run.until_noticed("Can't decode with 9 threads")
        await run.send("/threads")
        await run.until_noticed("Answers: 2 threads to begin with")
        backend.release(3)
        await run.answered()


async def test_presets_by_key_are_remembered() -> None:
    async with chatting() as run:
        await run.pilot.press("alt+j")
        await wait_until(run.pilot, lambda: run.chat.status_line.status.preset == "fast")
        await wait_until(run.pilot, lambda: recall().preset == "fast")
        await run.pilot.press("alt+k")
        await wait_until(run.pilot, lambda: run.chat.status_line.status.preset == "daily")


async def test_the_list_shows_what_a_preset_changes_and_costs_and_takes_the_one_chosen() -> None:
    PresetFolder().save(Preset(name="mine", description="My own", n_ctx=1024, quant="Q8_0"))
    PresetFolder().save(Preset(name="lost", description="Of a model that is gone", model="nowhere"))
    async with chatting() as run:
        await run.pilot.press("f4")
        await wait_until(run.pilot, lambda: isinstance(run.app.screen, PresetsScreen))
        await run.until("Balanced")
        await run.pilot.press(*"mine")
        await run.until("My own")
        assert "    model: tiny-F16.gguf -> tiny-Q8_0.gguf (reload), n_ctx: auto -> 1024 (rebuild)" in run.text
        assert "Loads another file: not timed here yet" in run.text
        assert "Balanced" not in run.text
        await run.pilot.press("enter")
        await run.until_noticed("Switched to preset mine")
        assert run.session.preset.name == "mine"

        await run.pilot.press("f4")
        await run.until("There is no model 'nowhere'")
        await run.pilot.press("escape")


async def test_what_a_preset_changes_is_wrapped_to_the_list_and_never_cut() -> None:
    async with program(model=quants()[0], size=(60, 30)) as run:
        for width in (60, 90):
            await run.pilot.resize_terminal(width, 30)
            await run.pilot.press("f4")
            await run.until("stream_batch:")
            changes = [line.strip(" │╭╰▎").rstrip("│ ") for line in run.text.splitlines() if "rebuild" in line]
            assert changes
            assert not [line for line in changes if "…" in line]
            await run.pilot.press("escape")


async def test_commands_name_presets_and_quants() -> None:
    async with chatting() as run:
        await run.send("/preset low-memory")
        await run.until_noticed("Switched to preset low-memory")
        await run.send("/quant q8_0")
        await run.until_noticed("Switched to tiny-Q8_0.gguf")
        await run.send("/preset nothing")
        await run.until_noticed("There is no preset 'nothing'")
        await run.send("/set temp 0.1")
        await wait_until(run.pilot, lambda: run.session.preset.sampling.temperature == 0.1)
        await run.send("/set threads lots")
        await run.until_noticed("threads can't be lots")


async def test_in_mid_answer_a_dear_change_waits_and_the_same_key_stops_the_answer() -> None:
    backend = FakeBackend(gated=True)
    async with chatting(backend) as run:
        await run.send("Hi")
        await run.pilot.press("f6")
        await run.until_noticed("Waiting for the answer to end: tiny-Q8_0.gguf")
        await run.pilot.press("f6")
        await run.until_noticed("Switched to tiny-Q8_0.gguf")
        assert len(run.session.branch) == 2


async def test_a_message_sent_while_another_model_loads_waits_for_it() -> None:
    backend = FakeBackend()
    async with chatting(backend) as run:
        backend.load_gate.clear()
        await run.pilot.press("f6")
        await wait_until(run.pilot, lambda: run.session.slot.loading)
        await run.send("Hi")
        await run.until_noticed("Your message is queued")
        backend.load_gate.set()
        await run.until("Hello there.")


class TestTooLarge:
    @pytest.fixture
    def backend(self) -> FakeBackend:
        facts = check_model(quants()[0]).facts
        needed = predict(facts, Preset(), features=()).needed
        room = Room(available=needed - 1, total=needed, limited=False)
        return FakeBackend(load_error=TooLargeError("tiny-F16.gguf", fit(facts, Preset(), room, features=())))

    async def test_the_numbers_are_shown_with_changes_of_which_one_is_taken(self, backend: FakeBackend) -> None:
        async with program(backend, model=quants()[0], ready=False) as run:
            await wait_until(run.pilot, lambda: isinstance(run.app.screen, TooLargeScreen))
            await run.until("tiny-F16.gguf is too large for this machine")
            assert "does not fit: it needs" in run.text
            assert "Use n_ctx" in run.text
            backend.load_error = None
            await run.pilot.press("enter")
            await wait_until(run.pilot, lambda: run.session.engine is not None)
            assert run.session.preset.n_ctx in range(1024, 2048)

    async def test_a_person_may_insist(self, backend: FakeBackend) -> None:
        async with program(backend, model=quants()[0], ready=False) as run:
            await wait_until(run.pilot, lambda: isinstance(run.app.screen, TooLargeScreen))
            await run.pilot.press(*"anyway")
            await run.pilot.press("enter")
            await wait_until(run.pilot, lambda: run.session.engine is not None)
            assert backend.loads[-1][2]
