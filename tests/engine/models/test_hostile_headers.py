"""A file may claim anything: what it is not big enough for is refused, quickly and in little memory."""

from __future__ import annotations

import os
import struct
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from engine.errors import ModelError
from engine.host.topology import Room
from engine.models.catalog import list_models
from engine.models.check import check_model
from engine.models.facts_cache import FactsCache
from engine.models.fit import fit
from engine.presets.preset import Preset
from tests import ggufs
from tests.engine.models import mutation

FILES = 1000 if "XCHAT_FUZZ" in os.environ else 250
"""`just fuzz` tries more."""
MOST_BYTES = 100 << 20
"""Of Python objects, while one of these small files is read."""
MOST_CPU_S = 1.0


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> list[mutation.Gguf]:
    folder = tmp_path_factory.mktemp("bases")
    makers = (ggufs.dense, ggufs.sliding_window, ggufs.hybrid, ggufs.recurrent, ggufs.spm)
    return [replace(mutation.parse(make(folder / f"{make.__name__}.gguf").read_bytes()), data=b"") for make in makers]


def test_a_taken_apart_file_is_put_together_again(tmp_path: Path) -> None:
    whole = ggufs.dense(tmp_path / "dense.gguf").read_bytes()
    assert mutation.parse(whole).dump() == whole


@pytest.mark.slow
def test_mutated_files_are_read_or_refused(bases: list[mutation.Gguf], tmp_path: Path) -> None:
    path, cache, room = tmp_path / "mutated.gguf", FactsCache(tmp_path / "facts"), Room(8 << 30, 16 << 30, False)
    refused: list[str] = []
    for seed in range(FILES):
        content = mutation.mutated(bases[seed % len(bases)], seed)
        with path.open("wb") as file:
            file.write(content)
            file.truncate(16 << 20)  # the weights: a hole
        began = time.thread_time()
        tracemalloc.start()
        try:
            facts = check_model(path, cache=cache).facts
            fit(facts, Preset(), room, features=("avx2",))
        except ModelError as error:
            refused.append(error.hint)
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert peak < MOST_BYTES, f"seed {seed}"
        assert time.thread_time() - began < MOST_CPU_S, f"seed {seed}"
    assert all(refused)
    assert FILES // 10 < len(refused) < FILES


CLAIMS: dict[str, Callable[[mutation.Gguf], bytes]] = {
    "layers": lambda base: mutation.with_value(base, "qwen3.block_count", 2**32 - 1),
    "layers that only predict": lambda base: mutation.with_value(
        mutation.parse(mutation.with_value(base, "qwen3.block_count", 2**32 - 1)), "qwen3.nextn_predict_layers", 2**32 - 2
    ),
    "a KV cache": lambda base: mutation.with_value(
        mutation.parse(mutation.with_value(base, "qwen3.attention.key_length", 2**32 - 1)), "qwen3.attention.head_count_kv", 2**32 - 1
    ),
    "a number of 64 bits": lambda base: replace(
        base, metadata=(*base.metadata, (b"qwen3.expert_count", 10, struct.pack("<Q", 2**64 - 1)))
    ).dump(),
    "a number beyond all integers": lambda base: replace(
        base, metadata=(*base.metadata, (b"qwen3.expert_count", 12, struct.pack("<d", 1e300)))
    ).dump(),
    "weights at odd places": lambda base: mutation.with_value(
        replace(base, tensors=tuple(replace(tensor, offset=tensor.offset + 8) for tensor in base.tensors), data=base.data + bytes(8)),
        "general.alignment",
        8,
    ),
    "tensors over each other": lambda base: replace(base, tensors=tuple(replace(tensor, offset=0) for tensor in base.tensors)).dump(),
}


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=CLAIMS)
def test_what_a_file_only_claims_is_not_believed(claim: Callable[[mutation.Gguf], bytes], tmp_path: Path) -> None:
    base = mutation.parse(ggufs.dense(tmp_path / "dense.gguf").read_bytes())
    (tmp_path / "models").mkdir()
    path = mutation.written(tmp_path / "models" / "claim.gguf", claim(base))
    tracemalloc.start()
    try:
        with pytest.raises(ModelError, match="claim"):
            check_model(path)
        listed = list_models([path.parent], environ={}, cache=FactsCache(tmp_path / "facts"))
        assert tracemalloc.get_traced_memory()[1] < MOST_BYTES
    finally:
        tracemalloc.stop()
    assert path in [broken.path for broken in listed.broken]


def test_metadata_without_end_is_refused(tmp_path: Path) -> None:
    entries = b"".join(struct.pack("<Q4sIB", 4, b"%04x" % n, 0, 1) for n in range(1 << 16))
    path = mutation.written(tmp_path / "many.gguf", b"GGUF" + struct.pack("<IQQ", 3, 0, (1 << 16) + 1) + entries + bytes(20))
    with pytest.raises(ModelError, match="more than any model"):
        check_model(path)


def test_numbers_without_end_are_refused(tmp_path: Path) -> None:
    array = struct.pack("<IIQ", 9, 0, 4096) + bytes(4096)
    entries = b"".join(struct.pack("<Q", 4) + b"%04x" % n + array for n in range(300))
    path = mutation.written(tmp_path / "many.gguf", b"GGUF" + struct.pack("<IQQ", 3, 0, 300) + entries)
    with pytest.raises(ModelError, match="more than 1,000,000 numbers"):
        check_model(path)
