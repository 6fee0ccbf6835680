"""After regenerate, edit and stop, a model of every memory kind computes what it would compute from scratch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.kv_state import StateKey
from engine.llama.context import ABORTED, DECODED, Context
from engine.llama.files import examine
from engine.llama.kv import SequenceCache
from engine.llama.log import NativeLog
from engine.llama.model import Model
from engine.llama.planning import Part
from engine.models.kv_files import KvFolder
from engine.presets.preset import Preset
from tests import ggufs

pytestmark = pytest.mark.slow

KINDS = tuple(ggufs.MAKERS)
UBATCH = 32
EXACT: dict[str, Any] = {"type_k": "f32", "type_v": "f32", "flash_attn": "off"}
"""A KV cache that does not round, so that a small error is a wrong state."""
TOLERANCE = 2e-4
"""Largest difference of logits, which span a dozen units: batches of other sizes sum in another order."""


class Bench:
    """A model with a context, driven by hand on the test's own thread."""

    def __init__(self, path: Path) -> None:
        log = NativeLog()
        preset = Preset(n_ctx=1024, n_batch=128, n_ubatch=UBATCH, **EXACT)
        self.model = Model(path, examine(path), preset=Preset(repack=False), log=log, progressed=lambda _fraction: True)
        self.context = Context(self.model, preset, n_seq=1, threads=1, threads_batch=1, log=log)
        self.cache = self.new_cache()

    def new_cache(self, checkpoint_bytes: int = 1 << 30) -> SequenceCache:
        return SequenceCache(self.context.memory, 0, self.model.memory_kind, n_swa=self.model.n_swa, checkpoint_bytes=checkpoint_bytes)

    def close(self) -> None:
        self.context.close()
        self.model.close()

    def evaluate(self, tokens: Sequence[int], marks: Sequence[int] = ()) -> NDArray[np.float32]:
        """Bring the cache to `tokens`, with checkpoints at `marks`, and return the logits after the last one."""
        self.cache.reuse(tokens)
        logits = None
        while len(self.cache.tokens) < len(tokens):
            held = len(self.cache.tokens)
            end = min([held + 100, len(tokens), *(mark for mark in marks if mark > held)])
            part = tokens[held:end]
            assert self.context.decode([Part(0, held, part, wants_logits=True)]) == DECODED
            logits = self.context.logits(len(part) - 1).copy()
            self.cache.extend(part)
            if end in marks:
                self.cache.checkpoint()
        assert logits is not None
        return logits

    def from_scratch(self, tokens: Sequence[int]) -> NDArray[np.float32]:
        self.cache.clear()
        return self.evaluate(tokens)

    def abort(self, tokens: Sequence[int]) -> None:
        """Evaluate `tokens` in a call that is aborted before its first node."""
        self.context.request_abort()
        result = self.context.decode([Part(0, len(self.cache.tokens), tokens, wants_logits=True)])
        self.context.clear_abort()
        assert result == ABORTED
        self.context.settle()
        self.cache.aborted(tokens)


@pytest.fixture(params=KINDS, scope="module")
def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    path = ggufs.MAKERS[request.param](tmp_path_factory.mktemp("kinds") / "model.gguf")
    bench = Bench(path)
    yield bench
    bench.close()


@pytest.fixture(autouse=True)
def empty(bench: Bench) -> None:
    bench.cache.clear()


def words(count: int, seed: int) -> list[int]:
    return [int(token) for token in np.random.default_rng(seed).integers(32, 256, count)]


SYSTEM, QUESTION, ANSWER = words(90, 1), words(210, 2), words(60, 3)
PROMPT = [*SYSTEM, *QUESTION]
MARKS = (len(SYSTEM), len(PROMPT) - 8)


def same(left: NDArray[np.float32], right: NDArray[np.float32]) -> None:
    assert np.abs(left - right).max() <= TOLERANCE


def test_the_comparison_sees_a_single_wrong_token(bench: Bench) -> None:
    wrong = [*PROMPT[:-30], PROMPT[-30] + 1, *PROMPT[-29:]]
    assert np.abs(bench.from_scratch(PROMPT) - bench.from_scratch(wrong)).max() > 4 * TOLERANCE


def test_a_longer_conversation_evaluates_only_what_is_new(bench: Bench) -> None:
    bench.evaluate([*PROMPT, *ANSWER], MARKS)
    longer = [*PROMPT, *ANSWER, *words(50, 4)]
    assert bench.cache.reuse(longer).cached == len(PROMPT) + len(ANSWER)
    same(bench.evaluate(longer), bench.from_scratch(longer))


def test_regenerate(bench: Bench) -> None:
    bench.evaluate([*PROMPT, *ANSWER], MARKS)
    cached = bench.cache.reuse(PROMPT).cached
    assert cached >= len(PROMPT) - 8
    same(bench.evaluate(PROMPT), bench.from_scratch(PROMPT))


def test_edit_goes_back_to_the_nearest_checkpoint(bench: Bench) -> None:
    bench.evaluate([*PROMPT, *ANSWER], MARKS)
    edited = [*SYSTEM, *QUESTION[:30], *words(4, 5)]
    reuse = bench.cache.reuse(edited)
    assert reuse.diverged_at == len(SYSTEM) + 30
    assert reuse.cached in (len(SYSTEM), len(SYSTEM) + 30)
    same(bench.evaluate(edited), bench.from_scratch(edited))


