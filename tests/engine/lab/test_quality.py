"""Perplexity and KL divergence: the definitions, and a real model against itself, another KV type, another vocabulary."""

from __future__ import annotations

import math
import signal
import threading
from pathlib import Path

import msgspec
import numpy as np
import pytest

from engine.errors import ModelError, UsageError
from engine.guide import builtin
from engine.lab.compute_thread import on_compute_thread
from engine.lab.quality.figures import Block, Quality, Scores, estimate, summary
from engine.lab.quality.run import Arm, Outcome, QualityRun, shipped_text, text_of
from engine.model_ref import BuiltInModel
from engine.presets.preset import Preset
from tests.ggufs import dense

GUIDE = BuiltInModel(builtin.SHIPPED_QUANT)
PLAIN = Preset(threads=1, threads_batch=1)


def random_rows(seed: int, scale: float = 3.0) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return np.random.default_rng(seed).normal(0, scale, (64, 500)).astype(np.float32)


def scored(base: np.ndarray, other: np.ndarray, windows: int = 4) -> tuple[Quality, Quality]:
    following = list(np.random.default_rng(9).integers(0, base.shape[1], len(base)))
    block, ours, theirs = Block(base, following), Scores(), Scores()
    block.score_base(ours)
    block.score(other, theirs)
    return summary("base", ours, windows), summary("other", theirs, windows, ours)


def test_the_figures_are_what_their_definitions_say() -> None:
    p, q = random_rows(1).astype(np.float64), random_rows(2).astype(np.float64)
    following = np.random.default_rng(9).integers(0, p.shape[1], len(p))
    log_p, log_q = (rows - np.log(np.exp(rows).sum(1))[:, None] for rows in (p, q))
    base, other = scored(p.astype(np.float32), q.astype(np.float32))
    rows = np.arange(len(p))
    assert base.ppl.value == pytest.approx(math.exp(-log_p[rows, following].mean()), rel=1e-4)
    assert other.against is not None
    kld = (np.exp(log_p) * (log_p - log_q)).sum(1)
    assert other.against.kld.value == pytest.approx(kld.mean(), rel=1e-4)
    assert other.against.kld_max == pytest.approx(kld.max(), rel=1e-4)
    assert other.against.same_top.value == np.mean(p.argmax(1) == q.argmax(1))
    assert other.against.ppl_difference == pytest.approx(other.ppl.value - base.ppl.value)


def test_equal_distributions_have_no_divergence() -> None:
    rows = random_rows(1)
    _, other = scored(rows, rows + np.float32(5))
    assert other.against is not None
    assert abs(other.against.kld.value) < 1e-6
    assert other.against.same_top.value == 1.0


def test_the_interval_over_windows_contains_the_truth_as_often_as_it_says() -> None:
    random = np.random.default_rng(3)
    hits = 0
    for _ in range(400):
        values = np.repeat(random.normal(1.0, 1.0, 6), 50) + random.normal(0, 0.2, 300)  # tokens of a window depend on each other
        found = estimate(values, 6)
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= 1.0 <= found.high
    assert 0.91 <= hits / 400 <= 0.98


def test_few_windows_have_no_interval() -> None:
    assert estimate(np.ones(30), 3).low is None


def measured(arms: list[Arm], text: str = "") -> Outcome:
    return QualityRun(arms, text or shipped_text(), n_ctx=128, most_windows=2).run(builtin.file_of, builtin.is_ours)


@pytest.mark.slow
def test_a_smaller_kv_type_diverges_and_the_same_one_does_not() -> None:
    small = msgspec.structs.replace(PLAIN, type_k="q4_0", type_v="q4_0", flash_attn="on")
    outcome = measured([Arm("f16", GUIDE, PLAIN), Arm("again", GUIDE, PLAIN), Arm("q4_0", GUIDE, small)])
    base, again, other = outcome.results
    assert (base.windows, base.tokens, outcome.interrupted) == (2, 126, False)
    assert again.against is not None
    assert other.against is not None
    assert again.against.kld_max < 1e-6
    assert again.ppl == base.ppl
    assert other.against.kld.value > 1e-5


@pytest.mark.slow
def test_a_text_shorter_than_a_window_is_refused() -> None:
    with pytest.raises(UsageError, match="shorter than one window"):
        measured([Arm("guide", GUIDE, PLAIN)], "Short.")


@pytest.mark.slow
def test_a_run_that_is_stopped_keeps_whole_windows() -> None:
    run = QualityRun([Arm("guide", GUIDE, PLAIN)], shipped_text(), n_ctx=128)
    outcome = run.run(builtin.file_of, builtin.is_ours, lambda done, _: run.stop() if done == 2 else None)
    assert outcome.interrupted
    assert (outcome.results[0].windows, outcome.results[0].tokens) == (2, 126)


def test_ctrl_c_waits_for_what_is_measured() -> None:
    usual = signal.signal(signal.SIGINT, signal.default_int_handler)  # it is ignored where the tests run in the background
    begun = threading.Event()

    def interrupt_main() -> None:
        begun.wait()
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    threading.Thread(target=interrupt_main).start()
    stopped = threading.Event()

    def work() -> bool:
        begun.set()
        return stopped.wait(10)

    try:
        assert on_compute_thread(work, stopped.set)
    finally:
        signal.signal(signal.SIGINT, usual)


def test_a_missing_base_and_a_binary_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        measured([Arm("none", tmp_path / "none.gguf", PLAIN)])
    (tmp_path / "binary").write_bytes(b"a\0b")
    with pytest.raises(UsageError, match="not a text file"):
        text_of(tmp_path / "binary")
    with pytest.raises(UsageError, match="can't be read"):
        text_of(tmp_path)


@pytest.mark.slow
def test_another_vocabulary_is_refused_with_the_reason(tmp_path: Path) -> None:
    other = dense(tmp_path / "other.gguf")
    with pytest.raises(ModelError, match="other has a different vocabulary"):
        measured([Arm("guide", GUIDE, PLAIN), Arm("other", other, PLAIN)])
