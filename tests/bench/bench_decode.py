"""What the decode loop costs over bare `llama_decode` plus sampling, how soon a stop takes hold, and what a second turn reuses.

    python -m tests.bench.bench_decode --model FILE.gguf

Decoding is measured in turns (backend, bare, backend, bare, …) on the same context, so that a busy neighbour meets both; the ratio is the
figure, the speeds are not.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from engine.backend import BackendEvent, GenerationFinished, PrefillProgressed, PromptReady, StopReason, TokensDecoded
from engine.clock import NS_PER_MS, now_ns
from engine.llama.backend import LlamaBackend
from engine.llama.context import DECODED
from engine.llama.planning import Part
from engine.llama.sampling import Sampler
from engine.presets.preset import Preset, Sampling
from engine.timings import inter_token_ms, percentile
from tests.engine.llama.driver import Driver, token_prompt

PROMPT_TOKENS = 64


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def prompt_of(count: int, seed: int = 7) -> list[int]:
    """Tokens that every vocabulary has, and that no prompt of another seed begins with."""
    return [32 + (seed * 7919 + index * 31) % 211 for index in range(count)]


class Bare:
    """A loop that does nothing but decode and sample, on the backend's own context and thread."""

    def __init__(self, backend: LlamaBackend, prompt: Sequence[int], tokens: int, sampling: Sampling) -> None:
        self._backend = backend
        self._prompt = prompt
        self._tokens = tokens
        self._sampling = sampling
        self.gaps_ms: list[float] = []
        self.cpu_ms = 0.0

    def on_event(self, event: BackendEvent) -> None:
        """Where a turn begins, and so a place on the compute thread to run something else."""
        if not isinstance(event, PromptReady):
            return
        from engine.llama.native import lib

        compute = self._backend._compute
        assert compute is not None
        loaded = compute._loaded
        assert loaded is not None
        context, cache = loaded.context, loaded.scheduler.caches[0]
        cache.clear()
        assert context.decode([Part(0, 0, self._prompt, wants_logits=True)]) == DECODED
        sampler = Sampler(context, self._sampling, self._prompt)
        cell = (lib.llama_token * 1)(sampler.sample(len(self._prompt) - 1))
        batch = lib.llama_batch_get_one(cell, 1)
        pointer, chain = context.pointer, sampler._chain
        stamps = [now_ns()]
        began = time.thread_time_ns()
        for _ in range(self._tokens):
            lib.llama_decode(pointer, batch)
            cell[0] = int(context.logits(0).argmax()) if chain is None else lib.llama_sampler_sample(chain, pointer, -1)
            stamps.append(now_ns())
        self.cpu_ms = (time.thread_time_ns() - began) / NS_PER_MS
        self.gaps_ms = inter_token_ms(stamps)
        sampler.close()
        cache.clear()


@dataclass
class Side:
    """What one of the two loops took, over all rounds."""

    gaps_ms: list[float] = field(default_factory=list)
    cpu_ms: float = 0.0
    mean_ms: list[float] = field(default_factory=list)
    """Of a token, by round."""

    def add(self, gaps_ms: list[float], cpu_ms: float) -> None:
        self.gaps_ms += gaps_ms
        self.cpu_ms += cpu_ms
        self.mean_ms.append(statistics.fmean(gaps_ms))


def engine_round(driver: Driver, prompt: Sequence[int], tokens: int, sampling: Sampling) -> tuple[list[float], float]:
    """Milliseconds of each token of a turn, and the CPU time of the compute thread between its first and its last token."""
    cpu: list[int] = []

    def on_event(event: BackendEvent) -> None:
        if isinstance(event, TokensDecoded | GenerationFinished):
            cpu.append(time.thread_time_ns())

    answer = driver.ask(token_prompt(prompt), sampling=sampling, max_tokens=tokens + 1, on_event=on_event)
    return inter_token_ms(answer.finished.token_ns), (cpu[-1] - cpu[0]) / NS_PER_MS


def decode_ratio(backend: LlamaBackend, driver: Driver, rounds: int, tokens: int) -> None:
    for name, sampling in (("greedy", Sampling(temperature=0.0)), ("top-k 40, top-p, min-p", Sampling(seed=1))):
        engine, bare = Side(), Side()
        for number in range(rounds):
            prompt = prompt_of(PROMPT_TOKENS, seed=number + 1)
            for side in (engine, bare) if number % 2 else (bare, engine):
                if side is engine:
                    side.add(*engine_round(driver, prompt, tokens, sampling))
                else:
                    loop = Bare(backend, prompt, tokens, sampling)
                    driver.ask(token_prompt([1]), max_tokens=1, on_event=loop.on_event)
                    side.add(loop.gaps_ms, loop.cpu_ms)
        by_round = [b / e for b, e in zip(bare.mean_ms, engine.mean_ms, strict=True)]
        typical = {side: percentile(sorted(times.gaps_ms), 0.25) or 0.0 for side, times in (("engine", engine), ("bare", bare))}
        cpu = (bare.cpu_ms / len(bare.gaps_ms)) / (engine.cpu_ms / len(engine.gaps_ms))
        say(
            f"decode, {name}: {cpu:.3f} of bare by CPU time, "
            f"{typical['bare'] / typical['engine']:.3f} by an undisturbed token ({typical['engine']:.2f} ms), "
            f"{statistics.median(by_round):.3f} by the clock ({min(by_round):.2f} to {max(by_round):.2f} with neighbours); goal 0.99"
        )


