"""`auto` on a busy machine beside every fixed choice and beside llama.cpp as it is, with neighbours of several kinds.

    python -m tests.bench.bench_busy MODEL.gguf [--kinds cpu,memory,llama,compiler] [--neighbours 0,1,2,4,8] [--parts speed,first]

All arms take turns in short rounds of one run, so that a slow minute of the machine hits them alike; read the ratios, not the speeds.
`speed`: decoding, and prefill of 512 tokens. `first`: a prompt of 50 tokens in a fresh process, and decoding after it. `share`: the
share of a turn that others took beside what the load generator used. `quiet`: the estimate of the quiet speed beside the quiet speed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Literal

import psutil

from engine.backend import GenerationFinished
from engine.disturbance import QUIET_SHARE
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
from engine.threads.wait_policy import WaitPolicy
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
        self._model = Model(path, examine(path), mmap=True, repack=True, log=log, progressed=lambda _: True)
        self._context = Context(self._model, Preset(n_ctx=1024), n_seq=1, threads=1, threads_batch=1, log=log)
        self._context.warm_up()
        self._lever = lever
        self._auto_throttled = False
        self.auto = AutoThreads(Preset(), waits=WaitPolicy(lever))
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
    model: Path, preset: Preset, lengths: Sequence[int], used_s: Callable[[], float] = lambda: 0.0
) -> tuple[list[GenerationFinished], list[float]]:
    """Turns on the real engine, one after the other, and how many seconds others `used_s` in each second of them."""
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
    """The share of a turn that others took beside the truth: the neighbour's processor time on the one CPU that both are bound to."""
    mine = os.sched_getaffinity(0)
    cpu = min(mine)
    os.sched_setaffinity(0, {cpu})
    try:
        for busy_ms, period_ms in ((5, 100), (30, 100), (2, 8), (60, 100), (100, 100)):
            with neighbours("pulse", 1, str(busy_ms), str(period_ms), cpu=cpu) as pulse:
                found, truth = turns_of(model, Preset(n_ctx=1024, threads=1, threads_batch=1), [tokens] * turns, pulse.cpu_s)
            shares = [finished.taken_share or 0.0 for finished in found]
            worst = max(abs(share - true) for share, true in zip(shares, truth, strict=True))
            say(
                f"share of others, {busy_ms} of {period_ms} ms: {statistics.fmean(shares):.2f}, truth {statistics.fmean(truth):.2f};"
                f" at most {worst * 100:.0f} points apart (target 10)"
            )
    finally:
        os.sched_setaffinity(0, mine)


def compare_quiet(model: Path, label: str, kind: str, turns: int, tokens: int) -> None:
    """The estimate of the quiet speed from turns beside one neighbour, and the speed of turns without, in turns."""
    counts: tuple[int | Literal["auto"], ...] = (1, 2, "auto")
    for count in counts:
        backend = LlamaBackend(trusted=lambda _path: True)
        driver = Driver(backend)
        load(backend, model, Preset(n_ctx=1024, threads=count, threads_batch=count))
        quiet: list[float] = []
        busy: list[float] = []
        estimates: list[float] = []
        for number, beside in zip(range(2 * turns), cycle((0, 1))):
            with neighbours(kind, beside, str(model)):
                prompt = token_prompt((*PROMPT[number % 40 :], *PROMPT))
                finished = driver.ask(prompt, sampling=GREEDY, max_tokens=tokens).finished
            if not beside:
                if (finished.taken_share or 0.0) < QUIET_SHARE:
                    quiet.append(speed_of(finished))
            else:
                busy.append(speed_of(finished))
                if finished.quiet_per_second is not None:
                    estimates.append(finished.quiet_per_second)
        backend.close()
        if quiet and estimates:
            off = statistics.median(estimates) / statistics.median(quiet) - 1
            verdict = f"estimate {statistics.median(estimates):.1f} from {len(estimates)} turns, {off:+.1%} (target 7 %)"
        else:
            verdict = f"{len(quiet)} quiet turns, {len(estimates)} estimates"
        beside_one = f"{statistics.median(quiet or [0]):.1f} tokens/s, beside one {statistics.median(busy):.1f}"
        say(f"{label:14} quiet speed, {count} threads: {beside_one}; {verdict}")


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bench_busy", description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--neighbours", default="0,1,2,4,8")
    parser.add_argument("--parts", default="speed,first,share,quiet")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=1.0)
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
    if "share" in parts:
        compare_share(options.model, 3, 200)
    if "quiet" in parts:
        for kind in options.kinds.split(","):
            compare_quiet(options.model, kind, kind, options.rounds, 200)


if __name__ == "__main__":
    main()
