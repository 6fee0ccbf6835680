"""Decides during computing whether waiting threads spin or sleep.

On a quiet machine spinning wins (a 135M model: 114 against 70 tokens/s on two cores). With other programs on the cores a spinning thread
uses the time slice that its partner needs (2 to 8 tokens/s against 18 to 41). A guard thread checks the running call every `TICK_S`:
when compute threads waited for a CPU, it throttles spinning within the call, and allows it again after `CALM_S` of working time without
waiting.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from engine.host.contention import RunQueueWait, crowded_now

TICK_S = 0.05
"""Interval between checks of the running call; a check costs about 20 µs for two threads."""
CROWDED_SHARE = 0.15
"""Share of time waiting for a CPU from which spinning is throttled."""
CALM_SHARE = 0.04
"""Share below which no other program competes; the screen's own thread causes about 0.02."""
CALM_S = 0.5
"""Calm working time before threads spin again."""
FIRST_CALM_S = 0.15
"""`CALM_S` while threads sleep only because the machine looked crowded before the call: programs of low priority take no time."""
LONGEST_CALM_S = 8.0
"""Limit of the calm time, which doubles each time that spinning was allowed too early."""
STALE_S = 1.0
"""A pause after which the machine is checked before the first call."""
PRESSURE_S = 15.0
"""Time after a call in which the kernel's 10 s mean may still include this process."""
REFRESH_TICKS = 10
"""Ticks between two listings of the compute threads while their number stays."""


