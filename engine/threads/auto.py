"""Feeds the thread governors on the compute thread: the cost of each call and the load of other programs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from engine.host.contention import crowded_now
from engine.host.topology import Topology, read_topology, usable_cpus
from engine.presets.preset import Preset
from engine.threads.governor import DECODE, PREFILL, CpuFacts, Governor
from engine.threads.wait_policy import Waiting, WaitPolicy
from engine.threads.widths import Widths

_LOOK_EVERY_NS = 500_000_000
"""Interval between samples of the load of other programs; a sample costs 0.1 ms."""
_LIMITS_EVERY = 8
"""Samples between two readings of the limits (affinity, quota), which cost 0.2 ms."""

_STALLED_SHARE = 0.3
"""Share of time waiting for a CPU from which a count set by hand is reported as too high."""

LONGEST_LOOK_S = 3.0
"""A mean over a longer time is outdated: nothing is sampled between turns."""


class OthersLoad:
    """CPUs that other programs keep busy, of those this process may use."""

    def __init__(self, stat: Path = Path("/proc/stat"), longest_s: float = LONGEST_LOOK_S) -> None:
        """Start sampling; a mean over more than `longest_s` seconds counts as unknown."""
        self._path = stat
        self._longest_s = longest_s
        self._before = self._read()

    def since_last(self) -> float | None:
        """Return the mean since the last call; None where unknown."""
        before, self._before = self._before, self._read()
        if before is None or self._before is None:
            return None
        elapsed = self._before[0] - before[0]
        if not 0 < elapsed <= self._longest_s:
            return None
        return max(0.0, (self._before[1] - before[1]) / elapsed)

    def _read(self) -> tuple[float, float] | None:
        """Return the time, and the CPU seconds that others used of our CPUs (including stolen time)."""
        mine = usable_cpus()
        try:
            text = self._path.read_text("ascii", "replace")
            tick = os.sysconf("SC_CLK_TCK")
        except (OSError, ValueError):
            return None
        busy = 0
        for line in text.splitlines():
            if not line.startswith("cpu") or not line[3:4].isdigit():
                continue
            words = line.split()
            with suppress(ValueError, IndexError):
                if int(words[0][3:]) in mine:
                    user, nice, system, _idle, _wait, irq, soft, steal = map(int, words[1:9])
                    busy += user + nice + system + irq + soft + steal
        return time.monotonic(), busy / tick - time.process_time()


class AutoThreads:
    """The thread counts of a preset; those that are numbers stay fixed. For the compute thread only."""

    def __init__(
        self,
        preset: Preset,
        *,
        topology: Callable[[], Topology] = read_topology,
        others: Callable[[], float | None] | None = None,
        waits: WaitPolicy | None = None,
        crowded: Callable[[], bool | None] = crowded_now,
    ) -> None:
        """Begin with the counts of a preset.

        Args:
            preset: The counts to begin with.
            topology: Reads the CPUs that this process may use.
            others: CPUs that other programs kept busy since the last call.
            waits: Whether waiting threads spin or sleep; without one they spin.
            crowded: Whether others compete for the CPUs at this moment.
        """
        self._topology = topology
        self._others = others if others is not None else OthersLoad().since_last
        self._decode: Governor | None = None
        self._prefill: Governor | None = None
        self._at_rest: tuple[Governor | None, Governor | None] = (None, None)
        """The former governors while a preset sets the counts; their findings are a better start than a guess."""
        self._widths = Widths()
        self._waits = waits or WaitPolicy(None)
        self._crowded = crowded
        self._looked_ns = 0
        self._looks = 0
        self._busy: float | None = None
        self.use(preset)

    def use(self, preset: Preset) -> None:
        """Apply the counts of another preset; counts that stay `auto` keep their findings."""
        now = self._limits = self._topology()
        facts = CpuFacts(now.most_threads, now.usable, spins=self._waits.now.spins)
        decode, prefill = self._at_rest = (self._decode or self._at_rest[0], self._prefill or self._at_rest[1])
        self._decode = (decode or Governor(now.start_threads, facts, DECODE)) if preset.threads == "auto" else None
        self._prefill = (prefill or Governor(now.start_threads, facts, PREFILL)) if preset.threads_batch == "auto" else None
        self._asked = tuple(count if isinstance(count, int) else now.start_threads for count in (preset.threads, preset.threads_batch))

    def turn_begins(self) -> None:
        """Read the limits of this process; where spinning can't be switched, check the load of the machine too."""
        limits = self._limits = self._topology()
        crowded = not self._waits.adjustable and self._crowded()
        for governor in filter(None, (self._decode, self._prefill)):
            governor.limit(limits.most_threads, limits.usable)
            if crowded:
                governor.begin_with(1)

    @property
    def _fixed(self) -> tuple[int, ...]:
        return tuple(min(count, self._limits.most_threads) for count in self._asked)

    @property
    def threads(self) -> tuple[int, int]:
        """Return the counts for decode and for prefill."""
        decode, batch = self._fixed
        return (self._decode.threads if self._decode else decode), (self._prefill.threads if self._prefill else batch)

    @property
    def waiting(self) -> Waiting:
        """Return whether waiting threads spin or sleep now, and why."""
        return self._waits.now

    @contextmanager
    def computing(self, threads: int) -> Iterator[None]:
        """Wrap one decode call with this number of threads."""
        self._waits.before(threads)
        try:
            yield
        finally:
            self._waits.after()

    @property
    def reasons(self) -> tuple[str, str]:
        """Return the reason of each count as a sentence."""
        decode, batch = (self._reason_of_the_preset(*counts) for counts in zip(self._asked, self._fixed, strict=True))
        return (self._decode.reason if self._decode else decode), (self._prefill.reason if self._prefill else batch)

    def _reason_of_the_preset(self, asked: int, given: int) -> str:
        if asked != given:
            return f"The preset asks for {asked}; this process may use {given}"
        share = self._waits.now.share
        if given > 1 and share is not None and share >= _STALLED_SHARE:
            return f"Set by the preset; the {given} threads wait for each other {share:.0%} of the time: `threads` auto would use fewer"
        return "Set by the preset"

    @property
    def moves(self) -> tuple[str, ...]:
        """Return the governors' last decisions as sentences; none for a count that the preset sets."""
        governors = (("Decoding", self._decode), ("Prefilling", self._prefill))
        waiting = self._waits.now
        moved = tuple(f"{what} with {governor.move}" for what, governor in governors if governor is not None and governor.move)
        return (*moved, waiting.reason) if waiting.share is not None else moved

    def decoded(self, duration_ns: int, now_ns: int, width: int = 1) -> tuple[int, int] | None:
        """Add the time of a decode call of `width` tokens in total; returns both counts when they should change now."""
        return self._feed(self._decode, duration_ns, self._widths.ratio(width, duration_ns), now_ns)

    def prefilled(self, duration_ns: int, tokens: int, now_ns: int) -> tuple[int, int] | None:
        """Add the time of a chunk of a prompt; returns both counts when they should change now."""
        return self._feed(self._prefill, duration_ns, tokens, now_ns)

    def _feed(self, governor: Governor | None, duration_ns: int, tokens: float, now_ns: int) -> tuple[int, int] | None:
        if governor is None:
            return None
        facts = None
        spins = self._waits.now.spins
        if now_ns - self._looked_ns >= _LOOK_EVERY_NS:
            self._looked_ns = now_ns
            self._looks += 1
            if self._looks % _LIMITS_EVERY == 0:
                self._limits = self._topology()
            others = self._others()
            # Right after a pause the load is unknown; the one before is the best guess for half a second.
            self._busy = others if others is not None else self._busy
            facts = CpuFacts(self._limits.most_threads, self._limits.usable, self._busy, spins)
        elif spins != governor.spins:
            facts = CpuFacts(self._limits.most_threads, self._limits.usable, self._busy, spins)
        changed = governor.observe(duration_ns, tokens, facts)
        return self.threads if changed is not None else None
