from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest

from engine.errors import EngineError
from engine.lab.engine import LabEngine
from engine.lab.log import known_gains, run_of_tuning
from engine.lab.race import TASKS, Arm, Lane, Use, measure_unit
from engine.lab.stages import Bounds, Stage, stages_of, thread_counts
from engine.lab.tune import tune
from engine.lab.wording import tuning_facts, tuning_in_words, tuning_lines
from engine.llama.measuring.work import Setup, Took, Work
from engine.presets.preset import Preset

TODAY = Arm("current", Setup(Path("m.gguf"), Preset(threads=2, threads_batch=2)))


class Machine(LabEngine):
    """Decodes fastest with 3 threads and prefills with 4; flash attention is worth 5 %, and a q8_0 cache can't be made."""

    def __init__(self, *, best: int = 3, fails_after: int = 1_000_000) -> None:
        self._waited_ns = 0
        self._best = best
        self._left = fails_after

    def run(self, setup: Setup, work: Work) -> Took:
        self._left -= 1
        if self._left < 0:
            raise KeyboardInterrupt
        preset = setup.preset
        assert isinstance(preset.threads, int)
        assert isinstance(preset.threads_batch, int)
        if preset.type_k == "q8_0":
            raise EngineError("The context can't be made", "heads are too small")
        attention = 0.95 if preset.flash_attn == "on" else 1.0
        decode = 20e6 * (1 + 0.1 * abs(preset.threads - self._best)) * attention
        prefill = 2e6 * (1 + 0.1 * abs(preset.threads_batch - 4)) * attention
        return Took(round(prefill * work.n_prompt), round(decode * work.n_gen), 0.0)


def stages(use: Use = Use.CHAT) -> list[Stage]:
    return list(stages_of(use, TODAY.setup, most_threads=4, kv_types=("q8_0",), quants=()))


def test_the_best_of_every_group_is_found_and_proven_against_todays_settings() -> None:
    result = tune(Machine(), TODAY, Use.CHAT, stages(), seed=1)
    best = result.best.setup.preset
    assert (best.threads, best.threads_batch, best.flash_attn) == (3, 4, "on")
    assert result.adopted
    assert result.changes == {"threads": "3", "threads_batch": "4", "flash_attn": "on"}
    assert "PASS" in tuning_in_words(result)
    skipped = [tried for tried in result.tried if tried.skipped]
    assert [tried.name for tried in skipped] == ["type_k=q8_0,type_v=q8_0,flash_attn=auto"]
    assert tuning_facts(result)["adopted"] is True


class Slow(Machine):
    """The same machine many times as slow, with a clock that its work moves."""

    def __init__(self, factor: int) -> None:
        super().__init__()
        self._factor = factor
        self._clock_ns = self.longest_ns = 0

    @property
    def time_ns(self) -> int:
        return self._clock_ns

    def run(self, setup: Setup, work: Work) -> Took:
        took = super().run(setup, work)
        slow = Took(took.prompt_ns * self._factor, took.gen_ns * self._factor, 0.0)
        self._clock_ns += slow.prompt_ns + slow.gen_ns
        self.longest_ns = max(self.longest_ns, slow.prompt_ns + slow.gen_ns)
        return slow


@pytest.mark.parametrize("factor", [1, 5, 20, 100])
def test_a_search_keeps_its_minutes_however_slow_the_machine_is_and_names_what_it_had_no_time_for(factor: int) -> None:
    machine = Slow(factor)
    result = tune(machine, TODAY, Use.CHAT, stages(), minutes=2, seed=1)
    assert result.seconds <= 120 + machine.longest_ns / 1e9
    assert {tried.stage for tried in result.tried} == {stage.name for stage in stages()}
    late = [tried for tried in result.tried if tried.skipped == "the time was up"]
    assert bool(late) == (factor > 5)
    assert all(tried.units or tried.skipped for tried in result.tried)
    assert "skipped: the time was up" in "".join(tuning_lines(result)) or not late


