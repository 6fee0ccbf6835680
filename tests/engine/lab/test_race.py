"""Races on the real engine, and on one whose times are scripted."""

from __future__ import annotations

import os
import random
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from engine.config import Config
from engine.errors import EngineError, ModelError, UsageError
from engine.lab.arms import Base, arms_of, use_of
from engine.lab.builds import BuildsEngine
from engine.lab.engine import LabEngine
from engine.lab.race import TASKS, Arm, Use, race
from engine.lab.statistics import LOOKS, Finding, Verdict
from engine.llama.backend import LlamaBackend
from engine.llama.measuring.work import Setup, Took, Work
from engine.llama.native import lib
from engine.presets.preset import Preset


class Scripted(LabEngine):
    """An engine whose threads are worth what they are told, on a machine that drifts."""

    def __init__(self, token_ns: dict[int, float], *, busy: float = 0.0, fails_after: int | None = None) -> None:
        self._waited_ns = 0
        self._token_ns = token_ns
        self._busy = busy
        self._rng = random.Random(7)
        self._left = fails_after
        self.order: list[object] = []

    def run(self, setup: Setup, work: Work) -> Took:
        if self._left is not None:
            self._left -= 1
            if self._left < 0:
                raise KeyboardInterrupt
        threads = setup.preset.threads
        assert isinstance(threads, int)
        self.order.append(threads)
        drift = 1 + 0.1 * (len(self.order) % 500) / 500
        cost = self._token_ns[threads] * drift * self._rng.lognormvariate(0, 0.01)
        return Took(round(cost * work.n_prompt / 4), round(cost * work.n_gen), self._busy)


def arm(threads: int, name: str = "") -> Arm:
    return Arm(name or f"threads={threads}", Setup(Path("m.gguf"), Preset(threads=threads)))


def test_the_faster_arm_wins_and_a_loser_leaves_the_race() -> None:
    engine = Scripted({1: 20e6, 2: 19e6, 3: 40e6})
    result = race(engine, [arm(1), arm(2), arm(3)], Use.DECODE, seed=1)
    faster, slower = result.lanes[1], result.lanes[2]
    assert faster.decision is not None
    assert slower.decision is not None
    assert (faster.decision.finding, faster.decision.verdict) == (Finding.FASTER, Verdict.PASS)
    assert (slower.decision.finding, slower.decision.verdict) == (Finding.SLOWER, Verdict.FAIL)
    assert faster.speed_ratio is not None
    assert faster.speed_ratio.low <= 20 / 19 <= faster.speed_ratio.high


def test_units_are_mirrored_and_their_order_is_random() -> None:
    engine = Scripted({1: 20e6, 2: 20e6})
    race(engine, [arm(1), arm(2)], Use.DECODE, seed=1)
    units = [tuple(engine.order[start : start + 7]) for start in range(1, len(engine.order) - 6, 7)]
    # A settling run after each change of arm: A a  b B B  a A
    assert set(units) == {(1, 1, 2, 2, 2, 1, 1), (2, 2, 1, 1, 1, 2, 2)}


@pytest.mark.parametrize("use", list(Use))
def test_a_setting_against_itself_is_never_faster_or_slower(use: Use) -> None:
    result = race(Scripted({1: 20e6}), [arm(1, "a"), arm(1, "b")], use, seed=1)
    assert result.lanes[1].decision is not None
    assert result.lanes[1].decision.finding in {Finding.SAME, Finding.UNDECIDED}


def test_a_budget_too_short_for_an_interval_is_inconclusive_and_says_so() -> None:
    result = race(Scripted({1: 20e6, 2: 10e6}), [arm(1), arm(2)], Use.CHAT, seconds=1e-9)
    assert result.units == 1
    assert result.lanes[1].decision is not None
    assert result.lanes[1].decision.verdict is Verdict.INCONCLUSIVE
    assert any(str(LOOKS[0]) in remark for remark in result.remarks)


