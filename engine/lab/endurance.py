"""Samples memory, temperature and clock during a long measurement."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from engine.clock import NS_PER_S, now_ns
from engine.host.sampler import HostSampler
from engine.host.value import known
from engine.numbers import byte_size

SAMPLE_S: Final = 2.0
GROWTH: Final = 0.02
"""Least growth of the resident memory that is reported, as a share."""
HOTTER_C: Final = 10.0
"""Least rise of the temperature that is reported."""
SLOWER_CLOCK: Final = 0.05
"""Least drop of the clock frequency that is reported, as a share."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One sample of the machine; None for figures that it does not report."""

    seconds: float
    rss_bytes: float | None
    temperature_c: float | None
    freq_mhz: float | None


class Endurance:
    """Samples the machine between the repetitions of a measurement."""

    def __init__(self, sampler: HostSampler) -> None:
        self._sampler = sampler
        self._began_ns = now_ns()
        self.moments: list[Moment] = []

    def sample(self) -> None:
        """Take a sample, unless the last one is younger than `SAMPLE_S`."""
        seconds = (now_ns() - self._began_ns) / NS_PER_S
        if self.moments and seconds - self.moments[-1].seconds < SAMPLE_S:
            return
        found = self._sampler.sample()
        self.moments.append(Moment(seconds, known(found.memory.rss), known(found.cpu.temperature_c), known(found.cpu.freq_mhz)))

    @property
    def remarks(self) -> tuple[str, ...]:
        """Changes from the first third to the last, in sentences; none for fewer than nine samples."""
        third = len(self.moments) // 3
        if third < 3:
            return ()
        hours = (self.moments[-1].seconds - self.moments[third - 1].seconds) / 3600
        found = []
        if (ends := self._ends("rss_bytes", third)) is not None and ends[1] - ends[0] > GROWTH * ends[0]:
            grown = ends[1] - ends[0]
            found.append(f"the memory of this process grew by {byte_size(grown)}, {byte_size(grown / hours)} an hour")
        if (ends := self._ends("temperature_c", third)) is not None and ends[1] - ends[0] >= HOTTER_C:
            found.append(f"the processor went from {ends[0]:.0f} to {ends[1]:.0f} °C")
        if (ends := self._ends("freq_mhz", third)) is not None and ends[1] < (1 - SLOWER_CLOCK) * ends[0]:
            found.append(f"its clock fell from {ends[0]:,.0f} to {ends[1]:,.0f} MHz")
        return tuple(found)

    @property
    def facts(self) -> list[dict[str, Any]]:
        """The samples as JSON values."""
        return [{name: getattr(one, name) for name in Moment.__slots__} for one in self.moments]

    def _ends(self, name: str, third: int) -> tuple[float, float] | None:
        ends = [
            [value for one in some if (value := getattr(one, name)) is not None] for some in (self.moments[:third], self.moments[-third:])
        ]
        return (median(ends[0]), median(ends[1])) if all(ends) else None
