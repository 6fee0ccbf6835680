"""What a capture costs: tokens per second while it runs, as a ratio to the same model just before and after it.

    python -m tests.bench.bench_profile MODEL.gguf [--seconds 10] [--rounds 8] [--modes python native] [--chat-rounds 3]

Answers are generated one after the other, on a fixed number of threads. Their time is cut into windows, without and with a capture in turn
(from the call that starts py-spy to the record), and two figures are made of it.

By token: py-spy samples at random moments (its timer draws exponential pauses), so between some tokens it ran much and between others
little or not at all. How long a token takes is held against the processor time that py-spy, and apart from it the event loop, used
meanwhile, all in usual tokens' times (the median of the neighbours, so that the growing context and a slow drift of the machine cancel
out). The slopes say how much later a token comes for each millisecond of theirs; times what a capture used in all, py-spy's start
included, they are the share of speed that the capture took. The kernel brings a running thread's time up to date at its ticks, so up to
a few per cent of it count in the next gap.

By window: each window with a capture against the mean of its two neighbours, for the eye. On a machine that nobody shares both agree.

Beside them stands how late the event loop was (p99), and how long it took from the end of sampling to a tree.

Then the same in the real program on a terminal of its own, while an answer grows: how late the echo of a key is during a capture and
without one, and how long after the key that ends the capture the flamegraph is on the screen.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median, quantiles

import numpy as np
import psutil

from engine.backend import BackendEvent, GenerateRequest, GenerationFinished, PreparedPrompt, StopReason, TokensDecoded, Vocabulary
from engine.llama.engine import LlamaBackend
from engine.metrics.clock import NS_PER_MS, NS_PER_S, now_ns
from engine.metrics.kernelfile import KernelFile
from engine.metrics.timings import percentile
from engine.presets.preset import Preset, Sampling
from engine.profiling.capture import DEFAULT_SECONDS, CaptureRequest
from engine.profiling.profiler import Profiler
from engine.profiling.records import CaptureMode
from engine.profiling.tree import FlameTree, frames_of
from tests.bench.bench_screen import RARE, fresh_folders
from tests.e2e.terminal import XCHAT, Terminal

TARGET = 0.97
"""Least share of tokens/s that the default mode must leave."""
LAG_TARGET_MS = 50.0
CERTAIN = 0.01
"""Largest standard error with which the target counts as reached."""
READY_TARGET_MS = 1000.0
TICK_S = 0.01
LONGEST = 1000
FEWEST_GAPS = 200
NEIGHBOURS = 15
"""Tokens before and after one that say what is usual."""
LONGEST_GAP = 3.0
"""A gap counts as so many usual ones at most: what stops a shared machine for longer is not py-spy."""
F9 = "\x1b[20~"
KEYS = 60
"""Keys that are typed in each round with a capture, and as many without one."""


@dataclass(frozen=True, slots=True)
class Token:
    """One token's arrival in the engine, and the processor time that had been used by then for looking."""

    turn: int
    at_ns: int
    event_loop_ns: int
    sampler_ns: int | None
    """None while py-spy does not sample."""


@dataclass(frozen=True, slots=True)
class Gap:
    """The time between two tokens of a turn, and what was used of it for looking, all relative to a usual token's time."""

    length: float
    sampler: float
    event_loop: float


