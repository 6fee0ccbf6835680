"""`auto` on a busy machine beside every fixed choice and beside llama.cpp as it is, with neighbours of several kinds.

    python -m tests.bench.bench_busy MODEL.gguf [--kinds cpu,memory,llama,compiler] [--neighbours 0,1,2,4,8] [--parts speed,first]

All arms take turns in short rounds of one run, so that a slow minute of the machine hits them alike; read the ratios, not the speeds.
`speed`: decoding, and prefill in calls of 64 tokens. `first`: a prompt of 50 tokens in a fresh process, and decoding after it. `share`: the
share of a turn that others took beside what the load generator used. `quiet`: the estimate of the quiet speed beside the truth.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import psutil
from numpy.typing import NDArray

from engine.backend import BackendEvent, GenerationFinished, TokensDecoded
from engine.host.contention import COMPUTE_THREAD
from engine.llama.backend import LlamaBackend
from engine.llama.context import Context
from engine.llama.files import examine
from engine.llama.log import NativeLog
from engine.llama.model import Model
from engine.llama.planning import Part
from engine.llama.thread_counts import ContextThreads
from engine.presets.preset import Preset
from engine.threads.auto import AutoThreads
from engine.threads.spin_lever import SpinLever, find_lever
from engine.threads.wait_policy import TICK_S, WaitPolicy
from tests.bench.bare import PROMPT, BareLlama
from tests.bench.neighbours import KINDS, neighbours
from tests.engine.llama.driver import GREEDY, Driver, token_prompt

DEPTH = 64
PREFILL = 512
CHUNK = 64
FIRST_TOKENS = 24
FIXED = {"1": (1, True), "2 spin": (2, True), "2 sleep": (2, False)}
"""Every fixed choice: threads, and whether waiting ones spin."""
FIRST_ARMS: Mapping[str, Mapping[str, str]] = {
    "auto": {},
    "1": {},
    "2 spin": {"GOMP_SPINCOUNT": "300000"},
    "2 sleep": {"GOMP_SPINCOUNT": "100"},
    "bare": {},
}
"""The environment of a fresh process; libgomp reads it at its start."""


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


class Decoder:
    """One model with one context, whose calls are timed as the engine's are."""

    def __init__(self, path: Path, lever: SpinLever) -> None:
        log = NativeLog(None)
        log.listen()
        self._model = Model(path, examine(path), preset=Preset(), log=log, progressed=lambda _: True)
        self._context = Context(self._model, Preset(n_ctx=1024), n_seq=1, threads=1, threads_batch=1, log=log)
        self._context.warm_up()
        self._lever = lever
        self._auto_throttled = False
        self._waits = WaitPolicy(lever)
        self.auto = AutoThreads(Preset(), waits=self._waits)
        self._counts = ContextThreads(self._context, self.auto)
        self._position = 0

    def _call(self, tokens: int, *, auto: bool) -> None:
        if self._position + tokens > PREFILL or (tokens == 1 and self._position >= DEPTH):
            self._context.memory.clear()
            self._position = 0
        part = Part(0, self._position, (1000,) * tokens, wants_logits=True)
        self._position += tokens
        if not auto:
            self._context.decode((part,))
            self._context.logits(tokens - 1)
            return
        threads = self._counts.before(tokens)
        begin = time.perf_counter_ns()
        with self.auto.computing(threads):
            self._context.decode((part,))
        end = time.perf_counter_ns()
        self._counts.computed(tokens, 1, end - begin, end)
        self._context.logits(tokens - 1)

    def round(self, arm: str, tokens: int, seconds: float) -> float:
        """Tokens per second in calls of that many tokens."""
        auto = arm not in FIXED
        throttle = self._auto_throttled if auto else not FIXED[arm][1]
        (self._lever.throttle if throttle else self._lever.release)()
        if not auto:
            self._context.set_threads(FIXED[arm][0], FIXED[arm][0])
        else:
            self._counts._set = (0, 0)
        begin, made = time.perf_counter(), 0
        while (elapsed := time.perf_counter() - begin) < seconds:
            self._call(tokens, auto=auto)
            made += tokens
        if auto:
            while self._waits._active.is_set() and self._waits._busy_s:  # the lever belongs to the guard until it has judged the last call
                time.sleep(TICK_S)
            self._auto_throttled = self._lever.throttled
        return made / elapsed


def speeds(decoder: Decoder, tokens: int, rounds: int, seconds: float) -> dict[str, float]:
    """Tokens per second of all arms, in turns; every second turn runs backwards, since whoever comes after a greedy arm pays for it."""
    arms = (*FIXED, "auto")
    decoder.round("auto", tokens, seconds)
    made: dict[str, list[float]] = {arm: [] for arm in arms}
    for number in range(rounds):
        for arm in arms[:: 1 if number % 2 else -1]:
            made[arm].append(decoder.round(arm, tokens, seconds))
    return {arm: statistics.fmean(values) for arm, values in made.items()}


