from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import EngineError
from engine.lab.engine import LabEngine
from engine.lab.race import Arm, Use
from engine.lab.tune import Stage, stages_of, thread_counts, tune
from engine.lab.wording import tuning_facts, tuning_in_words
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


def test_nothing_is_proposed_where_todays_settings_are_the_best() -> None:
    today = Arm("current", Setup(Path("m.gguf"), Preset(threads=3, threads_batch=4, flash_attn="on")))
    result = tune(Machine(), today, Use.CHAT, stages(), seed=1)
    assert result.best.setup == today.setup
    assert not result.adopted
    assert "today's settings stay" in tuning_in_words(result)


@pytest.mark.parametrize("after", [0, 3, 40, 200])
def test_an_interrupted_search_proposes_nothing_unproven(after: int) -> None:
    result = tune(Machine(fails_after=after), TODAY, Use.CHAT, stages(), seed=1)
    assert result.interrupted
    assert not result.adopted
    assert tuning_in_words(result)


def test_only_what_matters_to_the_use_is_searched() -> None:
    assert [stage.name for stage in stages_of(Use.DECODE, TODAY.setup, most_threads=2, kv_types=(), quants=())] == ["threads", "flash_attn"]
    names = [stage.name for stage in stages_of(Use.PREFILL, TODAY.setup, most_threads=2, kv_types=("q8_0",), quants=())]
    assert names == ["threads_batch", "n_ubatch", "flash_attn", "KV cache"]


@pytest.mark.parametrize(("most", "last"), [(1, [1]), (4, [1, 2, 3, 4]), (12, [8, 10, 12]), (128, [97, 121, 128])])
def test_thread_counts_are_few_and_end_at_the_most(most: int, last: list[int]) -> None:
    counts = thread_counts(most)
    assert counts[-len(last) :] == last
    assert len(counts) < 24


def test_a_search_on_the_real_engine_keeps_its_time(engine: LabEngine, tiny: Path) -> None:
    today = Arm("current", Setup(tiny, Preset(threads=1, threads_batch=1)))
    groups = list(stages_of(Use.CHAT, today.setup, most_threads=1, kv_types=("q8_0",), quants=()))
    result = tune(engine, today, Use.CHAT, groups, minutes=0.03)
    assert {tried.stage for tried in result.tried} >= {"n_ubatch", "flash_attn"}
    assert result.seconds < 30