@dataclass
class Result:
    """What was measured of one mode."""

    gaps: list[Gap] = field(default_factory=list)
    sampler_ns: int = 0
    """Processor time that py-spy used for the captures, from its start."""
    event_loop_ns: float = 0.0
    """What the event loop used during them, less what it uses in as much time without one."""
    lasted_ns: int = 0
    ratios: list[float] = field(default_factory=list)
    """Of the windows' mean speeds."""
    lags_ms: list[float] = field(default_factory=list)
    ready_ms: list[float] = field(default_factory=list)
    samples: int = 0
    failures: int = 0
    cpu_pct: list[float] = field(default_factory=list)

    @property
    def kept(self) -> tuple[float, float]:
        """The share of speed that is left during a capture, and its standard error, by token; no number without enough tokens."""
        if len(self.gaps) < FEWEST_GAPS:
            return math.nan, math.nan
        length, *causes = np.array([(gap.length, gap.sampler, gap.event_loop) for gap in self.gaps]).T
        matrix = np.stack([*causes, np.ones_like(length)], 1)
        slopes, *_ = np.linalg.lstsq(matrix, length, rcond=None)
        spread = ((length - matrix @ slopes) ** 2).mean() * np.linalg.pinv(matrix.T @ matrix)
        used = np.array([self.sampler_ns, self.event_loop_ns, 0.0]) / self.lasted_ns
        return float(1 - slopes @ used), float(np.sqrt(used @ spread @ used))


def prompt(vocabulary: Vocabulary, _n_ctx: int) -> PreparedPrompt:
    """Something to go on from."""
    text = "The history of the lighthouse begins with fires on hills. "
    return PreparedPrompt(tokens=tuple(vocabulary.tokenize(text, parse_special=False)), text=text)


@contextmanager
def lag_meter() -> Iterator[list[tuple[int, float]]]:
    """Collects when the event loop called back, and how many milliseconds late."""
    loop = asyncio.get_running_loop()
    late: list[tuple[int, float]] = []
    due = loop.time() + TICK_S

    def tick() -> None:
        nonlocal due, handle
        late.append((now_ns(), (loop.time() - due) * 1e3))
        due = loop.time() + TICK_S
        handle = loop.call_at(due, tick)

    handle = loop.call_at(due, tick)
    try:
        yield late
    finally:
        handle.cancel()


class ProcessorTime:
    """How long threads have run, in nanoseconds, from their schedstat: cheap enough to be read at each token."""

    def __init__(self, pid: int, tids: Iterable[int]) -> None:
        self._used = {KernelFile(Path(f"/proc/{pid}/task/{tid}/schedstat")): 0 for tid in tids}

    def read(self) -> int:
        """All of them together; one that has gone keeps what it had used."""
        self._used |= {file: int(text.split()[0]) for file in self._used if (text := file.read())}
        return sum(self._used.values())


class Watch:
    """What runs for the sake of looking: the event loop always, py-spy while it samples."""

    def __init__(self) -> None:
        """To be made on the event loop's thread."""
        self.event_loop = ProcessorTime(os.getpid(), [threading.get_native_id()])
        self.sampler: ProcessorTime | None = None

    def token(self, turn: int, at_ns: int) -> Token:
        """What there is to say of a token at its arrival."""
        sampler = self.sampler
        return Token(turn, at_ns, self.event_loop.read(), sampler.read() if sampler is not None else None)


Tokens = list[Token]


def rate(tokens: Tokens, start_ns: int, end_ns: int) -> float:
    """Tokens per second between two moments, from the gaps between neighbours of one turn."""
    inside = [token for token in tokens if start_ns <= token.at_ns <= end_ns]
    gaps = [late.at_ns - early.at_ns for early, late in pairwise(inside) if early.turn == late.turn]
    if not gaps:
        raise SystemExit("No tokens came in a whole window: the machine is too busy to measure on, or --seconds is too short.")
    return len(gaps) / sum(gaps) * NS_PER_S


def gaps_between(tokens: Tokens) -> list[Gap]:
    """The gaps while py-spy sampled."""
    pairs = [
        (early, late)
        for early, late in pairwise(tokens)
        if early.turn == late.turn and early.sampler_ns is not None and late.sampler_ns is not None
    ]
    lengths = [late.at_ns - early.at_ns for early, late in pairs]
    gaps = []
    for at, (early, late) in enumerate(pairs):
        usual = median(lengths[max(0, at - NEIGHBOURS) : at + NEIGHBOURS + 1])
        sampler = ((late.sampler_ns or 0) - (early.sampler_ns or 0)) / usual
        event_loop = (late.event_loop_ns - early.event_loop_ns) / usual
        gaps.append(Gap(min(lengths[at] / usual, LONGEST_GAP + sampler + event_loop), sampler, event_loop))
    return gaps


