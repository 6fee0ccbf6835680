"""Predicted memory beside what the native library really allocates, and what is offered when a model does not fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import pytest

from engine.host.topology import Room, cpu_features
from engine.models.facts import ModelFacts
from engine.models.facts_cache import read_facts
from engine.models.fit import fit
from engine.models.memory import MemoryEstimate, answers_of, kv_misfit, predict, repacked_types, traffic_of
from engine.numbers import byte_size
from engine.presets.preset import Preset, Switch
from tests import ggufs
from tests.engine.models import raw_gguf

GIB = 1 << 30


def loaded(path: Path, preset: Preset, n_seq: int = 1) -> dict[str, int]:
    """What the native library says it holds after a real load, by purpose."""
    from engine.llama.context import Context
    from engine.llama.files import examine
    from engine.llama.log import NativeLog
    from engine.llama.model import Model

    log = NativeLog(None)
    model = Model(path, examine(path), preset=preset, log=log, progressed=lambda _: True)
    try:
        context = Context(model, preset, n_seq=n_seq, threads=1, threads_batch=1, log=log)
        use = context.memory_use()
        context.close()
        return use
    finally:
        model.close()


def within_5_percent(estimate: MemoryEstimate, use: Mapping[str, int]) -> bool:
    real = sum(use.values())
    return abs(estimate.total - estimate.vocabulary - real) <= 0.05 * real


PRESETS = {
    "daily": Preset(),
    "small graph": Preset(n_ubatch=64, n_ctx=512),
    "quantized cache": Preset(type_k="q8_0", type_v="q8_0", n_ctx=1024),
    "no flash attention": Preset(flash_attn="off", n_ctx=1024),
    "private copy": Preset(mmap=False),
    "no repacking": Preset(repack=False),
}


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS.keys())
@pytest.mark.parametrize("maker", [ggufs.dense, ggufs.spm, ggufs.hybrid, ggufs.sliding_window, ggufs.recurrent])
@pytest.mark.slow
def test_the_prediction_is_within_five_percent_of_a_real_load(tmp_path: Path, maker: Callable[..., Path], preset: Preset) -> None:
    path = maker(tmp_path / "model.gguf", layers=12) if maker in (ggufs.dense, ggufs.spm) else maker(tmp_path / "model.gguf")
    estimate = predict(read_facts([path]), preset, features=cpu_features())
    use = loaded(path, preset)
    assert within_5_percent(estimate, use), (estimate, use)
    assert estimate.kv == use["kv"]
    assert estimate.output == use["output"]


@pytest.mark.slow
@pytest.mark.parametrize("maker", [ggufs.dense, ggufs.hybrid, ggufs.sliding_window, ggufs.recurrent])
@pytest.mark.parametrize("flash_attn", ["auto", "off"])
def test_answers_at_once_share_one_cache_with_flash_attention_only(tmp_path: Path, maker: Callable[..., Path], flash_attn: Switch) -> None:
    path = maker(tmp_path / "model.gguf", **({"layers": 12} if maker is ggufs.dense else {}))
    preset = Preset(n_ctx=512, parallel=4, flash_attn=flash_attn)
    estimate = predict(read_facts([path]), preset, features=cpu_features())
    use = loaded(path, preset, n_seq=4)
    assert within_5_percent(estimate, use), (estimate, use)
    assert estimate.kv == use["kv"]
    assert estimate.output == use["output"]
    if maker is ggufs.dense:
        alone = predict(read_facts([path]), Preset(n_ctx=512), features=cpu_features())
        assert estimate.kv == alone.kv * (4 if flash_attn == "off" else 1)


def test_auto_takes_as_many_answers_as_are_wanted_and_half_of_the_memory_holds(tmp_path: Path) -> None:
    facts = msgspec.structs.replace(read_facts([ggufs.dense(tmp_path / "model.gguf")]), recurrent_bytes=GIB)

    def answers(available: int, preset: Preset = Preset()) -> int:  # noqa: B008
        return answers_of(preset, facts, wanted=8, available=available, features=set())

    assert answers(100 * GIB) == 8
    assert answers(7 * GIB) == 4
    assert answers(GIB) == 1
    assert answers(100 * GIB, Preset(flash_attn="off")) == 1
    assert answers(GIB, Preset(parallel=6)) == 6


def test_repacked_types_depend_on_the_instruction_sets() -> None:
    assert repacked_types({"sse4_2"}) == frozenset()
    assert "q4_K" in repacked_types({"avx2"})
    assert "q2_K" in repacked_types({"avx2", "avx512f"}) - repacked_types({"avx2"})
    assert "q8_0" in repacked_types({"asimddp"})


def large(tmp_path: Path, **changes: object) -> ModelFacts:
    """Facts of an 8B-shaped Q4_K model, without its bytes."""
    facts = read_facts([raw_gguf.write(tmp_path / "m.gguf")])
    return msgspec.structs.replace(
        facts,
        n_params=8 * 10**9,
        weight_bytes=9 * GIB // 2,
        repackable={"q4_K": 4 * GIB},
        n_ctx_train=32_768,
        n_embd=4096,
        n_ff=12_288,
        kv=(msgspec.structs.replace(facts.kv[0], layers=36, k_width=1024, v_width=1024, head_k=128, head_v=128),),
        **changes,
    )


def test_mapped_originals_of_repacked_weights_need_not_stay(tmp_path: Path) -> None:
    estimate = predict(large(tmp_path), Preset(), features={"avx2"})
    assert estimate.total - estimate.needed == 4 * GIB
    assert predict(large(tmp_path), Preset(mmap=False), features={"avx2"}).evictable == 0


def test_a_model_that_fits_needs_no_remedy(tmp_path: Path) -> None:
    verdict = fit(large(tmp_path), Preset(), Room(16 * GIB, 32 * GIB, limited=False), features={"avx2"})
    assert verdict.fits
    assert verdict.remedies == ()
    assert verdict.sentence.startswith("needs ")


@pytest.mark.parametrize("room_gib", [4.7, 5.0, 5.5, 6.0])
def test_three_remedies_are_offered_and_each_of_them_fits(tmp_path: Path, room_gib: float) -> None:
    facts = large(tmp_path)
    room = Room(int(room_gib * GIB), 8 * GIB, limited=True)
    preset = Preset(n_ctx=32_768)
    siblings = {
        "Q2_K": msgspec.structs.replace(facts, weight_bytes=2 * GIB, repackable={}),
        "F16": msgspec.structs.replace(facts, weight_bytes=16 * GIB),
    }
    verdict = fit(facts, preset, room, features={"avx2"}, siblings=siblings)
    assert not verdict.fits
    assert "does not fit" in verdict.sentence
    assert 1 <= len(verdict.remedies) <= 3
    for remedy in verdict.remedies:
        assert remedy.needed <= room.available
        assert byte_size(remedy.needed) in remedy.sentence
        settings = {key: value for key, value in remedy.changes.items() if key != "quant"}
        other = siblings[remedy.changes["quant"]] if "quant" in remedy.changes else facts
        assert predict(other, msgspec.structs.replace(preset, **settings), features={"avx2"}).needed <= room.available
    if room_gib == 6.0:
        assert len(verdict.remedies) == 3


def test_a_hopeless_model_is_said_to_be_one(tmp_path: Path) -> None:
    verdict = fit(large(tmp_path), Preset(), Room(GIB, 2 * GIB, limited=False), features={"avx2"})
    assert [remedy.changes for remedy in verdict.remedies] == [{}]
    assert "smaller model" in verdict.remedies[0].sentence


@pytest.mark.parametrize(("kind", "head", "fits"), [("q8_0", 128, True), ("q8_0", 80, False), ("f16", 80, True), ("q4_0", 48, False)])
def test_a_cache_type_must_divide_the_head_size(tmp_path: Path, kind: str, head: int, fits: bool) -> None:
    facts = large(tmp_path)
    facts = msgspec.structs.replace(facts, kv=(msgspec.structs.replace(facts.kv[0], head_k=head, head_v=head),))
    preset = msgspec.convert({"type_k": kind, "type_v": kind}, Preset)
    assert bool(kv_misfit(facts, preset)) is not fits


def test_the_traffic_of_a_token_is_weights_and_cache(tmp_path: Path) -> None:
    facts = large(tmp_path)
    traffic = traffic_of(facts, Preset())
    assert traffic.weights_bytes == facts.token_bytes
    assert traffic.kv_bytes_per_position == 36 * 2048 * 2
