"""Arrangements of panes: built-in ones, and the user's own, saved between starts."""

from __future__ import annotations

from pathlib import Path

import msgspec

from engine.atomic_write import write_atomically
from engine.errors import XchatError
from engine.metrics.history import Window
from engine.regular_file import read_kept
from tui.panel.pane import Density


class Arrangement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A selection of panes with a density."""

    name: str
    panes: tuple[str, ...]
    """Ids of panes, in the order of the panel."""
    density: Density | None = None
    """The density; None chooses it by size."""


BUILT_IN: tuple[Arrangement, ...] = (
    Arrangement(
        "overview", ("speed", "context", "memory", "cpu", "latency", "roofline", "threads", "price", "events", "answers", "server")
    ),
    Arrangement("answer", ("speed", "latency", "context", "events", "answers", "server")),
    Arrangement("machine", ("cpu", "threads", "memory", "roofline")),
    Arrangement("screen", ("price", "speed", "events")),
    SERVING := Arrangement("serving", ("answers", "cpu", "memory", "threads")),
)
"""The built-in arrangements; the first is the default."""

OWN = "own"
"""Name of the user's own arrangement."""


class _File(msgspec.Struct, frozen=True):
    current: Arrangement = BUILT_IN[0]
    own: Arrangement | None = None
    window: Window = Window.MINUTE


class Arrangements:
    """Built-in and own arrangements with the current one; saved in a file, if given."""

    def __init__(self, path: Path | None = None, *, first: Arrangement = BUILT_IN[0]) -> None:
        """`first`: the initial arrangement without a readable file."""
        self._path = path
        stored = read_kept(path, _File(first)) if path is not None else _File(first)
        self.current = stored.current
        self.window = stored.window
        self._own = stored.own

    def next(self) -> Arrangement:
        """Switch to the next arrangement; from a modified one to the overview."""
        known = [*BUILT_IN, *([self._own] if self._own else [])]
        names = [arrangement.name for arrangement in known]
        unchanged = self.current in known
        self.current = known[(names.index(self.current.name) + 1) % len(known)] if unchanged else known[0]
        return self.current

    def change(self, *, panes: tuple[str, ...] | None = None, density: Density | msgspec.UnsetType | None = msgspec.UNSET) -> None:
        """Change panes or density without saving an arrangement."""
        self.current = Arrangement(
            self.current.name,
            self.current.panes if panes is None else panes,
            self.current.density if isinstance(density, msgspec.UnsetType) else density,
        )

    def save(self) -> None:
        """Save the current panes as the user's own arrangement."""
        self._own = self.current = Arrangement(OWN, self.current.panes, self.current.density)

    def encoded(self) -> bytes:
        """Return the contents of the file."""
        return msgspec.json.encode(_File(self.current, self._own, self.window))

    def write(self, content: bytes) -> None:
        """Write to the file. Blocking.

        Raises:
            XchatError: The file can't be written.

        """
        if self._path is None:
            return
        try:
            write_atomically(self._path, content)
        except OSError as error:
            raise XchatError("The panel's arrangement could not be saved", str(error)) from error