async def measure(options: argparse.Namespace) -> dict[CaptureMode, Result]:
    """Generate, and capture now and then."""
    loop = asyncio.get_running_loop()
    profiler = Profiler()
    backend = LlamaBackend(trusted=lambda _: True)
    watch = Watch()
    tokens: Tokens = []
    results = {CaptureMode(mode): Result() for mode in options.modes}

    def listen(event: BackendEvent) -> None:
        if isinstance(event, TokensDecoded):
            tokens.append(watch.token(event.turn, event.token_ns[-1]))
        elif isinstance(event, GenerationFinished) and event.reason is not StopReason.CANCELLED:
            loop.call_soon_threadsafe(generate, event.turn + 1)

    def generate(turn: int) -> None:
        sampling = Sampling(temperature=0.9, seed=turn)
        backend.submit(GenerateRequest(turn, prompt, sampling, listen, now_ns(), max_tokens=LONGEST))

    try:
        # One token at a time: each is to have its own figures.
        preset = Preset(stream_batch=1, threads=options.threads, n_ctx=8192)
        await asyncio.wrap_future(backend.load(options.model, preset, lambda _: None))
        generate(1)
        while len(tokens) < 20:
            await asyncio.sleep(0.05)
        with lag_meter() as late:
            before, beside = await quiet(options.seconds, tokens, watch)
            for mode, result in [*results.items()] * options.rounds:
                began = now_ns()
                during = await capture(profiler, CaptureRequest(options.seconds, mode=mode), tokens, watch, result)
                result.event_loop_ns -= beside * (now_ns() - began)
                result.lags_ms += [ms for at, ms in late if at >= began]
                after, beside = await quiet(options.seconds, tokens, watch)
                result.ratios.append(during / ((before + after) / 2))
                before = after
    finally:
        backend.stop()
        backend.close()
    return results


async def quiet(seconds: int, tokens: Tokens, watch: Watch) -> tuple[float, float]:
    """Speed over the next seconds, and the share of a core that the event loop used."""
    start, used = now_ns(), watch.event_loop.read()
    await asyncio.sleep(seconds)
    end = now_ns()
    return rate(tokens, start, end), (watch.event_loop.read() - used) / (end - start)


async def capture(profiler: Profiler, request: CaptureRequest, tokens: Tokens, watch: Watch, result: Result) -> float:
    """Speed during one capture, from the call that starts py-spy to the record."""
    start, used = now_ns(), watch.event_loop.read()
    first = len(tokens)
    running = profiler.start(request)
    await running.wait_until_sampling()
    spies = [process for process in psutil.Process().children() if "py-spy" in process.name()]
    if spies:
        watch.sampler = ProcessorTime(spies[0].pid, [thread.id for thread in spies[0].threads()])
    record = await running.result()
    end = now_ns()
    if watch.sampler is None or record is None:
        raise SystemExit("py-spy did not run: there is nothing to measure.")
    result.event_loop_ns += watch.event_loop.read() - used
    result.sampler_ns += watch.sampler.read()
    watch.sampler = None
    result.lasted_ns += end - start
    result.gaps += gaps_between(tokens[first:])
    tree = FlameTree(frames_of(record.stacks))
    tree.children(tree.root)
    result.ready_ms.append((now_ns() - start) / NS_PER_MS - record.seconds * 1e3)
    result.samples += record.samples
    result.failures += record.failures
    if record.overhead.sampler_cpu_pct is not None:
        result.cpu_pct.append(record.overhead.sampler_cpu_pct)
    return rate(tokens, start, end)


