"""What a capture costs in the real program: tokens per second, how late a key is, and how long until the flamegraph is on the screen.

    python -m tests.bench.bench_profile MODEL.gguf [--rounds 8] [--threads N] [--echo-rounds 3]

The program runs on a terminal of its own, with a fixed number of decode threads: as many as there are cores, the case in which py-spy
finds no core of its own. In each round an answer grows, for some seconds without a capture, then during one of the default mode and
length, then without one again. Three things are read off.

Tokens/s, by token: py-spy samples at random moments (its timer draws exponential pauses), so between some tokens it ran much and between
others little or not at all. How long a token takes is held against the processor time that py-spy, and apart from it the event loop, used
meanwhile, all in usual tokens' times (the median of the neighbours, so that the growing context and a slow drift of the machine cancel
out). The slopes say how much later a token comes for each millisecond of theirs; times what a capture used in all, py-spy's start
included, and what the event loop used more than before and after, they are the share of speed that the capture took.

A token that is late for another reason has more of py-spy's looks in it, just as a longer line has more words: a plain regression takes
that for py-spy's doing. So the slopes are found with instruments (two-stage least squares): how much more than its usual share of the
gap each of them used, which does not depend on how long the token would have taken without.

Tokens/s, by capture: what the program itself says of each, from a straight line through the tokens around it; on a shared machine and
in a short context, whose cost grows in steps, these are 10 % apart.

Then keys are typed while an answer grows: how late their echo is during a capture and without one, and how long after the key that ends
the capture the flamegraph is on the screen.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median, quantiles

import numpy as np
import psutil
from numpy.typing import NDArray

from engine.clock import NS_PER_MS, NS_PER_S, now_ns
from engine.profiling.request import DEFAULT_SECONDS
from engine.profiling.tokens import TokenLog
from engine.timings import percentile
from tests.bench.bench_screen import RARE, fresh_folders
from tests.e2e.terminal import XCHAT, Terminal

TARGET = 0.97
"""Least share of tokens/s that the default mode must leave."""
CERTAIN = 0.01
"""Largest standard error with which the target counts as reached."""
LAG_TARGET_MS = 50.0
READY_TARGET_MS = 1000.0
QUIET_S = 5.0
"""Time without a capture before and after each."""
SETTLING_S = 6.0
"""Time before that: a context of a few hundred tokens is slower than an empty one, and the steps there are steep."""
AWAY_S = 1.0
"""Time after a capture in which the flamegraph is on the screen."""
FEWEST_GAPS = 200
NEIGHBOURS = 15
"""Tokens before and after one that say what is usual."""
LONGEST_GAP = 1.5
"""A gap counts as so many usual ones at most, besides what looking used of it: what stops a shared machine for longer is not py-spy."""
F9, ESCAPE, NEW, QUIT = "\x1b[20~", "\x1b", "\x0e", "\x11"
VIEWER = "heaviest left"
"""What the flamegraph's viewer shows when it is ready."""
KEYS = 60
"""Keys that are typed in each round with a capture, and as many without one."""

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Gap:
    """The time between two tokens, and what was used of it for looking, all relative to a usual token's time."""

    length: float
    sampler: float
    event_loop: float


@dataclass(frozen=True, slots=True)
class Cost:
    """What captures took of the speed."""

    kept: float
    """Share of tokens/s that is left, by token."""
    error: float
    """Its standard error."""
    slope: float
    """Milliseconds that a token is later for each that py-spy runs."""
    sampler: float
    """py-spy's share of a core, its start included."""
    event_loop: float
    """The event loop's share of a core, less what it uses without a capture."""
    ratios: tuple[float, ...]
    """Speed during each capture over that which the tokens around it predict; those that predict nothing are left out."""


def watched_answers(model: Path, options: argparse.Namespace) -> tuple[Rows, Rows]:
    """Let the program answer and capture; the tokens and captures that it noted (see `tests.bench.watched`)."""
    with fresh_folders(), tempfile.TemporaryDirectory() as folder:
        notes = Path(folder) / "notes.npz"
        settings = ["--threads", str(options.threads), "--max-tokens", "4000"]
        terminal = Terminal([sys.executable, "-m", "tests.bench.watched", str(notes), str(model), *settings])
        try:
            terminal.wait_for(lambda text: " thread" in text and "loading" not in text)
            for _ in range(options.rounds):
                terminal.type("Tell me a story.\r")
                terminal.wait_for("t/s")
                # A terminal in Python would use more of the cores than all that is measured here: it looks away meanwhile.
                terminal.drain(SETTLING_S + QUIET_S)
                terminal.type(F9)
                terminal.drain(DEFAULT_SECONDS)
                terminal.wait_for(VIEWER)
                terminal.type(ESCAPE)
                terminal.wait_for(lambda text: VIEWER not in text)
                terminal.drain(AWAY_S + QUIET_S)
                terminal.type(ESCAPE)
                terminal.wait_for("Stopped")
                terminal.type(NEW)
                terminal.wait_for(lambda text: "Stopped" not in text)
            terminal.type(QUIT)
            terminal.wait_for_exit()
        finally:
            terminal.close()
        with np.load(notes) as file:
            return file["tokens"], file["captures"]