def compare_speeds(decoder: Decoder, label: str, rounds: int, seconds: float) -> None:
    """Decoding and prefill of `auto` beside the best fixed choice."""
    for what, tokens in (("decode", 1), ("prefill", CHUNK)):
        found = speeds(decoder, tokens, rounds, seconds)
        auto = found.pop("auto")
        best = max(found, key=lambda arm: found[arm])
        figures = ", ".join(f"{arm}: {speed:.1f}" for arm, speed in found.items())
        say(f"{label:14} {what:7} auto / best {auto / found[best]:.2f} ({best}); auto {auto:.1f} {decoder.auto.threads}, {figures}")


@dataclass(frozen=True, slots=True)
class First:
    """The first turn of a fresh process."""

    ttft_s: float
    per_second: float


def in_this_process(model: Path, arm: str) -> First:
    """The first turn here, where nothing has been computed before."""
    if arm == "bare":
        return First(*BareLlama(model, threads=2).measure(FIRST_TOKENS, most_s=8.0))
    count: int | Literal["auto"] = "auto" if arm == "auto" else int(arm[0])
    (finished,), _ = turns_of(model, Preset(n_ctx=1024, threads=count, threads_batch=count), [FIRST_TOKENS])
    return First((finished.token_ns[0] - finished.started_ns) / 1e9, speed_of(finished))


def first_turn(model: Path, arm: str) -> First:
    """The first turn of another process."""
    command = [sys.executable, "-m", "tests.bench.bench_busy", str(model), "--child", arm]
    found = subprocess.run(command, env={**os.environ, **FIRST_ARMS[arm]}, stdout=subprocess.PIPE, text=True, check=True)
    return First(*json.loads(found.stdout.splitlines()[-1]))


def compare_first(model: Path, label: str, rounds: int) -> None:
    """TTFT and decode speed of fresh processes."""
    found: dict[str, list[First]] = {arm: [] for arm in FIRST_ARMS}
    for number in range(rounds):
        for arm in tuple(FIRST_ARMS)[:: 1 if number % 2 else -1]:
            found[arm].append(first_turn(model, arm))
    ttft = {arm: statistics.fmean(first.ttft_s for first in firsts) for arm, firsts in found.items()}
    speed = {arm: statistics.fmean(first.per_second for first in firsts) for arm, firsts in found.items()}
    best = min((arm for arm in ttft if arm in FIXED), key=lambda arm: ttft[arm])
    say(
        f"{label:14} first   TTFT auto / best {ttft['auto'] / ttft[best]:.2f} ({best}); bare / auto {ttft['bare'] / ttft['auto']:.1f};"
        f" decode auto / bare {speed['auto'] / speed['bare']:.1f}"
    )
    say(f"    TTFT s: {', '.join(f'{arm}: {value:.2f}' for arm, value in ttft.items())}")
    say(f"    decode tokens/s: {', '.join(f'{arm}: {value:.1f}' for arm, value in speed.items())}")


def load(backend: LlamaBackend, model: Path, preset: Preset) -> None:
    backend.load(model, preset, lambda _: None).result()


def turns_of(
    model: Path, preset: Preset, lengths: Sequence[int], used_s: Callable[[], NDArray[np.float64]] = lambda: np.zeros(1)
) -> tuple[list[GenerationFinished], list[NDArray[np.float64]]]:
    """Turns on the real engine, one after the other, and the seconds of `used_s` in each second of them."""
    backend = LlamaBackend(trusted=lambda _path: True)
    driver = Driver(backend)
    load(backend, model, preset)
    finished, rates = [], []
    for number, length in enumerate(lengths):
        prompt = PROMPT if number == 0 else (*PROMPT[number % 40 :], *PROMPT)
        begin, used = time.perf_counter(), used_s()
        finished.append(driver.ask(token_prompt(prompt), sampling=GREEDY, max_tokens=length).finished)
        rates.append((used_s() - used) / (time.perf_counter() - begin))
    backend.close()
    return finished, rates


def speed_of(finished: GenerationFinished) -> float:
    return (len(finished.token_ns) - 1) / (finished.token_ns[-1] - finished.token_ns[0]) * 1e9


