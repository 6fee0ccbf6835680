"""Many answers at once: what they cost together, a prompt that arrives beside them, a common beginning, and cells that run out.

    python -m tests.bench.bench_many MODEL.gguf [--parts width,arrival,shared,stop,cells]

One compute thread, measured by its CPU time, so that neighbours hardly count; read the ratios.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from engine.backend import BackendEvent, GenerationFinished, PrefillProgressed, StopReason, TokensDecoded
from engine.clock import NS_PER_MS, NS_PER_S, now_ns
from engine.llama.backend import LlamaBackend
from engine.presets.preset import Preset, Sampling
from tests.bench.bench_decode import prompt_of, say
from tests.engine.llama.driver import Answer, Conversation, Driver, token_prompt

PRESET = Preset(n_ctx=8192, threads=1, threads_batch=1, stream_batch=1)
DEPTH = 64
LOAD_S = 600.0


@dataclass
class Watch:
    """CPU time of the compute thread at each event of a turn."""

    at_ns: list[int] = field(default_factory=list)
    first_ns: int = 0
    """When the first token came."""

    def __call__(self, event: BackendEvent) -> None:
        if isinstance(event, TokensDecoded | GenerationFinished | PrefillProgressed):
            now = time.thread_time_ns()
            if isinstance(event, TokensDecoded):
                self.at_ns.append(now)
                self.first_ns = self.first_ns or now


class Bench:
    """One backend, and contexts for the number of answers that each part wants."""

    def __init__(self, model: Path) -> None:
        self._model = model
        self.backend = LlamaBackend(trusted=lambda _path: True)
        self.driver = Driver(self.backend)

    def width(self, parallel: int, n_ctx: int = 8192) -> None:
        """A context for that number of answers, with nothing in it."""
        preset = msgspec.structs.replace(PRESET, parallel=parallel, n_ctx=n_ctx)
        for fresh in (msgspec.structs.replace(preset, mmap=False), preset):
            self.backend.load(self._model, fresh, lambda _event: None).result(LOAD_S)
        compute = self.backend._compute
        assert compute is not None
        assert compute._loaded is not None
        compute._loaded.model.vocabulary.eog = frozenset()  # no answer ends by itself

    def start(self, prompt: Sequence[int], tokens: int, watch: Callable[[BackendEvent], None] | None = None) -> Conversation:
        """A sampled answer of that length."""
        return self.driver.start(token_prompt(prompt), sampling=Sampling(seed=1), max_tokens=tokens, on_event=watch)


def many(bench: Bench, widths: Sequence[int], tokens: int, rounds: int) -> None:
    """Tokens per CPU second of steps with all answers in them."""
    rates: dict[int, list[float]] = {width: [] for width in widths}
    steps: dict[int, list[float]] = {width: [] for width in widths}
    for number in range(rounds):
        for width in widths:
            bench.width(width)
            watches = [Watch() for _ in range(width)]
            prompt = prompt_of(DEPTH, seed=number)  # evaluated once, so that all answers begin together
            started = [bench.start([*prompt, 40 + seat], tokens, watch) for seat, watch in enumerate(watches)]
            for conversation in started:
                conversation.finish()
            begin, end = max(watch.at_ns[0] for watch in watches), min(watch.at_ns[-1] for watch in watches)
            made = sum(sum(begin < at <= end for at in watch.at_ns) for watch in watches)
            rates[width].append(made * NS_PER_S / (end - begin))
            steps[width].append((end - begin) / NS_PER_MS * width / made)
    one = statistics.median(rates[widths[0]])
    for width in widths:
        rate = statistics.median(rates[width])
        say(f"{width:2} answers: {rate:7.1f} tokens per CPU second, {rate / one:.2f} x one; step {statistics.median(steps[width]):.1f} ms")


def arrivals(bench: Bench) -> None:
    """A prompt of 300 tokens beside one, four and eight answers."""
    for answers in (1, 4, 8):
        arrival(bench, answers, 300)


def arrival(bench: Bench, answers: int, prompt_tokens: int) -> None:
    """Steps of running answers while a prompt arrives, against steps without it."""
    bench.width(answers + 1)
    watch = Watch()
    running = [bench.start([*prompt_of(DEPTH), 40 + seat], 400, watch if seat == 0 else None) for seat in range(answers)]
    for conversation in running:
        conversation.wait_for(TokensDecoded)
    bench.start(prompt_of(prompt_tokens, seed=70), 1).finish()  # the curve is learned once
    while len(watch.at_ns) < 80:
        running[0].wait_for(TokensDecoded)
    came = Watch()
    begin = watch.at_ns[-1]
    late = bench.start(prompt_of(prompt_tokens, seed=77), 1, came)
    late.finish()
    end = came.first_ns
    for conversation in running:
        bench.backend.stop(conversation.turn)
        conversation.finish()
    gaps = list(zip(watch.at_ns, watch.at_ns[1:], strict=False))
    plain = statistics.median(b - a for a, b in gaps[20:] if b <= begin) / NS_PER_MS
    beside = [(b - a) / NS_PER_MS for a, b in gaps if a >= begin and b <= end + NS_PER_MS]
    say(
        f"{prompt_tokens} tokens arriving beside {answers}: step median {statistics.median(beside) / plain:.2f} x, "
        f"worst {max(beside) / plain:.2f} x of {plain:.1f} ms; {len(beside)} steps, TTFT {(end - begin) / NS_PER_MS:.0f} ms of CPU"
    )


def shared(bench: Bench, askers: int, common: int) -> None:
    """The prefill work of several askers with a common beginning, against that of one."""
    costs: dict[int, tuple[float, int, list[float]]] = {}
    for count in (1, askers):
        bench.width(askers)
        watches = [Watch() for _ in range(count)]
        began = time.process_time()
        prompts = [[*prompt_of(common), 40 + seat, *prompt_of(16, seed=seat + 2)] for seat in range(count)]
        started = [bench.start(prompt, 1, watch) for prompt, watch in zip(prompts, watches, strict=True)]
        finished = [conversation.finish() for conversation in started]
        cpu = time.process_time() - began
        ttft = [answer.finished.timings.ttft_ms or 0.0 for answer in finished]
        costs[count] = cpu, sum(answer.finished.timings.prompt_n for answer in finished), sorted(ttft)
    (one_cpu, one_n, _), (cpu, evaluated, ttft) = costs[1], costs[askers]
    say(
        f"{askers} askers with {common} common tokens: {evaluated} tokens evaluated against {one_n}, {cpu / one_cpu:.2f} x the CPU of one; "
        f"TTFT of the last {ttft[-1] / ttft[0]:.2f} x of the first"
    )


def cells(bench: Bench, answers: int, tokens: int, n_ctx: int) -> None:
    """More wanted than the KV cache holds."""
    bench.width(answers, n_ctx)
    started = [bench.start([*prompt_of(20, seed=seat + 1)], tokens) for seat in range(answers)]
    finished: list[Answer] = [conversation.finish() for conversation in started]
    complete = sum(answer.finished.reason in {StopReason.LENGTH, StopReason.EOG} for answer in finished)
    swaps = sum(answer.finished.n_swaps for answer in finished)
    made = sum(len(answer.tokens) for answer in finished)
    say(f"{n_ctx} cells, {answers} answers of {tokens}: {complete} complete, {made} tokens, {swaps} swaps")


def stop(bench: Bench, answers: int) -> None:
    """Time until one answer of several has ended."""
    bench.width(answers)
    took = []
    for _ in range(8):
        watch = Watch()
        running = [bench.start([*prompt_of(DEPTH), 40 + seat], 400, watch if seat else None) for seat in range(answers)]
        for conversation in running:
            conversation.wait_for(TokensDecoded)
        for _ in range(3):
            running[0].wait_for(TokensDecoded)
        asked = now_ns()
        bench.backend.stop(running[0].turn)
        took.append((running[0].finish().finished.at_ns - asked) / NS_PER_MS)
        bench.backend.stop()
        for conversation in running[1:]:
            conversation.finish()
    say(f"one of {answers} stopped after {statistics.median(took):.1f} ms (most {max(took):.1f}); goal 50")


def main() -> int:
    """Measure the parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--parts", default="width,arrival,shared,stop,cells")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=60)
    parser.add_argument("--common", type=int, default=1000)
    options = parser.parse_args()
    bench = Bench(options.model)
    parts: dict[str, Callable[[], None]] = {
        "width": lambda: many(bench, (1, 8, 16), options.tokens, options.rounds),
        "arrival": lambda: arrivals(bench),
        "shared": lambda: shared(bench, 8, options.common),
        "stop": lambda: stop(bench, 8),
        "cells": lambda: cells(bench, 8, 300, 1024),
    }
    for name in options.parts.split(","):
        parts[name]()
    bench.backend.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
