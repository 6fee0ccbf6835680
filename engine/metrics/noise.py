"""Judges each turn: the share of its time that other programs took, and why its figures are noisy.

Figures of a noisy turn are kept and shown; comparisons use them only where there are no clean ones.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.clock import NS_PER_S
from engine.disturbance import QUIET_SHARE
from engine.host.sampler import HostSample
from engine.host.threads import ThreadGroup
from engine.host.value import known

LEAST_S = 0.1
"""Shortest watched time of a judged turn; the kernel counts CPU time in hundredths of a second."""
OTHERS_PCT = 15.0
"""Most share of all cores used by other processes, where the kernel does not report the waiting of threads."""
STEAL_PCT = 5.0
"""Most share of time taken by the hypervisor."""
THROTTLED_PCT = 5.0
"""Most share of time throttled by the control group."""
FREQUENCY_DROP = 0.85
"""Least frequency as a share of the highest one during the turn."""
HOT_C = 95.0
"""Temperature at which a processor is about to throttle."""
FAULTS_PER_S = 20.0
"""Major page faults a second: weights or buffers come from the disk."""
SWAPPED_PAGES_PER_S = 20.0
"""Pages a second that the machine reads back from swap."""


@dataclass(slots=True)
class _Mean:
    weighted: float = 0.0
    seconds: float = 0.0

    def add(self, value: float | None, seconds: float) -> None:
        if value is not None:
            self.weighted += value * seconds
            self.seconds += seconds

    @property
    def value(self) -> float:
        return self.weighted / self.seconds if self.seconds > 0 else 0.0


class NoiseWatch:
    """Collects evidence during a turn: `begin` with each turn, `sample` with each sample, `end`, and `verdict` until the next begins."""

    def __init__(self) -> None:
        self._capturing = False
        self.begin()
        self.end()

    def begin(self, at_ns: int | None = None) -> None:
        """Begin a turn at `at_ns` (`now_ns`): reset everything except a running capture."""
        self._others, self._steal, self._throttled, self._faults, self._swapped = _Mean(), _Mean(), _Mean(), _Mean(), _Mean()
        self._waiting = _Mean()
        self._waited: float | None = None
        self._frequencies: tuple[float, float] | None = None
        self._hottest = 0.0
        self._seconds = 0.0
        self._captured = self._capturing
        self._began_ns = at_ns
        self._in_turn = True

    def end(self) -> None:
        """End the turn; later samples are not counted."""
        self._in_turn = False

    def waited(self, share: float | None) -> None:
        """Set the share of the turn in which compute threads waited for a CPU, as the engine measured it; None if unknown."""
        self._waited = share

    def capture(self, on: bool) -> None:
        """Set whether a py-spy capture runs; it pauses threads, so a turn that overlaps it is noisy."""
        self._capturing = on
        self._captured = self._captured or (on and self._in_turn)

    def sample(self, sample: HostSample) -> None:
        """Add a sample of the machine, unless it covers mostly the time before the turn."""
        covered = sample.interval_s
        if not covered or not self._in_turn:
            return
        seconds = covered if self._began_ns is None else min(covered, (sample.at_ns - self._began_ns) / NS_PER_S)
        if seconds < covered / 2:
            return
        self._seconds += seconds
        self._others.add(known(sample.cpu.others_pct), seconds)
        self._steal.add(known(sample.cpu.steal_pct), seconds)
        self._throttled.add(known(sample.cpu.throttled_pct), seconds)
        if sample.threads:
            waiting = sum(thread.waiting_pct for thread in sample.threads if thread.group is ThreadGroup.COMPUTE)
            self._waiting.add(min(1.0, waiting / 100), seconds)
        faults, swapped = known(sample.major_faults), known(sample.swapped_in)
        self._faults.add(None if faults is None else faults / covered, seconds)
        self._swapped.add(None if swapped is None else swapped / covered, seconds)
        frequency = known(sample.cpu.freq_mhz)
        if frequency is not None:
            low, high = self._frequencies or (frequency, frequency)
            self._frequencies = (min(low, frequency), max(high, frequency))
        self._hottest = max(self._hottest, known(sample.cpu.temperature_c) or 0.0)

    @property
    def judged(self) -> bool:
        """Whether the machine was sampled for long enough to judge the turn."""
        return self._captured or self._waited is not None or self._seconds >= LEAST_S

    @property
    def share(self) -> float | None:
        """Return the share of the turn's time taken by other programs, 0 to 1; None where the kernel does not report it.

        Threads of a control group that is throttled wait like those without a CPU; a hypervisor takes time from running threads.
        """
        if self._waited is None and not self._waiting.seconds:
            return None
        waiting = self._waiting.value if self._waited is None else self._waited
        return min(1.0, max(waiting, self._throttled.value / 100) + self._steal.value / 100)

    def verdict(self) -> str | None:
        """Return why the turn is noisy, the worst cause first; None when it is clean or not judged."""
        causes = [sentence for found, sentence in self._causes() if found]
        if not self.judged or not causes:
            return None
        sentence = "; ".join(causes)
        return sentence[0].upper() + sentence[1:]

    def _causes(self) -> tuple[tuple[bool, str], ...]:
        low, high = self._frequencies or (0.0, 0.0)
        share = self.share
        return (
            (self._captured, "a capture ran"),
            (share is not None and share >= QUIET_SHARE, f"other programs took {100 * (share or 0.0):.0f} % of its time"),
            (share is None and self._others.value > OTHERS_PCT, f"other processes used {self._others.value:.0f} % of the cores"),
            (self._steal.value > STEAL_PCT, f"the hypervisor took {self._steal.value:.0f} % of the time"),
            (self._throttled.value > THROTTLED_PCT, f"the control group throttled xchat {self._throttled.value:.0f} % of the time"),
            (self._swapped.value > SWAPPED_PAGES_PER_S, "the machine swapped"),
            (self._faults.value > FAULTS_PER_S, f"{self._faults.value:.0f} page faults a second waited for the disk"),
            (low < high * FREQUENCY_DROP, f"the clock fell from {high:,.0f} to {low:,.0f} MHz"),
            (self._hottest >= HOT_C, f"the processor was {self._hottest:.0f} °C hot"),
        )
