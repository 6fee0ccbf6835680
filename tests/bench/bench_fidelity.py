"""Whether the figures are true, against sources outside of the program: the kernel's counters, and a stopwatch around the facade.

    python -m tests.bench.bench_fidelity MODEL.gguf

Answers one message on the real engine for about ten seconds. Goals stand in brackets; the tests hold the same on tiny models.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

from engine.config import Config
from engine.events import AnswerGrew, Event, TurnFinished
from engine.host.bandwidth import measure, remembered
from engine.host.sampler import LinuxSampler
from engine.host.value import known
from engine.presets.preset import Preset, Sampling
from engine.session.open import open_session
from engine.session.session import Session
from tests.bench.bench_screen import fresh_folders

TICK_S = 0.5
LOOK_S = 10.0


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def kernel_cpu_s() -> float:
    """User and system time of this process by /proc/self/stat."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def kernel_rss() -> int:
    """Resident memory counted page by page."""
    rows = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(row.split()[1]) for row in rows if row.startswith("Rss:")) * 1024


class Stopwatch:
    """What a caller of the facade sees, by its own clock."""

    def __init__(self) -> None:
        self.arrivals: list[tuple[float, int]] = []
        self.turn: TurnFinished | None = None

    def take(self, event: Event) -> None:
        if isinstance(event, AnswerGrew) and event.token_ns:
            self.arrivals.append((time.monotonic(), len(event.token_ns)))
        elif isinstance(event, TurnFinished):
            self.turn = event


async def processor_and_memory(session: Session) -> None:
    """Sample as the panel does while tokens flow, and compare the mean with the kernel's counters over the whole time."""
    sampler = LinuxSampler()
    sampler.sample()
    began, cpu = time.monotonic(), kernel_cpu_s()
    weighted = worst_rss = 0.0
    while time.monotonic() - began < LOOK_S and session.busy:
        await asyncio.sleep(TICK_S)
        sample = await asyncio.to_thread(sampler.sample)
        weighted += (known(sample.cpu.process_pct) or 0.0) * (sample.interval_s or 0.0)
        worst_rss = max(worst_rss, abs((known(sample.memory.rss) or 0.0) / kernel_rss() - 1))
    elapsed, counted = time.monotonic() - began, kernel_cpu_s() - cpu
    sampler.close()
    shown, expected = weighted / elapsed, counted / elapsed * 100
    say(f"CPU over {elapsed:.0f} s: {shown:.1f} %, the kernel counts {expected:.1f} %: {abs(shown - expected):.2f} points off (2)")
    say(f"RSS: at most {worst_rss:.3%} off /proc/self/smaps_rollup (1 %)")


async def run(model: Path, tokens: int) -> None:
    """One answer, looked at from inside and outside."""
    preset = Preset(stream_batch=1, max_tokens=tokens, sampling=Sampling(temperature=0.0))
    session = await open_session(preset, Config())
    watch = Stopwatch()
    session.subscribe(watch.take)
    await session.load(model)
    pressed = time.monotonic()
    session.send("Tell me a long story about a lighthouse.")
    await processor_and_memory(session)
    session.stop()
    await session.wait_idle()
    assert watch.turn is not None
    timings = watch.turn.turn.timings
    (first, _), *later = watch.arrivals
    by_watch = sum(count for _, count in later) / (later[-1][0] - first)
    assert timings.predicted_per_second is not None
    assert timings.ttft_ms is not None
    off = abs(timings.predicted_per_second / by_watch - 1)
    say(f"tokens/s: {timings.predicted_per_second:.2f}, counted by the clock on the wall {by_watch:.2f}: {off:.2%} off (2 %)")
    late_ms = (first - pressed) * 1e3 - timings.ttft_ms
    say(f"TTFT: {timings.ttft_ms:.1f} ms, by a stopwatch around the facade {late_ms:.2f} ms more (5 ms)")
    await session.close()


async def denominators(rounds: int) -> None:
    """Measure what this machine can do, again and again: each time for itself, and what counts after it."""
    threads = len(os.sched_getaffinity(0))
    found, counting = [], []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "limits.json"
        for _ in range(rounds):
            found.append((await measure(threads, path)).read_gb_s)
            best = remembered(threads, path)
            assert best is not None
            counting.append(best.read_gb_s)
    for name, read, goal in (("each for itself", found, ""), ("what counts", counting, " (10 %)")):
        apart = max(max(pair) / min(pair) for pair in pairwise(read)) - 1
        values = ", ".join(f"{value:.1f}" for value in read)
        say(f"read bandwidth, {threads} threads, {name}: {values} GB/s, at most {apart:.1%} apart from run to run{goal}")


def main() -> None:
    """Run all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--tokens", type=int, default=1500)
    parser.add_argument("--rounds", type=int, default=6)
    options = parser.parse_args()
    with fresh_folders():
        asyncio.run(run(options.model, options.tokens))
        asyncio.run(denominators(options.rounds))


if __name__ == "__main__":
    main()