def test_edit_without_any_checkpoint(bench: Bench) -> None:
    bench.evaluate([*PROMPT, *ANSWER])
    edited = [*SYSTEM, *words(4, 6)]
    same(bench.evaluate(edited), bench.from_scratch(edited))


def test_another_conversation_shares_nothing(bench: Bench) -> None:
    bench.evaluate([*PROMPT, *ANSWER], MARKS)
    other = words(150, 7)
    assert bench.cache.reuse(other).cached == 0
    same(bench.evaluate(other), bench.from_scratch(other))


@pytest.mark.parametrize("marks", [MARKS, ()], ids=["with checkpoints", "without"])
def test_stop_in_the_prefill(bench: Bench, marks: Sequence[int]) -> None:
    bench.evaluate(SYSTEM, marks)
    bench.abort(QUESTION[:100])
    same(bench.evaluate(PROMPT, marks), bench.from_scratch(PROMPT))


def test_stop_in_the_first_prefill(bench: Bench) -> None:
    bench.abort(SYSTEM)
    same(bench.evaluate(PROMPT), bench.from_scratch(PROMPT))


def test_stop_in_the_prefill_and_edit(bench: Bench) -> None:
    bench.evaluate(SYSTEM, MARKS)
    bench.abort(QUESTION[:100])
    edited = [*SYSTEM, *words(4, 8)]
    same(bench.evaluate(edited), bench.from_scratch(edited))


def test_stop_while_decoding(bench: Bench) -> None:
    bench.evaluate(PROMPT, MARKS)
    for length in range(1, 20):
        bench.evaluate([*PROMPT, *ANSWER[:length]])
    bench.abort(ANSWER[19:20])
    longer = [*PROMPT, *ANSWER[:19], *words(3, 9)]
    same(bench.evaluate(longer), bench.from_scratch(longer))


def test_a_turn_goes_on_after_another_one_was_stopped_in_the_same_call(bench: Bench) -> None:
    bench.evaluate(PROMPT, MARKS)
    bench.abort(ANSWER[:50])
    whole = [*PROMPT, *ANSWER]
    same(bench.evaluate(whole), bench.from_scratch(whole))


def test_an_aborted_call_may_have_evaluated_everything_and_left_no_logits(bench: Bench) -> None:
    bench.evaluate(PROMPT, MARKS)
    assert bench.context.decode([Part(0, len(PROMPT), ANSWER[:1], wants_logits=False)]) == DECODED
    bench.cache.aborted(ANSWER[:1])
    whole = [*PROMPT, ANSWER[0]]
    assert bench.cache.reuse(whole).cached < len(whole)
    same(bench.evaluate(whole), bench.from_scratch(whole))


def test_checkpoints_stay_within_their_bytes(bench: Bench) -> None:
    if not bench.cache.uses_checkpoints:
        pytest.skip("full attention needs no checkpoints")
    bench.evaluate(SYSTEM)
    size = bench.context.memory.saved_size(0, partial=True)
    bench.cache.clear()
    bench.cache = bench.new_cache(checkpoint_bytes=int(size * 3.5))
    bench.evaluate(PROMPT, range(50, len(PROMPT), 20))
    positions = bench.cache.checkpoint_positions
    assert 1 <= len(positions) <= 3
    assert positions[-1] == 290
    edited = [*PROMPT[:200], *words(4, 10)]
    same(bench.evaluate(edited), bench.from_scratch(edited))
    bench.cache = bench.new_cache()


def test_the_whole_state_moves_to_another_context(bench: Bench, models: Callable[[str], Path]) -> None:
    bench.evaluate(PROMPT, MARKS)
    state = bench.cache.save()
    assert state is not None
    longer = [*PROMPT, *ANSWER]
    log = NativeLog()
    preset = Preset(n_ctx=512, n_batch=64, n_ubatch=64, **EXACT)
    other = Context(bench.model, preset, n_seq=1, threads=1, threads_batch=1, log=log)
    try:
        cache = SequenceCache(other.memory, 0, bench.model.memory_kind, n_swa=bench.model.n_swa, checkpoint_bytes=0)
        assert cache.adopt(PROMPT, state)
        assert other.decode([Part(0, len(PROMPT), ANSWER, wants_logits=True)]) == DECODED
        same(other.logits(len(ANSWER) - 1).copy(), bench.from_scratch(longer))
    finally:
        other.close()


def test_the_whole_state_comes_back_from_the_disk(bench: Bench, tmp_path: Path) -> None:
    key = StateKey(bench.model.fingerprint, "f32 f32 off 1", "this")
    folder = KvFolder(tmp_path / "kv")
    bench.evaluate(PROMPT, MARKS)
    state = bench.cache.save()
    assert state is not None
    assert folder.save("1", key, bench.cache.tokens, state.data)
    assert bench.cache.save(most_bytes=state.size - 1) is None

    bench.evaluate(words(9, 40))
    saved = folder.load("1", key)
    assert saved is not None
    assert bench.cache.replace(saved.tokens, np.frombuffer(saved.state, np.uint8))
    longer = [*PROMPT, *ANSWER]
    assert bench.cache.reuse(longer).cached == len(PROMPT)
    same(bench.evaluate(longer), bench.from_scratch(longer))
