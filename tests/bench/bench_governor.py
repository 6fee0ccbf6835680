"""Decode speed with the thread governor beside every fixed thread count, on a quiet machine and with busy neighbour processes.

    python -m tests.bench.bench_governor MODEL.gguf [SECONDS]

Fixed counts and the governor take turns in short rounds of one run, so that a slow minute of the machine hits them alike. Each round of the
governor begins from what it knew at the end of its last one, as it does in a conversation. Prints the ratio of the governor to the best
fixed count (target 0.95).
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from engine.host.topology import read_topology
from engine.llama.context import Context
from engine.llama.files import examine
from engine.llama.log import NativeLog
from engine.llama.model import Model
from engine.llama.planning import Part
from engine.presets.preset import Preset
from engine.threads.auto import AutoThreads, OthersLoad

ROUNDS = 8
DEPTH = 64
TARGET = 0.95
_BUSY = "while True: pass"


class Decoder:
    """One model that decodes the same token again and again at a small depth."""

    def __init__(self, path: Path) -> None:
        log = NativeLog(None)
        log.listen()
        self._model = Model(path, examine(path), mmap=True, repack=True, log=log, progressed=lambda _: True)
        self._context = Context(self._model, Preset(n_ctx=512), n_seq=1, threads=1, threads_batch=1, log=log)
        self._position = 0

    def use(self, threads: int) -> None:
        """Change the count."""
        self._context.set_threads(threads, threads)

    def token(self) -> None:
        """Make one token."""
        if self._position >= DEPTH:
            self._context.memory.clear()
            self._position = 0
        self._context.decode((Part(0, self._position, (1000,), wants_logits=True),))
        self._context.logits(0)
        self._position += 1

    def warm_up(self) -> None:
        """Let the threads of a new count wake up."""
        for _ in range(3):
            self.token()


def fixed_round(decoder: Decoder, threads: int, seconds: float) -> float:
    """Tokens per second with one count."""
    decoder.use(threads)
    decoder.warm_up()
    begin, tokens = time.perf_counter_ns(), 0
    while (elapsed := time.perf_counter_ns() - begin) < seconds * 1e9:
        decoder.token()
        tokens += 1
    return tokens / elapsed * 1e9


def governed_round(decoder: Decoder, auto: AutoThreads, seconds: float) -> float:
    """Tokens per second with the governor."""
    decoder.use(auto.threads[0])
    decoder.warm_up()
    begin, tokens = time.perf_counter_ns(), 0
    before = begin
    while before - begin < seconds * 1e9:
        decoder.token()
        tokens += 1
        now = time.perf_counter_ns()
        counts = auto.decoded(now - before, now)
        if counts is not None:
            decoder.use(counts[0])
        before = now
    return tokens / (before - begin) * 1e9


def compare(decoder: Decoder, neighbours: int, seconds: float) -> float:
    """The governor's share of the best fixed count, with that many busy neighbours."""
    busy = [subprocess.Popen([sys.executable, "-c", _BUSY]) for _ in range(neighbours)]
    try:
        counts = range(1, read_topology().most_threads + 1)
        auto = AutoThreads(Preset())
        governed_round(decoder, auto, seconds)
        load = OthersLoad(longest_s=3600)
        speeds: dict[str, list[float]] = {}
        for turn in range(ROUNDS):
            # The scheduler makes whoever comes after a greedy round pay for it, so every second turn runs backwards.
            contenders = [*counts, 0]
            for count in contenders[:: 1 if turn % 2 else -1]:
                if count:
                    speeds.setdefault(f"{count} fixed", []).append(fixed_round(decoder, count, seconds))
                else:
                    speeds.setdefault("governor", []).append(governed_round(decoder, auto, seconds))
    finally:
        for process in busy:
            process.kill()
            process.wait()
    means = {name: sum(values) / len(values) for name, values in speeds.items()}
    ratio = means.pop("governor") / max(means.values())
    beside = max(0.0, (load.since_last() or 0.0) - neighbours)
    figures = ", ".join(f"{name} {mean:.1f}" for name, mean in means.items())
    print(f"{neighbours} busy neighbours: governor / best fixed {ratio:.3f} (target {TARGET}); tokens/s: {figures}")
    print(f"    strangers kept {beside:.1f} CPUs busy besides; {auto.reasons[0]}")
    return ratio


def notice(decoder: Decoder, seconds: float) -> None:
    """How soon a neighbour that starts, and one that stops, is noticed."""
    auto = AutoThreads(Preset())
    governed_round(decoder, auto, seconds)
    start = auto.threads[0]
    for what, process in (("starts", subprocess.Popen([sys.executable, "-c", _BUSY])), ("stops", None)):
        if process is not None:
            busy = process
        else:
            busy.kill()
            busy.wait()
        begin = time.perf_counter()
        before = auto.threads[0]
        while auto.threads[0] == before and time.perf_counter() - begin < 10:
            governed_round(decoder, auto, 0.1)
        took = time.perf_counter() - begin
        print(f"a neighbour {what}: {before} -> {auto.threads[0]} threads after {took:.2f} s (target 2; {start} at first)")


def main() -> None:
    """Run everything."""
    decoder = Decoder(Path(sys.argv[1]))
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 1.0
    for neighbours in range(3):
        compare(decoder, neighbours, seconds)
    notice(decoder, seconds)


if __name__ == "__main__":
    main()
