"""Chooses the thread count while threads compute: `threads = "auto"`.

The best count on a quiet machine is the worst when another program becomes active: the threads wait for each other at barriers, and one
that lost its CPU delays all of them (on two cores: 66 tokens/s quiet, 20 with one busy neighbour, where one thread alone makes 54).
Changing the count between two tokens costs nothing, so the governor compares the cost of tokens, tries neighbouring counts for a few tokens
when something changed, and keeps the fastest. Pure arithmetic: no clock is read, no thread started.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class CpuFacts:
    """The machine's state beside the cost of tokens."""

    limit: int
    """Most threads by affinity and quota."""
    usable: int
    """CPUs that this process may run on."""
    others: float | None = None
    """CPUs that other programs keep busy, of those this process may use; None when unknown."""
    spins: bool = True
    """Threads that wait for each other spin; otherwise they sleep at once (`engine.threads.wait_policy`)."""

    @property
    def free(self) -> int:
        """Threads that have a CPU each beside other programs."""
        return self.limit if self.others is None else max(1, min(self.limit, round(self.usable - self.others)))

    @property
    def worth_trying(self) -> int:
        """Most threads worth a trial: spinning threads without a CPU each delay each other, sleeping ones share the CPUs."""
        return self.free if self.spins else self.limit


@dataclass(frozen=True, slots=True)
class Tuning:
    """Parameters of a governor."""

    window: int
    """Samples whose mean is the cost of a thread count."""
    skip: int
    """Samples not counted after a change: the first one pays for waking threads."""
    trigger: float
    """The machine changed when the cost moved by more than this share."""
    gain: float
    """Another count must be cheaper by this share to be chosen."""
    first_check_s: float
    """Working time after a change until neighbouring counts are tried again; doubles each time none is better."""
    last_check_s: float
    """Longest time between such checks."""


DECODE = Tuning(window=8, skip=1, trigger=0.2, gain=0.03, first_check_s=2.0, last_check_s=30.0)
"""One sample is one token."""
PREFILL = Tuning(window=2, skip=0, trigger=0.25, gain=0.03, first_check_s=4.0, last_check_s=60.0)
"""One sample is a chunk of the prompt, and a prompt has few."""

_OTHERS_WORK = "other programs became active"
_OTHERS_REST = "other programs became idle"
_SLOWER = "tokens became slower"
_FIRST = "measured at the start"
_MORE_CPUS = "this process may use more CPUs"
_CHECK = "checked again"

_SUDDEN = 2.0
_SUDDEN_SAMPLES = 2
"""`_SUDDEN_SAMPLES` in a row at `_SUDDEN` times the usual cost count as a change before the window is full."""
_FIRST_LOOK_NS = 3 * NS_PER_S // 10
"""The first count is a guess: it is compared with others after a window, or after this working time when tokens are slow."""

_HOPELESS = 1.5
"""A count that costs this much more than the one in use over three samples, or long enough, is dropped before its window is full."""
_GIVE_UP = 4.0
"""A count whose first sample costs this much more is dropped at once."""
_CLEAR = 0.5
"""A count below this share of the current cost is chosen at once; else the current one is measured again after the trials, since its
slowdown may have passed (two threads cost 16 ms a token during the first frames of an answer, and 9 ms afterwards).
"""
_TRIAL_SHARE = 0.02
"""Most of the working time that trials of more threads may cost; a costly trial is delayed until it is within this share."""
_OTHERS_STEP = 0.5
"""Change of the CPUs used by others from which the machine counts as changed."""
_DRIFT = 0.02
"""Share per sample by which the reference follows slow changes, such as a growing context."""
_MIN_GAP_NS = NS_PER_S // 2
"""Least working time between two trials, unless others changed."""