def compare_share(model: Path, turns: int, tokens: int) -> None:
    """The share of a turn that others took beside the truth, all bound to one CPU.

    The truth is the neighbour's processor time; where strangers run as well, what this process did not get of the CPU.
    """
    mine = os.sched_getaffinity(0)
    cpu = min(mine)
    os.sched_setaffinity(0, {cpu})
    try:
        for busy_ms, period_ms in ((5, 100), (30, 100), (2, 8), (60, 100), (100, 100)):
            with neighbours("pulse", 1, str(busy_ms), str(period_ms), cpu=cpu) as pulse:
                preset = Preset(n_ctx=1024, threads=1, threads_batch=1)
                found, rates = turns_of(model, preset, [tokens] * turns, lambda: np.array([pulse.cpu_s(), time.process_time()]))
            shares = [finished.taken_share or 0.0 for finished in found]
            truth = [1 - own for _, own in rates]
            worst = max(abs(share - true) for share, true in zip(shares, truth, strict=True))
            generated = statistics.fmean(float(used) for used, _ in rates)
            say(
                f"share of others, {busy_ms} of {period_ms} ms: {statistics.fmean(shares):.2f}, truth {statistics.fmean(truth):.2f}"
                f" (load generator alone {generated:.2f}); at most {worst * 100:.0f} points apart (target 10)"
            )
    finally:
        os.sched_setaffinity(0, mine)


def compare_quiet(model: Path, kind: str, turns: int, tokens: int) -> None:
    """The estimate of the quiet speed of turns beside one neighbour, and their speed by the processor time of the compute thread.

    One thread is never slower than its processor time because of others, but for caches and memory that they share: that is the truth,
    also where strangers run.
    """
    backend = LlamaBackend(trusted=lambda _path: True)
    driver = Driver(backend)
    load(backend, model, Preset(n_ctx=1024, threads=1, threads_batch=1))
    with neighbours(kind, 1, str(model)):
        found: list[tuple[float, float, float]] = []
        for number in range(turns):
            used: list[float] = []

            def on_event(event: BackendEvent, used: list[float] = used) -> None:
                if isinstance(event, TokensDecoded | GenerationFinished):
                    used.append(time.thread_time())

            prompt = token_prompt((*PROMPT[number % 40 :], *PROMPT))
            finished = driver.ask(prompt, sampling=GREEDY, max_tokens=tokens, on_event=on_event).finished
            if finished.quiet_per_second is not None:
                truth = (len(finished.token_ns) - 1) / (used[-1] - used[0])
                found.append((speed_of(finished), truth, finished.quiet_per_second))
    backend.close()
    if not found:
        say(f"{kind:14} quiet speed: no estimate in {turns} turns, too few tokens were undisturbed")
        return
    wall, quiet, estimate = (statistics.fmean(values) for values in zip(*found, strict=True))
    worst = max(abs(guess / true - 1) for _, true, guess in found)
    say(
        f"{kind:14} quiet speed: {quiet:.1f} tokens/s, beside one {wall:.1f}; estimated {estimate:.1f} in {len(found)} of {turns} turns,"
        f" at most {worst:.1%} off (target 7 %)"
    )


def beside_neighbours(options: argparse.Namespace, settings: Sequence[tuple[str, str, int]], parts: Sequence[str]) -> None:
    """The parts that compute in this process."""
    decoder = None
    if "speed" in parts:
        lever, why = find_lever()
        if lever is None:
            sys.exit(f"This build can't be measured: {why}")
        decoder = Decoder(options.model, lever)
    for label, kind, count in settings:
        with neighbours(kind, count, str(options.model)):
            if decoder is not None:
                compare_speeds(decoder, label, options.rounds, options.seconds)
            if "first" in parts:
                compare_first(options.model, label, max(2, options.rounds // 2))


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bench_busy", description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--neighbours", default="0,1,2,4,8")
    parser.add_argument("--parts", default="speed,first,share,quiet")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--child", choices=tuple(FIRST_ARMS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        first = in_this_process(options.model, options.child)
        say(json.dumps((first.ttft_s, first.per_second)))
        return
    parts, counts = options.parts.split(","), [int(count) for count in options.neighbours.split(",")]
    say(f"{options.model.name}, {psutil.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}")
    settings = [("quiet", "cpu", 0)] if 0 in counts else []
    settings += [(f"{count} {kind}", kind, count) for kind in options.kinds.split(",") for count in counts if count]
    # What waits for a CPU is told by the thread's name (engine.host.contention).
    thread = threading.Thread(target=beside_neighbours, args=(options, settings, parts), name=COMPUTE_THREAD)
    thread.start()
    thread.join()
    if "share" in parts:
        compare_share(options.model, 3, options.tokens)
    if "quiet" in parts:
        for kind in options.kinds.split(","):
            compare_quiet(options.model, kind, options.rounds, options.tokens)


if __name__ == "__main__":
    main()