def gaps_between(tokens: Rows) -> list[Gap]:
    """The gaps between tokens of one answer."""
    pairs = list(pairwise(tokens))
    lengths = [late[0] - early[0] for early, late in pairs]
    gaps = []
    for at, (early, late) in enumerate(pairs):
        usual = median(lengths[max(0, at - NEIGHBOURS) : at + NEIGHBOURS + 1])
        event_loop, sampler = ((late - early)[1:] / usual).tolist()
        gaps.append(Gap(min(lengths[at] / usual, LONGEST_GAP + sampler + event_loop), sampler, event_loop))
    return gaps


def within(tokens: Rows, start_ns: float, end_ns: float) -> Rows:
    """The tokens between two moments."""
    return tokens[(tokens[:, 0] >= start_ns) & (tokens[:, 0] <= end_ns)]


def loop_share(tokens: Rows) -> float:
    """The event loop's share of a core."""
    if len(tokens) < 2:
        raise SystemExit("No tokens came in a whole window: the machine is too busy to measure on.")
    return float((tokens[-1, 1] - tokens[0, 1]) / (tokens[-1, 0] - tokens[0, 0]))


def cost(tokens: Rows, captures: Rows) -> Cost:
    """What the captures took, from the program's notes."""
    gaps: list[Gap] = []
    ratios, more = [], []
    for start, end, _ in captures:
        before = within(tokens, start - QUIET_S * NS_PER_S, start)
        during = within(tokens, start, end)
        after = within(tokens, end + AWAY_S * NS_PER_S, end + (AWAY_S + QUIET_S) * NS_PER_S)
        gaps += gaps_between(during[during[:, 2] >= 0])
        log = TokenLog()
        log.feed(0, within(tokens, before[0, 0], after[-1, 0])[:, 0].tolist())
        work = log.between(int(start), int(end))
        if work.speed_during and work.speed_outside:
            ratios.append(work.speed_during / work.speed_outside)
        more.append(loop_share(during) - (loop_share(before) + loop_share(after)) / 2)
    if len(gaps) < FEWEST_GAPS:
        raise SystemExit("Too few tokens came: the machine is too busy to measure on.")
    length, *causes = np.array([(gap.length, gap.sampler, gap.event_loop) for gap in gaps]).T
    ones = np.ones_like(length)
    matrix = np.stack([*causes, ones], 1)
    instruments = np.stack([*(cause - cause.mean() / length.mean() * length for cause in causes), ones], 1)
    projection = np.linalg.inv(instruments.T @ matrix) @ instruments.T
    slopes = projection @ length
    errors = projection * (length - matrix @ slopes)
    used = np.array([captures[:, 2].sum() / (captures[:, 1] - captures[:, 0]).sum(), np.mean(more), 0.0])
    kept, share, load = float(1 - slopes @ used), float(used[0]), float(used[1])
    return Cost(kept, float(np.linalg.norm(used @ errors)), float(slopes[0]), share, load, tuple(ratios))


def echoes(model: Path, rounds: int) -> bool:
    """Type while an answer grows, and print; whether the targets were reached."""
    quiet: list[float] = []
    during: list[float] = []
    ready: list[float] = []
    with fresh_folders():
        terminal = Terminal([*XCHAT, str(model), "--max-tokens", "4000"])
        try:
            terminal.wait_for(lambda text: " thread" in text and "loading" not in text)
            terminal.type("Tell me a story.\r")
            terminal.wait_for("t/s")
            for _ in range(rounds):
                quiet += echoes_ms(terminal, KEYS)
                terminal.type(F9)
                terminal.wait_for("s left")
                during += echoes_ms(terminal, KEYS)
                began = now_ns()
                terminal.type(F9)
                terminal.wait_for(VIEWER)
                ready.append((now_ns() - began) / NS_PER_MS)
                terminal.type(ESCAPE)
                terminal.wait_for(lambda text: VIEWER not in text)
            terminal.type(QUIT)
            terminal.wait_for_exit()
        finally:
            terminal.close()
    lag = {name: percentile(sorted(times), 0.99) or 0.0 for name, times in (("without", quiet), ("during", during))}
    sys.stdout.write(
        f"echo p99 {lag['during']:.0f} ms during a capture, {lag['without']:.0f} ms without one ({len(during)} keys); "
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


def main() -> int:
    """Measure, print, and return 1 when the default mode misses a target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--rounds", type=int, default=8, help="captures to measure the speed in; 0 leaves it out")
    parser.add_argument("--threads", type=int, default=psutil.cpu_count(logical=False) or 1, help="decode threads while it is measured")
    parser.add_argument("--echo-rounds", type=int, default=3, help="captures to type in; 0 leaves it out")
    options = parser.parse_args()
    reached = True
    if options.rounds:
        took = cost(*watched_answers(options.model, options))
        low, middle, high = quantiles(took.ratios, n=4) if len(took.ratios) > 1 else (math.nan,) * 3
        sys.stdout.write(
            f"tokens/s kept by token {took.kept:.3f} ± {took.error:.3f} (py-spy {took.sampler:.1%} of a core, slope {took.slope:.2f}; "
            f"event loop {took.event_loop:+.1%}), by capture {middle:.3f} ({low:.3f}…{high:.3f})\n"
        )
        reached = took.kept >= TARGET and took.error <= CERTAIN
    if options.echo_rounds:
        reached &= echoes(options.model, options.echo_rounds)
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
