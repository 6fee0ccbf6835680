"""Which panes stand in the panel: arrangements that come with xchat, and the person's own, kept between starts."""

from __future__ import annotations

from pathlib import Path

import msgspec

from engine.atomic_write import write_atomically
from engine.errors import XchatError
from engine.metrics.history import Window
from tui.panel.pane import Density


class Arrangement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A choice of panes with their density."""

    name: str
    panes: tuple[str, ...]
    """Ids of panes, in the order of the panel."""
    density: Density | None = None
    """None lets the size decide."""


BUILT_IN: tuple[Arrangement, ...] = (
    Arrangement("overview", ("speed", "context", "memory", "cpu", "latency", "roofline", "threads", "price", "events")),
    Arrangement("answer", ("speed", "latency", "context", "events")),
    Arrangement("machine", ("cpu", "threads", "memory", "roofline")),
    Arrangement("screen", ("price", "speed", "events")),
)
"""The first is what a new panel shows."""

OWN = "own"
"""Name of the arrangement that `save` writes."""


class _File(msgspec.Struct, frozen=True):
    current: Arrangement = BUILT_IN[0]
    own: Arrangement | None = None
    window: Window = Window.MINUTE


class Arrangements:
    """The list to cycle through, and what was looked at last; remembered in a file if there is one."""

    def __init__(self, path: Path | None = None) -> None:
        """A file that can't be read is as good as none: the panel starts with the overview."""
        self._path = path
        stored = _File()
        if path is not None:
            try:
                stored = msgspec.json.decode(path.read_bytes(), type=_File)
            except (OSError, msgspec.DecodeError):
                stored = _File()
        self.current = stored.current
        self.window = stored.window
        self._own = stored.own

    def next(self) -> Arrangement:
        """Turn to the next arrangement; after one that was changed by hand comes the overview."""
        known = [*BUILT_IN, *([self._own] if self._own else [])]
        names = [arrangement.name for arrangement in known]
        unchanged = self.current in known
        self.current = known[(names.index(self.current.name) + 1) % len(known)] if unchanged else known[0]
        return self.current

    def change(self, *, panes: tuple[str, ...] | None = None, density: Density | msgspec.UnsetType | None = msgspec.UNSET) -> None:
        """Show other panes, or at another density, without saving that as an arrangement."""
        self.current = Arrangement(
            self.current.name,
            self.current.panes if panes is None else panes,
            self.current.density if isinstance(density, msgspec.UnsetType) else density,
        )

    def save(self) -> None:
        """Keep what is shown now as the person's own arrangement."""
        self._own = self.current = Arrangement(OWN, self.current.panes, self.current.density)

    def encoded(self) -> bytes:
        """What is looked at now, as the file keeps it."""
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
            raise XchatError("The panel's arrangement could not be kept", str(error)) from error
