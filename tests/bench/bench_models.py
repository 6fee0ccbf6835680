"""How long reading headers, listing a machine's models and predicting memory takes, and how exact the prediction is.

    python -m tests.bench.bench_models [MODEL.gguf ...]

Prints one line per figure with its target. With model files it also loads each one and compares the memory with the prediction.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

VOCABULARY = 152_000
FILES = 200


def _line(what: str, value: float, unit: str, target: float) -> None:
    verdict = "ok" if value <= target else "MISSED"
    print(f"{what:58} {value:9.2f} {unit:4} target {target:g}  {verdict}")


def _ms(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return (time.perf_counter() - begin) * 1e3


def _vocabulary(size: int) -> dict[str, object]:
    tokens = [f"token{i:06d}" for i in range(size)]
    return {"tokenizer.ggml.tokens": tokens, "tokenizer.ggml.merges": [f"to ken{i:06d}" for i in range(size)]}


def bench_header(folder: Path) -> None:
    """One file with a vocabulary as large as real ones."""
    from engine.models.gguf_header import read_header
    from tests.engine.models import raw_gguf

    path = raw_gguf.write(folder / "large.gguf", {**raw_gguf.MODEL, **_vocabulary(VOCABULARY)})
    _line(
        f"header, {VOCABULARY:,} tokens and merges, median of 9",
        statistics.median(_ms(lambda: read_header(path)) for _ in range(9)),
        "ms",
        60,
    )


def bench_catalog(folder: Path, files: int, vocabulary: int, cold_target: float, warm_target: float) -> None:
    """Many files: ten quants each of families that share a vocabulary."""
    from engine.models.catalog import list_models
    from tests.engine.models import raw_gguf

    metadata = {**raw_gguf.MODEL, **_vocabulary(vocabulary)}
    for number in range(files):
        family, quant = divmod(number, 10)
        raw_gguf.write(folder / f"family{family}-{quant}.gguf", {**metadata, "general.name": f"Family {family}"})

    def listing() -> None:
        assert sum(len(family.entries) for family in list_models([folder]).families) == files

    what = f"catalog of {files} files, {vocabulary:,} tokens each"
    _line(f"{what}, cold", _ms(listing), "ms", cold_target)
    _line(f"{what}, warm (median of 5)", statistics.median(_ms(listing) for _ in range(5)), "ms", warm_target)


def bench_kv(folder: Path) -> None:
    """A state as large as that of 1,000 tokens of a 0.6B model, which takes 2.3 s to prefill on two cores."""
    from engine.kv_state import StateKey
    from engine.models.kv_files import KvFolder

    states, key, state = KvFolder(folder / "kv"), StateKey("m", "f16", "1"), os.urandom(112 << 20)
    _line("KV state of 112 MiB, save", _ms(lambda: states.save("s", key, range(1000), state)), "ms", 2300)
    _line("KV state of 112 MiB, load (median of 3)", statistics.median(_ms(lambda: states.load("s", key)) for _ in range(3)), "ms", 460)


def bench_prediction(path: Path) -> None:
    """Predicted memory beside what the library allocates, per cent apart."""
    from engine.host.topology import cpu_features
    from engine.llama.log import NativeLog
    from engine.models.facts_cache import read_facts
    from engine.models.memory import predict
    from engine.presets.preset import Preset
    from tests.engine.models.test_memory import loaded

    NativeLog(None).listen()
    facts = read_facts([path])
    for preset in (Preset(), Preset(n_ctx=2048, type_k="q8_0", type_v="q8_0"), Preset(n_ctx=4096, flash_attn="off"), Preset(repack=False)):
        estimate = predict(facts, preset, features=cpu_features())
        real = sum(loaded(path, preset).values())
        apart = abs(estimate.total - estimate.vocabulary - real) / real * 100
        _line(f"memory of {path.name}, {real >> 20:,} MiB", apart, "%", 5)


def main() -> None:
    """Run everything."""
    with tempfile.TemporaryDirectory() as scratch:
        for variable, name in (("HOME", "home"), ("XDG_CACHE_HOME", "cache"), ("XDG_DATA_HOME", "data")):
            os.environ[variable] = str(Path(scratch, name))
        bench_header(Path(scratch))
        bench_catalog(Path(scratch, "many"), FILES, 300, 300, 30)
        bench_catalog(Path(scratch, "wide"), FILES, 32_000, 300, 30)
        bench_kv(Path(scratch))
        for name in sys.argv[1:]:
            bench_prediction(Path(name))


if __name__ == "__main__":
    main()