def main() -> int:
    """Measure, print a table, and return 1 when the default mode misses a target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--seconds", type=int, default=DEFAULT_SECONDS)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--chat-rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=psutil.cpu_count(logical=False) or 1)
    parser.add_argument("--modes", nargs="+", default=["python"], choices=["python", "native", "gil", "idle"])
    options = parser.parse_args()
    results = asyncio.run(measure(options)) if options.rounds else {}
    sys.stdout.write("mode     by token           by window (quartiles)  loop lag p99   start+end   py-spy CPU   samples  failed\n")
    for mode, result in results.items():
        lag = percentile(sorted(result.lags_ms), 0.99) or 0.0
        kept, error = result.kept
        sys.stdout.write(
            f"{mode:<8} {kept:.3f} ± {error:.3f}      {median(result.ratios):.3f} ({_quartiles(result.ratios)})    {lag:8.1f} ms  "
            f"{median(result.ready_ms):7.0f} ms  {median(result.cpu_pct or [0.0]):8.1f} %  {result.samples:8}  {result.failures:6}\n"
        )
    chat = in_chat(options.model, options.chat_rounds) if options.chat_rounds else None
    return 0 if _reached(results.get(CaptureMode.PYTHON)) and (chat is None or chat) else 1


def in_chat(model: Path, rounds: int) -> bool:
    """Measure in the real program and print; whether the targets were reached."""
    quiet: list[float] = []
    during: list[float] = []
    ready: list[float] = []
    with fresh_folders():
        terminal = Terminal([*XCHAT, str(model), "--max-tokens", "4000"])
        try:
            terminal.wait_for(lambda text: "threads" in text and "loading" not in text)
            terminal.type("Tell me a story.\r")
            terminal.wait_for("t/s")
            for _ in range(rounds):
                quiet += echoes_ms(terminal, KEYS)
                terminal.type(F9)
                terminal.wait_for("s left")
                during += echoes_ms(terminal, KEYS)
                began = now_ns()
                terminal.type(F9)
                terminal.wait_for("heaviest left")
                ready.append((now_ns() - began) / NS_PER_MS)
                terminal.type("\x1b")
                terminal.wait_for(lambda text: "heaviest left" not in text)
            terminal.type("\x11")
            terminal.wait_for_exit()
        finally:
            terminal.close()
    lag = {name: percentile(sorted(times), 0.99) or 0.0 for name, times in (("without", quiet), ("during", during))}
    sys.stdout.write(
        f"in the chat: echo p99 {lag['during']:.0f} ms during a capture, {lag['without']:.0f} ms without one ({len(during)} keys); "
        f"flamegraph {median(ready):.0f} ms after its end ({max(ready):.0f} at most)\n"
    )
    return lag["during"] <= LAG_TARGET_MS and median(ready) <= READY_TARGET_MS


def echoes_ms(terminal: Terminal, keys: int) -> list[float]:
    """Milliseconds from each key to its echo."""
    times = []
    for number in range(keys):
        character = RARE[number % len(RARE)]
        began = now_ns()
        terminal.type(character)
        terminal.wait_for(character)
        times.append((now_ns() - began) / NS_PER_MS)
        terminal.type("\x7f")
        terminal.wait_for(lambda text, gone=character: gone not in text)  # type: ignore[misc]
    return times


def _quartiles(values: list[float]) -> str:
    low, _, high = quantiles(values, n=4) if len(values) > 1 else (values[0],) * 3
    return f"{low:.3f}…{high:.3f}"


def _reached(result: Result | None) -> bool:
    if result is None:
        return True
    lag = percentile(sorted(result.lags_ms), 0.99) or 0.0
    kept, error = result.kept
    return kept >= TARGET and error <= CERTAIN and lag <= LAG_TARGET_MS and median(result.ready_ms) <= READY_TARGET_MS


if __name__ == "__main__":
    sys.exit(main())
