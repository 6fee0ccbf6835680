"""What the command line tells the screen: made once, before Textual is imported."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from engine.paths import log_path

if TYPE_CHECKING:
    from engine.events import Notice
    from engine.model_ref import ModelRef
    from tui.choices import KnownModel

LOG_BYTES = 64_000
"""So much of the log's end is shown."""


def tail_of_log() -> list[str]:
    """The end of the log file, line by line; nothing when there is no such file."""
    path = log_path()
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - LOG_BYTES))
            return file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return []


@dataclass(frozen=True, slots=True)
class AppOptions:
    """How to start the screen."""

    model: ModelRef | Callable[[], ModelRef | None] | None = None
    """The model to load after the first frame, or how to find it (asked on a thread, may raise XchatError); none loads none."""
    force: bool = False
    """Load the first model also when it is predicted not to fit into memory."""
    resume: int | None = None
    """The session to open; 0 is the newest."""
    theme: str | None = None
    """Name of a theme; none picks one that fits the terminal."""
    mouse: bool = True
    low_bandwidth: bool = False
    """Spend few bytes: slower flushes, jump scrolling, no animation."""
    keys: Mapping[str, Sequence[str] | str] = field(default_factory=dict)
    """The config's `[keys]` table: action to key or keys."""
    notices: tuple[Notice, ...] = ()
    """What to tell the person once the screen stands."""
    known_models: Callable[[], Sequence[KnownModel]] = tuple
    """Asked each time the models screen opens; may read files, and runs on a thread."""
    native_log: Callable[[], Sequence[str]] = tail_of_log
    """The last lines of the native library's log, oldest first."""
    prometheus_port: int | None = None
    """Serve figures to Prometheus on this port of the loopback interface; none serves nothing."""
    restart: Sequence[str] = ()
    """The command that starts this program again, without session; empty when it can't be restarted."""