def test_a_unit_that_the_end_of_the_time_cuts_does_not_count() -> None:
    machine = Slow(20)
    lanes = [Lane(TODAY), Lane(TODAY)]
    assert not measure_unit(machine, TASKS[Use.CHAT], lanes, random.Random(1), until_ns=1)
    assert all(not lane.seconds and not lane.prefill_s and not lane.disturbed for lane in lanes)


def test_another_file_is_named_among_the_changes_also_when_two_have_one_name() -> None:
    class Quants(Machine):
        def run(self, setup: Setup, work: Work) -> Took:
            took = super().run(setup, work)
            return Took(took.prompt_ns, took.gen_ns // (2 if setup.ref == small else 1), 0.0)

    large, small = Path("q8/model.gguf"), Path("q4/model.gguf")
    quants = Stage("quant", Use.CHAT, ({"ref": large}, {"ref": small}))
    result = tune(Quants(), TODAY, Use.CHAT, [quants], seed=1)
    assert result.best.setup.ref == small
    assert result.changes == {"model": "q4/model.gguf"}
    assert "Use model=q4/model.gguf: PASS" in tuning_in_words(result)


def test_nothing_is_proposed_where_todays_settings_are_the_best() -> None:
    today = Arm("current", Setup(Path("m.gguf"), Preset(threads=3, threads_batch=4, flash_attn="on")))
    result = tune(Machine(), today, Use.CHAT, stages(), seed=1)
    assert result.best.setup == today.setup
    assert not result.adopted
    assert "the current settings stay" in tuning_in_words(result)


@pytest.mark.parametrize("after", [0, 3, 40, 200])
def test_an_interrupted_search_proposes_nothing_unproven(after: int) -> None:
    result = tune(Machine(fails_after=after), TODAY, Use.CHAT, stages(), seed=1)
    assert result.interrupted
    assert not result.adopted
    assert tuning_in_words(result)


def test_a_search_that_is_interrupted_in_its_first_stage_keeps_what_it_measured() -> None:
    result = tune(Machine(fails_after=40), TODAY, Use.CHAT, stages(), seed=1)
    assert result.interrupted
    assert {tried.stage for tried in result.tried} == {"threads"}
    assert all(tried.gain is not None and tried.units for tried in result.tried)
    assert len(list(tuning_lines(result))) > len(result.tried)


def test_what_an_earlier_search_found_slow_is_not_measured_again() -> None:
    known = {("threads", "threads=1"): -0.3, ("threads", "threads=3"): -0.01, ("threads", "threads=4"): 0.2}
    result = tune(Machine(), TODAY, Use.CHAT, stages(), bounds=Bounds(known=known), seed=1)
    (skipped,) = [tried for tried in result.tried if tried.name == "threads=1"]
    assert skipped.gain is None
    assert "-30.0 %" in skipped.skipped
    assert {tried.name for tried in result.tried if tried.stage == "threads" and tried.units} == {"threads=3", "threads=4"}


def test_a_search_begins_with_what_the_log_knows_of_this_machine() -> None:
    run = run_of_tuning(tune(Machine(), TODAY, Use.CHAT, stages(), seed=1), "b1", started_ms=0, command="")
    today = TODAY.setup
    known = known_gains((run,), today.ref, Use.CHAT, today.preset, "b1")
    assert known[("threads", "threads=4")] < known[("threads", "threads=3")]
    assert known_gains((run,), today.ref, Use.DECODE, today.preset, "b1") == {}
    assert known_gains((run,), today.ref, Use.CHAT, Preset(threads=7), "b1") == {}
    assert known_gains((run,), today.ref, Use.CHAT, today.preset, "b2") == {}
    assert known_gains((run,), today.ref, Use.CHAT, today.preset, "b1", least_memory=True) == {}
    assert known_gains((replace(run, host=replace(run.host, kernel="another")),), today.ref, Use.CHAT, today.preset, "b1") == {}


def test_what_was_known_for_some_clients_is_not_for_more() -> None:
    tuning = tune(Machine(), TODAY, Use.THROUGHPUT, stages(Use.THROUGHPUT), bounds=Bounds(clients=2), seed=1)
    runs = (run_of_tuning(tuning, "b1", started_ms=0, command=""),)
    few, more = (known_gains(runs, TODAY.setup.ref, Use.THROUGHPUT, TODAY.setup.preset, "b1", clients=count) for count in (2, 8))
    assert few
    assert more == {}


def needed(setup: Setup) -> int:
    return 1000 - 300 * (setup.preset.n_ubatch == 32) - 200 * (not setup.preset.repack)


def test_no_candidate_takes_more_memory_than_allowed() -> None:
    result = tune(Machine(), TODAY, Use.CHAT, stages(), bounds=Bounds(needed, 900), seed=1)
    assert not result.adopted
    assert all("more than 900 B" in tried.skipped for tried in result.tried if "n_ubatch=32" not in tried.name)


def test_the_least_memory_is_found_among_what_is_fast_enough_and_raced_at_the_end() -> None:
    groups = list(stages_of(Use.CHAT, TODAY.setup, most_threads=4, kv_types=(), reload=True, least_memory=True))
    result = tune(Machine(), TODAY, Use.CHAT, groups, bounds=Bounds(needed, least_memory=True), seed=1)
    assert result.changes == {"n_ubatch": "32", "repack": "false"}
    assert (result.adopted, result.saved_bytes) == (True, 500)
    assert "less memory" in tuning_in_words(result)


def test_nothing_is_taken_that_makes_the_first_token_late() -> None:
    class Trade(Machine):
        def run(self, setup: Setup, work: Work) -> Took:
            took = super().run(setup, work)
            on = setup.preset.flash_attn == "on"
            return Took(took.prompt_ns * (3 if on else 1), round(took.gen_ns * (0.5 if on else 1)), 0.0)

    free, bound = (tune(Trade(), TODAY, Use.CHAT, stages(), bounds=Bounds(most_ttft_s=most), seed=1).changes for most in (None, 0.5))
    assert free["flash_attn"] == "on"
    assert "flash_attn" not in bound


def test_memory_is_not_bought_with_speed() -> None:
    class Slow(Machine):
        def run(self, setup: Setup, work: Work) -> Took:
            took = super().run(setup, work)
            factor = 2 if setup.preset.n_ubatch == 32 else 1
            return Took(took.prompt_ns * factor, took.gen_ns * factor, 0.0)

    groups = list(stages_of(Use.CHAT, TODAY.setup, most_threads=4, kv_types=(), least_memory=True))
    result = tune(Slow(), TODAY, Use.CHAT, groups, bounds=Bounds(needed, least_memory=True), seed=1)
    assert result.changes == {}
    assert "Nothing smaller was found" in tuning_in_words(result)


def test_only_what_matters_to_the_use_is_searched() -> None:
    assert [stage.name for stage in stages_of(Use.DECODE, TODAY.setup, most_threads=2, kv_types=(), quants=())] == ["threads", "flash_attn"]
    names = [stage.name for stage in stages_of(Use.PREFILL, TODAY.setup, most_threads=2, kv_types=("q8_0",), quants=())]
    assert names == ["threads_batch", "n_ubatch", "flash_attn", "KV cache"]


@pytest.mark.parametrize(("most", "last"), [(1, [1]), (4, [1, 2, 3, 4]), (12, [8, 10, 12]), (128, [97, 121, 128])])
def test_thread_counts_are_few_and_end_at_the_most(most: int, last: list[int]) -> None:
    counts = thread_counts(most)
    assert counts[-len(last) :] == last
    assert len(counts) < 24


@pytest.mark.slow
def test_a_search_on_the_real_engine_keeps_its_time(engine: LabEngine, tiny: Path) -> None:
    today = Arm("current", Setup(tiny, Preset(threads=1, threads_batch=1)))
    groups = list(stages_of(Use.CHAT, today.setup, most_threads=1, kv_types=("q8_0",), quants=()))
    result = tune(engine, today, Use.CHAT, groups, minutes=0.03)
    assert {tried.stage for tried in result.tried} >= {"n_ubatch", "flash_attn"}
    assert result.seconds < 30
