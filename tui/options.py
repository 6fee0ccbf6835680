"""Options of the screen from the command line, set before Textual is imported."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from engine.config import NotifyConfig
from engine.paths import log_path
from engine.regular_file import open_regular

if TYPE_CHECKING:
    from engine.events import Notice
    from engine.model_ref import ModelRef
    from engine.serving.beside import ServePlan
    from tui.choices import KnownModel

LOG_BYTES = 64_000
"""Bytes shown from the end of the log."""


def tail_of_log() -> list[str]:
    """Return the last lines of the log file; empty without a file."""
    path = log_path()
    try:
        with open(open_regular(path), "rb") as file:
            file.seek(max(0, path.stat().st_size - LOG_BYTES))
            return file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return []


@dataclass(frozen=True, slots=True)
class AppOptions:
    """The options of the screen."""

    model: ModelRef | Callable[[], ModelRef | None] | None = None
    """The model to load after the first frame, or a function that finds it (called on a thread, may raise XchatError)."""
    force: bool = False
    """Whether to load the first model even if it is predicted not to fit into memory."""
    resume: int | None = None
    """The session to open; 0 is the newest."""
    theme: str | None = None
    """Name of a theme; None picks one that suits the terminal."""
    mouse: bool = True
    log: bool = True
    """Whether to save messages; otherwise the prompt's history stays in memory too."""
    low_bandwidth: bool = False
    """Whether to save bandwidth: slower flushes, jump scrolling, no animation."""
    keys: Mapping[str, Sequence[str] | str] = field(default_factory=dict)
    """The config's `[keys]` table: action to key or keys."""
    notify: NotifyConfig = field(default_factory=NotifyConfig)
    """How the end of a long answer is notified."""
    notices: tuple[Notice, ...] = ()
    """Notices to show once the screen is ready."""
    known_models: Callable[[], Sequence[KnownModel]] = tuple
    """Called on a thread each time the models screen opens; may read files."""
    ask_engines: Callable[[], Future[object]] | None = None
    """Asks the servers of the config for their models, which `known_models` then has; called on a thread. None without any."""
    native_log: Callable[[], Sequence[str]] = tail_of_log
    """The last lines of the native library's log, oldest first."""
    prometheus_port: int | None = None
    """Loopback port that serves figures to Prometheus, if any."""
    serve: ServePlan | None = None
    """Serve the first model over HTTP."""
    restart: Sequence[str] = ()
    """The command that restarts this program, without the session; empty when it can't be restarted."""
