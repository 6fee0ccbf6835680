"""Formats notices, and keeps the list of past ones."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from engine.clock import wall_ms
from engine.text import one_line

NOTICE_S: Mapping[str, float] = {"information": 5.0, "warning": 10.0, "error": 15.0}
"""Seconds that a notice is shown, by severity."""

KEPT = 200
"""Most notices in the list."""


@dataclass(frozen=True, slots=True)
class PastNotice:
    """A notice with its time."""

    at_s: float
    severity: str
    title: str
    detail: str = ""
    hint: str = ""

    @property
    def line(self) -> str:
        """The notice in one row: title, hint, detail."""
        parts = (one_line(part).rstrip(". ") for part in (self.title, self.hint, self.detail))
        return ". ".join(part for part in parts if part)

    @property
    def entry(self) -> str:
        """Its entry in the list."""
        at = datetime.fromtimestamp(self.at_s).astimezone()
        body = "".join(f"\n          {part}" for part in (self.detail.replace("\n", "\n          "), self.hint) if part)
        return f"{at:%H:%M:%S}  {'' if self.severity == 'information' else f'{self.severity}: '}{self.title}{body}"


class PastNotices:
    """The last notices, the newest first."""

    def __init__(self) -> None:
        self._kept: deque[PastNotice] = deque(maxlen=KEPT)
        self._error_until_s = 0.0

    def add(self, severity: str, title: str, detail: str, hint: str) -> PastNotice | None:
        """Add a notice; returns it, or None while an error is shown that it must not replace."""
        notice = PastNotice(wall_ms() / 1e3, severity, title, detail, hint)
        self._kept.appendleft(notice)
        now_s = time.monotonic()
        if severity == "information" and now_s < self._error_until_s:
            return None
        self._error_until_s = now_s + NOTICE_S[severity] if severity == "error" else 0.0
        return notice

    def dismiss(self) -> None:
        """Allow the next notice to be shown, whatever was shown before."""
        self._error_until_s = 0.0

    def __iter__(self) -> Iterator[PastNotice]:
        """Yield the notices, newest first."""
        return iter(self._kept)

    @property
    def text(self) -> str:
        """Return all notices as text, newest first."""
        return "\n".join(notice.entry for notice in self._kept)
