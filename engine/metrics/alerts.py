"""Alerts on thresholds: reported once when a figure crosses its limit, armed again when it has come back."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from engine.errors import UsageError
from engine.host.sampler import HostSample
from engine.host.value import known
from engine.metrics.snapshot import Alert

REARM_SHARE = 0.9
"""A threshold is armed again when the figure is below this share of it: a figure that hovers must not ring twice a second."""

TURNS_LOOKED_AT = 20
"""Failed turns and answer times are taken over this number of recent turns."""

FEWEST_TURNS = 5
"""Fewer turns make no share and no mean."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """One alert that exists."""

    id: str
    default: float
    sentence: str
    """With `{value}` and `{limit}` in it."""


THRESHOLDS: tuple[Threshold, ...] = (
    Threshold("memory_pct", 80.0, "Memory is {value:.0f} % full (alert above {limit:g} %)"),
    Threshold("swap_mb", 1.0, "{value:,.0f} MB of xchat are swapped out (alert above {limit:g} MB)"),
    Threshold("failed_turns_pct", 5.0, "{value:.0f} % of the last turns failed (alert above {limit:g} %)"),
    Threshold("mean_answer_s", 5.0, "Answers take {value:.1f} s on average (alert above {limit:g} s)"),
    Threshold("throttled_pct", 5.0, "The control group holds us back {value:.0f} % of the time (alert above {limit:g} %)"),
    Threshold("temperature_c", 95.0, "The processor is {value:.0f} °C hot (alert above {limit:g} °C)"),
    Threshold("stalls_per_minute", 6.0, "{value:.0f} stalls in the last minute (alert above {limit:g})"),
)
"""Every alert. A limit of 0 or less in the config switches one off."""

_BY_ID = {threshold.id: threshold for threshold in THRESHOLDS}


class Alerts:
    """Watches the thresholds."""

    def __init__(self, limits: Mapping[str, float] | None = None) -> None:
        """`limits` are the config's, over the defaults.

        Raises:
            UsageError: There is no such alert.

        """
        unknown = sorted(set(limits or {}) - set(_BY_ID))
        if unknown:
            raise UsageError(f"There is no alert called {unknown[0]}", f"Known are {', '.join(_BY_ID)}", "Fix [alerts] in config.toml.")
        self._limits = {threshold.id: threshold.default for threshold in THRESHOLDS} | dict(limits or {})
        self._ringing: dict[str, Alert] = {}
        self._turns: deque[tuple[bool, float]] = deque(maxlen=TURNS_LOOKED_AT)

    def turn(self, *, failed: bool, seconds: float) -> None:
        """A turn ended."""
        self._turns.append((failed, seconds))

    def check(self, host: HostSample | None, stalls_per_minute: int) -> tuple[tuple[Alert, ...], tuple[Alert, ...]]:
        """All thresholds crossed now, and those of them that were not crossed at the last check."""
        raised = []
        for name, read in self._figures(host, stalls_per_minute).items():
            limit, value = self._limits[name], read()
            if limit <= 0 or value is None:
                self._ringing.pop(name, None)
            elif value > limit:
                alert = Alert(name, _BY_ID[name].sentence.format(value=value, limit=limit))
                if name not in self._ringing:
                    raised.append(alert)
                self._ringing[name] = alert
            elif value < limit * REARM_SHARE:
                self._ringing.pop(name, None)
        return tuple(self._ringing.values()), tuple(raised)

    def _figures(self, host: HostSample | None, stalls_per_minute: int) -> Mapping[str, Callable[[], float | None]]:
        return {
            "memory_pct": lambda: _memory_pct(host),
            "swap_mb": lambda: None if host is None or (swap := known(host.memory.swap)) is None else swap / 1e6,
            "failed_turns_pct": lambda: self._mean(lambda turn: 100.0 if turn[0] else 0.0),
            "mean_answer_s": lambda: self._mean(lambda turn: turn[1]),
            "throttled_pct": lambda: None if host is None else known(host.cpu.throttled_pct),
            "temperature_c": lambda: None if host is None else known(host.cpu.temperature_c),
            "stalls_per_minute": lambda: float(stalls_per_minute),
        }

    def _mean(self, figure: Callable[[tuple[bool, float]], float]) -> float | None:
        if len(self._turns) < FEWEST_TURNS:
            return None
        return sum(map(figure, self._turns)) / len(self._turns)


def _memory_pct(host: HostSample | None) -> float | None:
    """What is not available, of what there is (or of what the control group allows us)."""
    if host is None:
        return None
    limit, rss = known(host.memory.limit), known(host.memory.anon)
    total, available = known(host.memory.total), known(host.memory.available)
    if limit and rss is not None and (total is None or limit < total):
        return rss / limit * 100
    return (total - available) / total * 100 if total and available is not None else None