class Governor:
    """Chooses the thread count of decode or of prefill. For one thread."""

    def __init__(self, start: int, facts: CpuFacts, tuning: Tuning = DECODE) -> None:
        self._tuning = tuning
        self._facts = facts
        self.threads = max(1, min(start, facts.limit))
        """The count in use, also during a trial."""
        self.reason = f"{_threads(self.threads)} to begin with: physical cores within the limits of this process"
        """The reason of this count, a sentence for the panel."""
        self.move = ""
        """The decision when the count was first measured or last changed; unlike `reason` not updated by every check."""
        self._window: deque[float] = deque(maxlen=tuning.window)
        self._skip = 0
        self._reference: float | None = None
        self._clock_ns = 0
        self._in_use_ns = 0
        self._looked_ns = 0
        self._check_s = tuning.first_check_s
        self._others = facts.others
        self._home = self.threads
        self._home_cost = 0.0
        self._found: dict[int, float] = {}
        self._to_try: list[int] = []
        self._trial: list[float] = []
        self._confirming = False
        """Whether the count in use is measured again before another is chosen."""
        self._most = facts.limit
        self._debt_ns = 0.0
        self._why = ""
        self._pending = _FIRST
        """The reason to try other counts once the one in use has been measured."""

    @property
    def spins(self) -> bool:
        """Whether waiting threads spun at the last observation."""
        return self._facts.spins

    @property
    def trying(self) -> bool:
        """Whether the count in use is a trial."""
        return self.threads != self._home

    def begin_with(self, threads: int) -> None:
        """Begin with another count, unless one has been measured already."""
        if self._pending == _FIRST and self._reference is None and not self._window:
            self.threads = self._home = min(threads, self._facts.limit)
            self.reason = f"{_threads(self._home)} to begin with: other programs compete for the CPUs"

    def limit(self, most: int, usable: int) -> None:
        """Set the limits before a turn; affinity and quota can change."""
        before, self._facts = self._facts.limit, replace(self._facts, limit=most, usable=usable)
        if max(self._home, self.threads) > most:
            self._obey_limit()
        elif most > before:
            self._start_over(_MORE_CPUS)

    def observe(self, duration_ns: int, tokens: float = 1, facts: CpuFacts | None = None) -> int | None:
        """Add the cost of one call; returns the new count when it should change now.

        Args:
            duration_ns: The time of the call.
            tokens: The tokens it evaluated, or its work as a multiple of the usual.
            facts: The machine, if sampled since the last call.
        """
        self._clock_ns += duration_ns
        self._in_use_ns += duration_ns
        if facts is not None:
            before, self._facts = self._facts, facts
            if max(self._home, self.threads) > facts.limit:
                return self._obey_limit()
            if facts.limit > before.limit:
                return self._start_over(_MORE_CPUS)
            if facts.spins != before.spins:
                return self._start_over(_OTHERS_REST if facts.spins else _OTHERS_WORK)
        cost = duration_ns / tokens
        if self.trying:
            self._debt_ns += duration_ns - self._home_cost * tokens
        else:
            self._debt_ns = max(0.0, self._debt_ns - duration_ns * _TRIAL_SHARE)
        if self._skip:
            self._skip -= 1
            return self._end_trial(cost) if self.trying and cost > _GIVE_UP * self._home_cost else None
        self._window.append(cost)
        return self._judge_trial() if self.trying or self._confirming else self._watch()

    def restart(self) -> None:
        """Discard all costs, since the kind of work changed and not the machine. Ends a trial."""
        self._to_try = []
        self._confirming = False
        self._reference = None
        self._check_s = self._tuning.first_check_s
        if self._switch(self._home) is None:
            self._window.clear()
            self._in_use_ns = 0

    def _watch(self) -> int | None:
        """Without a trial: start one when the machine changed or the next check is due."""
        window, reference = self._window, self._reference
        cost = sum(window) / len(window)
        # Slow tokens do not fill a window in time; with too few free CPUs, one of them is enough.
        few = 1 if self._facts.others is not None and self._home > self._facts.free else _SUDDEN_SAMPLES
        full = len(window) == self._tuning.window or (len(window) >= few and self._in_use_ns >= _FIRST_LOOK_NS)
        if reference is None:
            if not full:
                return None
            self._reference = cost
            why, self._pending = self._pending, ""
            return self._start_trials(cost, why) if why else None
        sudden = self._sudden(reference)
        if sudden:
            cost, why = sudden, _SLOWER
        else:
            why = self._changed(cost, reference) if full else ""
        if not why:
            if full and cost <= reference * (1 + self._tuning.trigger):
                self._reference = reference + (cost - reference) * _DRIFT
            return None
        self._reference = cost
        return self._start_trials(cost, why)

    def _sudden(self, reference: float) -> float:
        """Return the mean cost of the last samples if all are too slow to wait for more; else 0."""
        if self._clock_ns - self._looked_ns < _MIN_GAP_NS or len(self._window) < _SUDDEN_SAMPLES:
            return 0.0
        last = [self._window[-1 - back] for back in range(_SUDDEN_SAMPLES)]
        return sum(last) / len(last) if min(last) > _SUDDEN * reference else 0.0

    def _changed(self, cost: float, reference: float) -> str:
        """Describe the change of the machine; empty for none."""
        since = self._clock_ns - self._looked_ns
        # While threads sleep because of other programs, costs and load always vary; a change that matters ends the sleep.
        owing = self._debt_ns > 0
        if since < _MIN_GAP_NS or (owing and not self._facts.spins):
            return ""
        others, before = self._facts.others, self._others
        if others is not None and (before is None or abs(others - before) >= _OTHERS_STEP):
            self._others = others
            if before is not None:
                return _OTHERS_WORK if others > before else _OTHERS_REST
        if owing:
            return ""  # the screen's own frames change the cost by a fifth, which is no reason for repeated trials
        if cost > reference * (1 + self._tuning.trigger) and self._lasting(reference):
            return _SLOWER
        if cost < reference / (1 + self._tuning.trigger):
            return "tokens became faster"
        return _CHECK if since >= self._check_s * NS_PER_S else ""

    def _lasting(self, reference: float) -> bool:
        """Return whether more than one or two samples are slow."""
        slow = sum(1 for sample in self._window if sample > reference * (1 + self._tuning.trigger / 2))
        return slow >= min(3, len(self._window))

    def _start_trials(self, cost: float, why: str) -> int | None:
        self._looked_ns = self._clock_ns
        self._home_cost = cost
        self._found = {self._home: cost}
        self._why = why
        # More threads than free CPUs are the worst choice as measured, so try them only after a long time without changes.
        rare = why == _CHECK and self._check_s >= self._tuning.last_check_s
        self._most = self._facts.limit if rare else self._facts.worth_trying
        if self._debt_ns > 0:
            self._most = min(self._most, self._home)
        self._to_try = self._candidates()
        return self._try_next()

    def _candidates(self) -> list[int]:
        """List the counts to try: the free CPUs, the neighbours, and a larger step on large machines."""
        home, leap = self._home, max(1, self._home // 8)
        around = (
            [home + 1, home - 1, home + leap, home - leap] if self._why == _OTHERS_REST else [home - 1, home + 1, home - leap, home + leap]
        )
        counts = dict.fromkeys([self._facts.worth_trying, *around])
        return [count for count in counts if count != home and (1 <= count < home or home < count <= self._most)]

    def _try_next(self) -> int | None:
        return self._switch(self._to_try.pop(0)) if self._to_try else self._settle()

    def _judge_trial(self) -> int | None:
        samples = self._trial
        samples.append(self._window[-1])
        spent, home = sum(samples), min(self._found.values()) if self._confirming else self._home_cost
        cost = spent / len(samples)
        # A count that seems faster must be so for twice as long: crowded CPUs are fast until the other program's time slice.
        enough = self._tuning.window * (2 if cost < min(self._found.values()) else 1)
        known = len(samples) >= 3 or self._in_use_ns >= _FIRST_LOOK_NS  # one call of 64 prompt tokens is as informative as many tokens
        lost = spent > enough * home or (known and cost > _HOPELESS * home)
        return self._end_trial(cost) if lost or len(samples) >= enough else None

    def _end_trial(self, cost: float) -> int | None:
        """End the trial of the count in use: try the next one, or settle."""
        self._found[self.threads] = cost
        if self._confirming:
            self._home_cost = cost
            return self._settle()
        best = min(self._found, key=lambda count: self._found[count])
        further = self.threads + (1 if self.threads > self._home else -1)
        if best == self.threads and not self._to_try and further not in self._found and 1 <= further <= max(self._most, self._home):
            self._to_try.append(further)
        return self._try_next()

    def _settle(self) -> int | None:
        """Choose the cheapest count found, or keep the one before when none is clearly cheaper."""
        best = min(self._found, key=lambda count: self._found[count])
        if self._found[best] > self._home_cost * (1 - self._tuning.gain):
            best = self._home
        if best != self._home and not self._confirming and self._found[best] > self._home_cost * _CLEAR:
            self._confirming = True
            return self._switch(self._home)
        self._confirming = False
        moved = best != self._home
        self._check_s = self._tuning.first_check_s if moved else min(2 * self._check_s, self._tuning.last_check_s)
        self._home = best
        self._reference = self._found[best]
        self._looked_ns = self._clock_ns
        self._others = self._facts.others
        self.reason = self._sentence(best)
        if moved or self._why == _FIRST:
            self.move = self.reason
        return self._switch(best)

    def _start_over(self, why: str) -> int | None:
        """Discard all measurements, since threads now wait differently or may use more CPUs. The last call was half of each kind."""
        self._pending = why
        self._debt_ns = 0.0
        tried = self.trying
        self.restart()
        return self.threads if tried else None

    def _obey_limit(self) -> int:
        """Reduce the count to the smaller affinity or quota."""
        limit = self._facts.limit
        self._home = min(self._home, limit)
        self._to_try = []
        self._confirming = False
        self._reference = None
        self.reason = self.move = f"{_threads(self._home)}: the limit of CPUs for this process now"
        return self._switch(self._home) or self.threads

    def _switch(self, count: int) -> int | None:
        if count == self.threads:
            return None
        self.threads = count
        self._window.clear()
        self._trial.clear()
        self._in_use_ns = 0
        self._skip = self._tuning.skip
        return count

    def _sentence(self, best: int) -> str:
        rivals = {count: cost for count, cost in self._found.items() if count != best}
        others = self._facts.others
        busy = f"other programs keep {others:.1f} CPUs busy" if others is not None and others >= _OTHERS_STEP else ""
        if not rivals:
            return f"{_threads(best)}: " + (
                f"{busy}, and more threads would wait for a CPU" if busy else "no other count is worth a trial here"
            )
        rival = min(rivals, key=lambda count: rivals[count])
        costs = f"{self._found[best] / 1e6:.1f} ms per token against {rivals[rival] / 1e6:.1f} with {rival}"
        return f"{_threads(best)}: {costs} ({self._why}{'; ' if busy else ''}{busy})"


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"