class Lever(Protocol):
    """Switches spinning off and on."""

    def throttle(self) -> None:
        """Let waiting threads sleep at once."""

    def release(self) -> None:
        """Let waiting threads spin again."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """How compute threads wait, and why."""

    spins: bool
    """Waiting threads spin before they sleep."""
    share: float | None
    """Share of time that compute threads waited for a CPU at the last check; None where the kernel does not report it."""
    reason: str
    """A sentence for the panel and the log."""


class Judgement:
    """The decision, as pure arithmetic on shares."""

    def __init__(self) -> None:
        self.spins = True
        self._calm_s = 0.0
        self._needed_s = CALM_S
        self._spun_s = 0.0
        self._suspect = False
        self._guessed = False
        """Whether threads sleep only because the machine looked crowded; none has waited since."""

    def begin(self, crowded: bool | None) -> None:
        """Start after a pause: spin unless the machine is crowded."""
        if crowded is not None:
            self._guessed = crowded and self.spins
            self.spins = not crowded
        self._calm_s = 0.0
        self._suspect = False

    def add(self, share: float, elapsed_s: float) -> bool:
        """Add the waiting share of the last `elapsed_s` seconds of computing; returns whether threads are to spin now."""
        if self.spins:
            self._spun_s += elapsed_s
            crowded = share >= CROWDED_SHARE
            # One time slice of another program does not count, unless it took most of the time.
            if crowded and (self._suspect or share >= 2 * CROWDED_SHARE):
                self._needed_s = min(2 * self._needed_s, LONGEST_CALM_S) if self._spun_s < 2 * CALM_S else CALM_S
                self.spins, self._calm_s = False, 0.0
            self._suspect = crowded
            return self.spins
        if share >= CALM_SHARE:
            self._guessed = False
        self._calm_s = self._calm_s + elapsed_s if share < CALM_SHARE else 0.0
        if self._calm_s >= (FIRST_CALM_S if self._guessed else self._needed_s):
            self.spins, self._spun_s, self._suspect = True, 0.0, False
        return self.spins


class WaitPolicy:
    """Applies the judgement to the calls of one compute thread. `before` and `after` belong to that thread; `now` to any."""

    def __init__(
        self,
        lever: Lever | None,
        unavailable: str = "",
        *,
        waits: RunQueueWait | None = None,
        crowded: Callable[[bool], bool | None] = lambda lately: crowded_now(computed_lately=lately),
    ) -> None:
        """Start with spinning threads; the guard starts with the first call.

        Args:
            lever: Switches spinning; None where it can't be switched.
            unavailable: Why there is no lever, in a sentence.
            waits: Measures how long compute threads waited.
            crowded: Whether others compete for the CPUs at this moment; the argument says whether this process computed lately.
        """
        self._lever = lever
        self._crowded = crowded
        self._waits = waits or RunQueueWait(process_ns=time.process_time_ns)
        self._judgement = Judgement()
        self._lock = threading.Lock()
        self._threads = 0
        """Threads of the running call; 0 between calls."""
        self._busy_s = 0.0
        self._began_s = 0.0
        self._ended_s = float("-inf")
        self._active = threading.Event()
        self._closed = False
        self._guard: threading.Thread | None = None
        self._now = Waiting(True, None, unavailable or "Waiting threads spin: no other program has competed so far")

    @property
    def adjustable(self) -> bool:
        """Whether waiting threads can be put to sleep at once."""
        return self._lever is not None

    @property
    def now(self) -> Waiting:
        """Return how threads wait now."""
        return self._now

    def before(self, threads: int) -> None:
        """Start watching a decode call with this number of threads."""
        if self._lever is None:
            return
        now_s = time.perf_counter()
        if now_s - self._ended_s >= STALE_S:
            self._start_over(lately=now_s - self._ended_s < PRESSURE_S)
        with self._lock:
            self._threads, self._began_s = threads, now_s
        if (threads > 1 or not self._now.spins) and not self._active.is_set():
            self._active.set()

    def after(self) -> None:
        """Stop watching the call."""
        if self._lever is None:
            return
        now_s = time.perf_counter()
        with self._lock:
            self._busy_s += now_s - self._began_s
            self._threads, self._ended_s = 0, now_s

    def close(self) -> None:
        """End the guard and let threads spin again."""
        self._closed = True
        self._active.set()
        if self._guard is not None:
            self._guard.join()
        if self._lever is not None:
            self._lever.release()
        self._waits.close()

    def _start_over(self, *, lately: bool) -> None:
        crowded = self._crowded(lately)
        with self._lock:
            self._judgement.begin(crowded)
            self._apply(None, "other programs compete for the CPUs" if crowded else "no other program competes")
            self._busy_s = 0.0
        if self._guard is None:
            guard = threading.Thread(target=self._watch, name="xchat-wait-guard", daemon=True)
            with suppress(RuntimeError):  # no more threads can be started: the next call tries again
                guard.start()
                self._guard = guard

    def _watch(self) -> None:
        """Check the running calls; block while there are none."""
        ticks, listed = 0, 0
        while True:
            self._active.wait()
            if self._closed:
                return
            threads = self._threads
            if ticks % REFRESH_TICKS == 0 or threads > listed:
                listed = threads
                self._waits.refresh()
                self._waits.since_last()
            ticks += 1
            time.sleep(TICK_S)
            self._tick()

    def _tick(self) -> None:
        waited_ns = self._waits.since_last()
        with self._lock:
            now_s = time.perf_counter()
            busy_s, self._busy_s = self._busy_s, 0.0
            threads = self._threads
            if threads:
                busy_s += now_s - self._began_s
                self._began_s = now_s
            elif now_s - self._ended_s > STALE_S:
                self._active.clear()
                return
            if waited_ns is None or busy_s <= 0 or (threads == 1 and self._judgement.spins):
                return  # a single thread has no others to wait for, but shows when the machine is quiet again
            share = min(1.0, waited_ns / 1e9 / (busy_s * (threads or 2)))
            self._judgement.add(share, busy_s)
            why = f"they waited {share:.0%} of the time for a CPU"
            self._apply(share, why)

    def _apply(self, share: float | None, why: str) -> None:
        lever, spins = self._lever, self._judgement.spins
        assert lever is not None
        if spins:
            lever.release()
        else:
            lever.throttle()
        if spins != self._now.spins or share is None:
            self._now = Waiting(spins, share, f"Waiting threads {'spin' if spins else 'sleep at once'}: {why}")
        else:
            self._now = Waiting(spins, share, self._now.reason)
