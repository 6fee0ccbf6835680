"""What switching costs: how late a hot change is, a rebuild and a resume beside a prefill, and what reloads leave behind in memory.

    python -m tests.bench.bench_switch --model FILE.gguf [hot] [rebuild] [resume] [reloads]

Without a name all are measured. Ratios are of one run, so that a busy machine meets both sides.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Literal

import msgspec
import psutil

from engine.backend import BackendEvent, TokensDecoded
from engine.kv_state import HeldState
from engine.llama.backend import LlamaBackend
from engine.models.kv_files import KvFolder
from engine.presets.preset import Preset
from tests.engine.llama.driver import Driver, token_prompt

TOKENS = 2_000
SWITCHES = 20
RELOADS = 20
REBUILDS = 3
"""Pairs of rebuilds, there and back."""
LATE_TARGET = 1
REBUILD_TARGET = 0.1
RESUME_TARGET = 0.2
RSS_TARGET = 0.03


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def prompt_of(count: int) -> list[int]:
    return [1000 + (index * 31) % 20_000 for index in range(count)]


def load(backend: LlamaBackend, path: Path, preset: Preset) -> float:
    """Seconds until the model can answer."""
    began = time.perf_counter()
    backend.load(path, preset, lambda _event: None).result()
    return time.perf_counter() - began


def hot(backend: LlamaBackend, path: Path) -> None:
    """Tokens that a change of threads is late: begun after it was asked for, and still made by the old number."""
    one = Preset(n_ctx=1024, threads=1, threads_batch=1, stream_batch=1)
    two = msgspec.structs.replace(one, threads=2)
    load(backend, path, one)
    made_by: list[int | Literal["auto"]] = []
    tokens = threading.Semaphore(0)

    def listen(event: BackendEvent) -> None:
        now = backend.threads_now
        if isinstance(event, TokensDecoded) and now is not None:
            made_by.append(now.threads)
            tokens.release()

    turn = Driver(backend).start(token_prompt(prompt_of(16)), max_tokens=SWITCHES * 6 + 10, on_event=listen)
    late = []
    for switch in range(SWITCHES):
        for _ in range(4):
            tokens.acquire()
        wanted = two if switch % 2 == 0 else one
        asked_at = len(made_by)
        backend.apply_hot(wanted)
        while made_by[-1:] != [wanted.threads]:
            tokens.acquire()
        late.append(made_by.index(wanted.threads, asked_at) - asked_at)
    backend.stop()
    turn.finish()
    say(f"hot switch: at most {max(late)} token late, {sum(late) / len(late):.2f} on average over {SWITCHES} (target {LATE_TARGET})")


def rebuild(backend: LlamaBackend, path: Path) -> None:
    """A new context with the conversation carried over, as a share of reading the conversation again."""
    small = Preset(n_ctx=4096)
    load(backend, path, small)
    driver, prompt = Driver(backend), prompt_of(TOKENS)
    prefill_s = driver.ask(token_prompt(prompt), max_tokens=1).finished.timings.prompt_ms / 1e3
    windows = [6144, 4096] * REBUILDS
    rebuild_s = statistics.median(load(backend, path, msgspec.structs.replace(small, n_ctx=window)) for window in windows)
    after = driver.ask(token_prompt([*prompt, 1000]), max_tokens=1)
    assert after.ready.cache_n >= TOKENS, f"only {after.ready.cache_n} tokens were carried over"
    say(
        f"rebuild with {TOKENS:,} tokens carried over / prefilling them: {rebuild_s / prefill_s:.4f} (target {REBUILD_TARGET}); "
        f"{rebuild_s:.2f} s against {prefill_s:.2f} s"
    )


def resume(backend: LlamaBackend, path: Path) -> None:
    """Reading a conversation's state back from the disk, as a share of prefilling it."""
    preset = Preset(n_ctx=4096)
    driver = Driver(backend)
    for count in (TOKENS // 2, TOKENS):
        load(backend, path, msgspec.structs.replace(preset, repack=False))
        load(backend, path, preset)
        prompt = prompt_of(count)
        prefill_s = driver.ask(token_prompt(prompt), max_tokens=1).finished.timings.prompt_ms / 1e3
        held = backend.take_state(least_tokens=1, most_bytes=1 << 40).result()
        key = backend.state_key
        assert held is not None
        assert key is not None
        with tempfile.TemporaryDirectory() as folder:
            kept = KvFolder(Path(folder))
            began = time.perf_counter()
            assert kept.save("bench", key, held.tokens, held.state)
            save_s = time.perf_counter() - began
            load(backend, path, msgspec.structs.replace(preset, repack=False))
            load(backend, path, preset)
            began = time.perf_counter()
            saved = kept.load("bench", key)
            assert saved is not None
            assert backend.put_state(HeldState(key, saved.tokens, saved.state)).result() == len(held.tokens)
            resume_s = time.perf_counter() - began
        assert driver.ask(token_prompt([*prompt, 1000]), max_tokens=1).ready.cache_n >= count
        say(
            f"resume of {count:,} tokens from the disk / prefilling them: {resume_s / prefill_s:.4f} (target {RESUME_TARGET}); "
            f"{resume_s:.2f} s against {prefill_s:.2f} s; {len(held.state) / 1e6:,.0f} MB written in {save_s:.2f} s"
        )


def reloads(backend: LlamaBackend, path: Path) -> None:
    """Memory of the process after each of many reloads, beside the first one."""
    plain = Preset(n_ctx=1024)
    process = psutil.Process()
    sizes = []
    for _ in range(RELOADS + 1):
        load(backend, path, msgspec.structs.replace(plain, repack=False))
        load(backend, path, plain)
        Driver(backend).ask(token_prompt(prompt_of(32)), max_tokens=4)
        sizes.append(process.memory_info().rss)
    worst = max(abs(size / sizes[0] - 1) for size in sizes[1:])
    say(
        f"RSS after {RELOADS} reloads: {worst:.1%} from the first at most (target {RSS_TARGET:.0%}); "
        f"{sizes[0] / 1e6:,.0f} MB first, {sizes[-1] / 1e6:,.0f} MB last"
    )


def main() -> None:
    """Measure what was named, or everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("parts", nargs="*", choices=["hot", "rebuild", "resume", "reloads", []], default=[])
    options = parser.parse_args()
    backend = LlamaBackend(trusted=lambda _path: True)
    for part in (hot, rebuild, resume, reloads):
        if not options.parts or part.__name__ in options.parts:
            part(backend, options.model)
    backend.close()


if __name__ == "__main__":
    main()