def stop_latency(driver: Driver, repeats: int, *, depth: int, decoding: bool) -> None:
    """Time from `stop` to GenerationFinished, both taken by the same clock; `depth` tokens are in the KV cache already."""
    base = prompt_of(depth, seed=depth)
    driver.ask(token_prompt(base), max_tokens=1)
    latencies = []
    for number in range(repeats):
        seen = threading.Event()
        waits_for = TokensDecoded if decoding else PrefillProgressed

        def on_event(event: BackendEvent, kind: type = waits_for, seen: threading.Event = seen) -> None:
            if isinstance(event, kind):
                seen.set()

        prompt = [*base, *prompt_of(8 if decoding else 512, seed=1000 + number)]
        conversation = driver.start(token_prompt(prompt), on_event=on_event)
        seen.wait()
        # Somewhere inside a call, never at the same place twice.
        threading.Event().wait(0.003 + 0.011 * (number % 17))
        asked = now_ns()
        driver.backend.stop(conversation.turn)
        finished = conversation.finish().finished
        if finished.reason is StopReason.CANCELLED:
            latencies.append((finished.at_ns - asked) / NS_PER_MS)
    latencies.sort()
    where = "while decoding" if decoding else "in a prefill"
    say(f"stop {where} at depth {depth}: p50 {percentile(latencies, 0.5):.1f} ms, max {latencies[-1]:.1f} ms of {len(latencies)} (goal 50)")


def second_turn(driver: Driver) -> None:
    """What of a second turn is evaluated."""
    prompt = prompt_of(400, seed=99)
    first = driver.ask(token_prompt(prompt), max_tokens=32)
    more = prompt_of(40, seed=98)
    second = driver.ask(token_prompt([*prompt, *first.tokens, *more]), max_tokens=1)
    ready = second.ready
    say(
        f"second turn: {ready.cache_n} tokens reused, {second.finished.timings.prompt_n} evaluated "
        f"({len(more)} are new, 1 was sampled last), ttft {second.finished.timings.ttft_ms:.0f} ms "
        f"after {first.finished.timings.ttft_ms:.0f} ms"
    )


def long_answer(backend: LlamaBackend, driver: Driver, tokens: int) -> None:
    """Whether the loop's share of a token grows with the answer; the model's own does, since attention reads ever more."""
    prompt = prompt_of(PROMPT_TOKENS, seed=5)
    greedy = Sampling(temperature=0.0)
    engine, _ = engine_round(driver, prompt, tokens, greedy)
    loop = Bare(backend, prompt, tokens, greedy)
    driver.ask(token_prompt([1]), max_tokens=1, on_event=loop.on_event)
    tenth = max(2, min(len(engine), tokens) // 10)
    parts = []
    for name, part in (("first", slice(None, tenth)), ("last", slice(-tenth, None))):
        ours, bare = (percentile(sorted(gaps[part]), 0.25) or 0.0 for gaps in (engine, loop.gaps_ms))
        parts.append(f"{bare / ours:.3f} of bare in its {name} tenth ({ours:.2f} ms per token)")
    say(f"answer of {len(engine) + 1} tokens: {', '.join(parts)}")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=10, help="of decoding, engine and bare; 0 for none")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--stops", type=int, default=20, help="per depth; 0 for none")
    parser.add_argument("--long", type=int, default=0, help="length of the long answer, such as 4000")
    parser.add_argument("--threads", type=int, help="1 makes the CPU time a fair measure: more threads spin while they wait")
    parser.add_argument("--n-ctx", type=int, default=8192)
    options = parser.parse_args(arguments)
    backend = LlamaBackend()
    driver = Driver(backend)
    try:
        threads: int | Literal["auto"] = options.threads or "auto"
        preset = Preset(n_ctx=options.n_ctx, threads=threads, threads_batch=threads)
        info = backend.load(options.model, preset, lambda _event: None).result()
        say(f"{info.model.name} {info.model.quant}, {info.threads} threads, n_ctx {info.n_ctx}, loaded in {info.load_ms:.0f} ms")
        say("memory: " + ", ".join(f"{name} {size / 1e6:.0f} MB" for name, size in info.memory.items()))
        again = backend.load(options.model, Preset(n_ctx=options.n_ctx // 2), lambda _event: None).result()
        backend.load(options.model, preset, lambda _event: None).result()
        say(f"context rebuilt in {again.load_ms:.0f} ms")
        if options.rounds:
            decode_ratio(backend, driver, options.rounds, options.tokens)
        if options.stops:
            for depth in (PROMPT_TOKENS, info.n_ctx // 2, info.n_ctx - 1024):
                for decoding in (True, False):
                    stop_latency(driver, options.stops, depth=depth, decoding=decoding)
        second_turn(driver)
        if options.long:
            long_answer(backend, driver, options.long)
    finally:
        backend.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
