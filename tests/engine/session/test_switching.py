"""Switching preset, quant, model and threads in the middle of a conversation, on a scripted backend and files that are really read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine.config import Config
from engine.errors import EngineError, UsageError
from engine.events import AnswerGrew, Event, ModelFailed, Notice, PresetChanged, TurnFinished
from engine.host.topology import Room, Topology
from engine.model_ref import short_name
from engine.models.check import check_model
from engine.models.fit import TooLargeError, fit
from engine.presets.folder import PresetFolder
from engine.presets.preset import Preset, Sampling
from engine.session.open import open_session
from engine.session.session import Session
from engine.session.switching import AGAIN_NS, Switching
from tests.fake_backend import FakeBackend

FOUR_CPUS = Topology(usable=4, cores=4, fast_cores=4, quota=None)


@dataclass
class Bench:
    """A session on a machine with three quants of one model, the middle one loaded."""

    session: Session
    backend: FakeBackend
    files: dict[str, Path]
    events: list[Event]
    now_ns: int = 0

    @property
    def switching(self) -> Switching:
        return self.session.switching

    @property
    def notices(self) -> list[Notice]:
        return [event for event in self.events if isinstance(event, Notice)]

    @property
    def last(self) -> tuple[str, Preset]:
        """File name and preset of the last load."""
        ref, preset, _ = self.backend.loads[-1]
        return short_name(ref), preset

    async def answered(self, text: str = "Hi") -> None:
        self.session.send(text)
        await self.session.wait_idle()

    async def waits(self) -> None:
        """Until a change waits for the end of the answer."""
        for _ in range(1000):
            if any("Waiting for the answer to end" in notice.title for notice in self.notices):
                return
            await asyncio.sleep(0.001)
        raise AssertionError(self.notices)

    def write(self, preset: Preset) -> None:
        PresetFolder().save(preset)


@pytest.fixture
async def bench(quants: dict[str, Path]) -> AsyncIterator[Bench]:
    backend = FakeBackend()
    session = await open_session(Preset(), Config(), backend=backend, log=False)
    made = Bench(session, backend, quants, [])
    session.switching._clock = lambda: made.now_ns
    await session.load(quants["Q8_0"])
    session.subscribe(made.events.append)
    yield made
    await session.close()


class TestHot:
    async def test_a_hot_change_is_in_force_at_once_also_in_mid_answer(self, bench: Bench) -> None:
        bench.backend.gated = True
        bench.session.send("Hi")
        bench.switching.use_threads(1)
        assert bench.backend.hot[-1].threads == 1
        assert bench.session.preset.threads == 1
        bench.backend.release(3)
        await bench.session.wait_idle()
        assert len(bench.backend.loads) == 1

    async def test_a_hot_change_while_a_model_loads_is_in_force_afterwards_too(self, bench: Bench) -> None:
        bench.backend.load_gate.clear()
        loading = asyncio.ensure_future(bench.session.load(bench.files["Q4_0"], Preset(name="other", max_tokens=7)))
        while not bench.session.slot.loading:
            await asyncio.sleep(0)
        bench.switching.change({"sampling.temperature": "0.25"})
        bench.backend.load_gate.set()
        await loading
        for preset in (bench.session.preset, bench.backend.hot[-1]):
            assert (preset.name, preset.max_tokens, preset.sampling.temperature) == ("other", 7, 0.25)

    async def test_a_thread_more_or_fewer_counts_from_what_auto_chose(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("engine.session.switching.read_topology", lambda: FOUR_CPUS)
        bench.switching.more_threads(1)
        assert bench.backend.hot[-1].threads == 3
        bench.switching.more_threads(-1)
        bench.switching.more_threads(-1)
        assert bench.session.preset.threads == 1
        with pytest.raises(UsageError, match="with 0 threads"):
            bench.switching.more_threads(-1)
        with pytest.raises(UsageError, match="at most 4"):
            bench.switching.use_threads(9)

    async def test_two_quick_steps_are_two_also_before_the_first_is_in_force(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("engine.session.switching.read_topology", lambda: FOUR_CPUS)
        monkeypatch.setattr(bench.backend, "_count", lambda _preset: None)
        bench.switching.more_threads(1)
        bench.switching.more_threads(1)
        assert bench.session.preset.threads == 4

    async def test_the_next_turn_tells_the_speed_before_and_after(self, bench: Bench) -> None:
        bench.backend.script = ["word "] * 40
        await bench.answered()
        bench.switching.use_threads(1)
        await bench.answered()
        effect = bench.notices[-1]
        assert effect.title == "After the switch to threads 1"
        assert effect.detail == "50.0 tokens/s, 50.0 in the last answer before"

    async def test_a_switch_within_an_answer_compares_its_two_parts(self, bench: Bench) -> None:
        bench.backend.script = ["word "] * 90
        bench.backend.gated = True
        bench.session.send("Hi")
        bench.backend.release(40)
        while sum(len(event.token_ns) for event in bench.events if isinstance(event, AnswerGrew)) < 40:
            await asyncio.sleep(0.001)
        bench.switching.use_threads(1)
        bench.backend.release(50)
        await bench.session.wait_idle()
        assert bench.notices[-1].detail.startswith("50.0 tokens/s since then")

    async def test_settings_that_do_not_change_speed_are_not_followed_by_a_comparison(self, bench: Bench) -> None:
        bench.backend.script = ["word "] * 40
        bench.session.switching.use(Preset(sampling=Sampling(temperature=0)))
        await bench.answered()
        assert bench.notices == []


class TestQuants:
    async def test_smaller_and_larger_quants_are_the_neighbours_in_the_family(self, bench: Bench) -> None:
        bench.switching.next_quant(1)
        await bench.switching.settled()
        assert bench.last[0] == "tiny-Q4_0.gguf"
        assert bench.session.preset.quant == "Q4_0"
        bench.switching.next_quant(-1)
        bench.switching.next_quant(-1)
        await bench.switching.settled()
        assert bench.last[0] == "tiny-F16.gguf"
        assert len(bench.backend.loads) == 3, "two keys in a row are one load"

    async def test_beyond_the_ends_nothing_is_loaded_and_the_quants_are_named(self, bench: Bench) -> None:
        bench.switching.next_quant(2)
        await bench.switching.settled()
        assert len(bench.backend.loads) == 1
        (notice,) = bench.notices
        assert notice.title == "There is no smaller quant of tiny-Q8_0.gguf"
        assert notice.detail == "Local quants: F16, Q8_0, Q4_0"

    async def test_a_quant_by_name(self, bench: Bench) -> None:
        bench.switching.use_quant("f16")
        await bench.switching.settled()
        assert bench.last[0] == "tiny-F16.gguf"
        bench.switching.use_quant("Q2_K")
        await bench.switching.settled()
        assert "There is no quant Q2_K" in bench.notices[-1].title

    async def test_the_conversation_stays_and_goes_on_with_the_other_quant(self, bench: Bench) -> None:
        await bench.answered("First")
        before = bench.session.branch
        bench.switching.next_quant(1)
        await bench.switching.settled()
        assert bench.session.branch == before
        await bench.answered("Second")
        assert "First" in bench.session.turns.last_prompt

    async def test_the_price_is_told_before_and_what_it_took_after(self, bench: Bench) -> None:
        await bench.answered("First")
        bench.switching.next_quant(1)
        await bench.switching.settled()
        before, after = bench.notices
        assert before.title == "Switching to tiny-Q4_0.gguf"
        assert before.detail.startswith("Loads another file: not timed here yet, then ")
        assert "tokens to prefill again" in before.detail
        assert after.title == "Switched to tiny-Q4_0.gguf"
        assert after.detail.startswith("It took 0.00 s; ")

        bench.switching.back()
        await bench.switching.settled()
        bench.switching.next_quant(1)
        await bench.switching.settled()
        assert bench.notices[-2].detail.startswith("Loads another file: 0.00 s last time")


class TestPresets:
    async def test_the_next_preset_is_the_next_of_the_list_and_goes_around(self, bench: Bench) -> None:
        seen = []
        for _ in range(5):
            bench.switching.next_preset(1)
            await bench.switching.settled()
            seen.append(bench.session.preset.name)
        assert seen == ["fast", "low-memory", "quality", "long-context", "daily"]
        assert {path for path, _, _ in bench.backend.loads} == {bench.files["Q8_0"]}, "a preset without a model keeps the one in use"

    async def test_a_preset_that_names_a_family_and_a_quant_loads_that_file(self, bench: Bench) -> None:
        bench.write(Preset(name="small", model="tiny", quant="Q4_0", n_ctx=512))
        bench.switching.use_named("small")
        await bench.switching.settled()
        assert bench.last == ("tiny-Q4_0.gguf", Preset(name="small", model="tiny", quant="Q4_0", n_ctx=512))

    async def test_a_preset_that_names_a_missing_model_changes_nothing(self, bench: Bench) -> None:
        bench.write(Preset(name="gone", model="nothing-here"))
        bench.switching.use_named("gone")
        await bench.switching.settled()
        assert bench.session.preset.name == "daily"
        assert bench.notices[-1].title == "There is no model 'nothing-here' on this machine"
        assert bench.notices[-1].detail == "Local models: tiny"

    async def test_an_unknown_preset_is_answered_with_the_nearest(self, bench: Bench) -> None:
        bench.switching.use_named("dayly")
        await bench.switching.settled()
        assert bench.notices[-1].hint == "Did you mean daily?"

    async def test_a_setting_changed_later_does_not_go_back_to_a_model_left_meanwhile(self, bench: Bench) -> None:
        bench.switching.use_quant("F16")
        await bench.switching.settled()
        await bench.session.load(bench.files["Q4_0"])
        bench.session.switching.use(Preset(n_ctx=512))
        await bench.switching.settled()
        assert bench.last == ("tiny-Q4_0.gguf", Preset(n_ctx=512))

    async def test_every_preset_is_offered_with_its_price_or_its_problem(self, bench: Bench) -> None:
        await bench.answered()
        bench.write(Preset(name="broken-model", model="nothing-here"))
        bench.write(Preset(name="smaller", quant="Q4_0"))
        (PresetFolder()._folder / "bad.toml").write_text("threads = 0\n")
        offers, problems = await bench.switching.offers()
        by_name = {offer.preset.name: offer for offer in offers}
        assert by_name["daily"].price is not None
        assert "There is no model" in by_name["broken-model"].problem
        price = by_name["smaller"].price
        assert price is not None
        assert price.tokens == len(bench.backend.prompts[-1].tokens) + 3
        assert [str(change) for change in price.changes] == ["model: tiny-Q8_0.gguf -> tiny-Q4_0.gguf (reload)"]
        assert len(problems) == 1


class TestInMidAnswer:
    async def test_a_dear_change_waits_and_says_so(self, bench: Bench) -> None:
        bench.backend.gated = True
        bench.session.send("Hi")
        bench.switching.next_quant(1)
        await bench.waits()
        assert len(bench.backend.loads) == 1
        bench.backend.release(3)
        await bench.switching.settled()
        assert bench.last[0] == "tiny-Q4_0.gguf"
        assert next(event for event in bench.events if isinstance(event, TurnFinished)).answer.text == "Hello there."

    async def test_the_same_again_stops_the_answer_and_switches(self, bench: Bench) -> None:
        bench.backend.gated = True
        bench.session.send("Hi")
        bench.switching.next_quant(1)
        await bench.waits()
        bench.now_ns += AGAIN_NS
        bench.switching.next_quant(1)
        await bench.switching.settled()
        assert bench.last[0] == "tiny-Q4_0.gguf", "the second key is no second step"
        assert next(event for event in bench.events if isinstance(event, TurnFinished)).answer.text != "Hello there."

    async def test_the_same_long_after_is_another_step(self, bench: Bench) -> None:
        bench.backend.gated = True
        bench.session.send("Hi")
        bench.switching.next_quant(-1)
        await bench.waits()
        bench.now_ns += AGAIN_NS + 1
        bench.switching.next_quant(1)
        bench.switching.next_quant(1)
        bench.backend.release(3)
        await bench.switching.settled()
        assert bench.last[0] == "tiny-Q4_0.gguf"

    async def test_a_hot_change_meanwhile_is_kept_by_the_change_that_waits(self, bench: Bench) -> None:
        bench.backend.gated = True
        bench.session.send("Hi")
        bench.session.switching.use(Preset(n_ctx=512))
        await bench.waits()
        bench.switching.use_threads(1)
        bench.backend.release(3)
        await bench.switching.settled()
        assert bench.last[1] == bench.session.preset == Preset(n_ctx=512, threads=1)


class TestBack:
    async def test_back_undoes_one_switch_after_the_other(self, bench: Bench) -> None:
        bench.switching.use_threads(1)
        bench.switching.next_quant(1)
        await bench.switching.settled()
        bench.switching.use_model(bench.files["F16"])
        await bench.switching.settled()

        bench.switching.back()
        await bench.switching.settled()
        assert bench.last[0] == "tiny-Q4_0.gguf"
        bench.switching.back()
        bench.switching.back()
        await bench.switching.settled()
        assert bench.last[0] == "tiny-Q8_0.gguf"
        assert bench.session.preset == Preset()
        with pytest.raises(UsageError, match="no switch to undo"):
            bench.switching.back()

    async def test_what_failed_is_nothing_to_go_back_from(self, bench: Bench) -> None:
        bench.backend.load_error = EngineError("The context can't be made")
        bench.session.switching.use(Preset(n_ctx=512))
        await bench.switching.settled()
        assert bench.session.preset == Preset()
        assert any(isinstance(event, ModelFailed) for event in bench.events)
        with pytest.raises(UsageError):
            bench.switching.back()


class TestTooLarge:
    @pytest.fixture
    def too_large(self, bench: Bench) -> TooLargeError:
        facts = check_model(bench.files["F16"]).facts
        room = Room(available=700_000, total=800_000, limited=False)
        bench.backend.load_error = TooLargeError("tiny-F16.gguf", fit(facts, Preset(), room, features=()))
        return bench.backend.load_error

    async def test_it_is_refused_with_the_numbers_and_the_changes_that_would_help(self, bench: Bench, too_large: TooLargeError) -> None:
        with pytest.raises(TooLargeError) as caught:
            await bench.session.load(bench.files["F16"])
        assert "does not fit: it needs" in caught.value.detail
        assert "1. " in caught.value.hint
        assert bench.session.engine is not None
        assert bench.session.engine.model.path == bench.files["Q8_0"]

    async def test_a_person_may_insist(self, bench: Bench, too_large: TooLargeError) -> None:
        bench.switching.next_quant(-1)
        await bench.switching.settled()
        assert bench.session.preset.quant is None
        bench.switching.force(bench.files["F16"])
        await bench.switching.settled()
        assert bench.backend.loads[-1][2]
        assert bench.session.preset.quant == "F16"

    async def test_a_remedy_is_taken_with_its_settings_or_its_quant(self, bench: Bench, too_large: TooLargeError) -> None:
        bench.switching.next_quant(-1)
        await bench.switching.settled()
        bench.backend.load_error = None
        bench.switching.amend(bench.files["F16"], {"n_ctx": 1024, "repack": False})
        await bench.switching.settled()
        assert bench.last == ("tiny-F16.gguf", Preset(quant="F16", n_ctx=1024, repack=False))
        bench.switching.amend(bench.files["F16"], {"quant": "Q4_0"})
        await bench.switching.settled()
        assert bench.last == ("tiny-Q4_0.gguf", Preset(quant="Q4_0", n_ctx=1024, repack=False))


async def test_a_message_sent_while_a_model_loads_is_refused_and_not_answered_by_either(bench: Bench) -> None:
    bench.backend.load_gate.clear()
    load = asyncio.ensure_future(bench.session.load(bench.files["F16"]))
    await asyncio.sleep(0)
    assert bench.session.slot.loading
    with pytest.raises(EngineError, match="being loaded"):
        bench.session.send("Hi")
    bench.backend.load_gate.set()
    await load
    assert not bench.session.slot.loading


async def test_a_hot_stream_batch_counts_for_the_session_too(bench: Bench) -> None:
    bench.session.switching.use(Preset(stream_batch=16))
    assert bench.session.slot.stream_batch == 16
    assert isinstance(bench.events[-1], PresetChanged)