@pytest.mark.parametrize("after", [0, 1, 5, 50])
def test_an_interrupted_race_keeps_what_was_measured(after: int) -> None:
    result = race(Scripted({1: 20e6, 2: 20e6}, fails_after=after), [arm(1), arm(2)], Use.DECODE, seed=1)
    assert result.interrupted
    assert len(result.lanes[1].differences) == max(0, (after - 1) // 7)


def test_other_programs_are_named() -> None:
    result = race(Scripted({1: 20e6}, busy=0.4), [arm(1, "a"), arm(1, "b")], Use.DECODE)
    assert any("40%" in remark for remark in result.remarks)


@pytest.mark.slow
def test_contexts_that_differ_race_on_the_real_engine(engine: LabEngine, tiny: Path) -> None:
    base = Base(tiny, Preset(threads=1, threads_batch=1), Config())
    arms = arms_of(["current", "flash_attn=off,n_ubatch=32"], base)
    result = race(engine, arms, Use.CHAT, seconds=2.0)
    assert result.units >= 1
    assert all(len(lane.seconds) == result.units for lane in result.lanes)
    assert result.task.probe.n_depth == TASKS[Use.CHAT].probe.n_depth


def test_an_arm_is_a_change_a_preset_or_a_model(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    base = Base(tiny, Preset(n_batch=256), Config())
    current, changed, preset, model = arms_of(["current", "threads=2,type_k=q8_0", "daily", str(tiny)], base)
    assert msgspec.structs.replace(changed.setup.preset, threads="auto", type_k="f16") == current.setup.preset
    assert (changed.setup.preset.threads, changed.setup.preset.type_k, changed.setup.preset.n_batch) == (2, "q8_0", 256)
    assert preset.setup.ref == model.setup.ref == tiny


@pytest.mark.parametrize("word", ["sampling.top_k=3", "stream_batch=2", "threads=two", "threads", "threads=1,x", "system=hello"])
def test_an_arm_that_can_not_be_measured_is_refused(word: str, tiny: Path) -> None:
    with pytest.raises((UsageError, ModelError)):
        arms_of([word], Base(tiny, Preset(), Config()))


def test_a_change_of_the_window_is_kept(tiny: Path) -> None:
    (arm,) = arms_of(["n_ctx=4096"], Base(tiny, Preset(), Config()))
    assert arm.setup.preset.n_ctx == 4096


@pytest.mark.parametrize(
    ("words", "use"),
    [
        (("threads=1", "threads=2"), Use.DECODE),
        (("current", "n_ubatch=32", "threads_batch=1"), Use.PREFILL),
        (("current", "type_k=q8_0"), Use.CHAT),
        (("current", "current"), Use.DECODE),
    ],
)
def test_what_is_compared_follows_from_what_differs(words: tuple[str, ...], use: Use, tiny: Path) -> None:
    assert use_of(arms_of(words, Base(tiny, Preset(), Config()))) is use


def test_an_engine_of_this_process_refuses_another_library(engine: LabEngine, tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="process of its own"):
        engine.run(Setup(tiny, Preset(threads=1), tmp_path), Work(1, 0))


@pytest.mark.slow
def test_a_library_that_does_not_answer_does_not_delay_the_end(tiny: Path) -> None:
    backend = LlamaBackend(trusted=lambda _path: True)
    builds = BuildsEngine(backend)
    builds.run(Setup(tiny, Preset(threads=1, threads_batch=1), Path(lib._lib._name).parent), Work(1, 0))
    (child,) = builds._children.values()
    os.kill(child._process.pid, signal.SIGSTOP)
    with ThreadPoolExecutor() as pool:
        try:
            pool.submit(builds.close).result(5)
        finally:
            child._process.send_signal(signal.SIGCONT)
    backend.close()


def test_several_clients_are_measured_at_once_in_contexts_that_hold_them(engine: LabEngine, tiny: Path) -> None:
    arms = arms_of(["current", "n_ubatch=32"], Base(tiny, Preset(threads=1, threads_batch=1), Config()))
    result = race(engine, arms, Use.THROUGHPUT, seconds=0.5, clients=3)
    assert result.units >= 1
    assert result.task.probe.n_parallel == 3
    assert {lane.arm.setup.preset.parallel for lane in result.lanes} == {3}


@pytest.mark.slow
def test_another_build_of_the_library_races_from_a_process_of_its_own(tiny: Path) -> None:
    folder = Path(lib._lib._name).parent
    backend = LlamaBackend(trusted=lambda _path: True)
    builds = BuildsEngine(backend)
    base = Base(tiny, Preset(threads=1, threads_batch=1), Config())
    arms = arms_of(["current", f"lib={folder}", f"lib={folder},n_ubatch=32"], base)
    assert [arm.setup.library is None for arm in arms] == [True, False, False]
    assert use_of(arms) is Use.CHAT
    try:
        result = race(builds, arms, Use.DECODE, seconds=0.5)
        assert result.units >= 1
        assert all(lane.seconds for lane in result.lanes)
        with pytest.raises(EngineError, match=r"ubatch|context|made|measured"):
            builds.run(replace(arms[1].setup, preset=Preset(n_ctx=256)), Work(0, 2, 5000))
    finally:
        builds.close()
        backend.close()


def test_a_library_that_is_none_is_refused_and_one_that_fails_is_named(tiny: Path, tmp_path: Path) -> None:
    base = Base(tiny, Preset(), Config())
    with pytest.raises(UsageError, match="not a build"):
        arms_of([f"lib={tmp_path}"], base)
    (tmp_path / "libllama.so").write_bytes(b"no library")
    (arm,) = arms_of([f"lib={tmp_path}"], base)
    builds = BuildsEngine(LlamaBackend(trusted=lambda _path: True))
    with pytest.raises(EngineError, match="can't be used"):
        builds.run(arm.setup, Work(1, 0))
    builds.close()
    builds._backend.close()
