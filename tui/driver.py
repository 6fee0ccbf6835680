"""The terminal driver: Textual's own, made to survive a terminal that hangs up, stands still, or tears input apart.

Stock Textual 8.2 deadlocks when the terminal is gone (the writer thread dies, its queue fills, the event loop blocks in `put`) and
spins on a closed input. It leans on these private parts of Textual, each held by a test: `LinuxDriver._file`,
`LinuxDriver._writer_thread`, `WriterThread._queue`, `textual._xterm_parser.XTermParser`.
"""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from codecs import getincrementaldecoder
from typing import IO, TYPE_CHECKING, Any, ClassVar

from textual import events
from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver

from tui.ascii import ASCII_DRAWING
from tui.pastes import Pasted, PasteSplitter, Typed

if TYPE_CHECKING:
    from textual.app import App

READ_BYTES = 65536
"""Most input taken at once; a paste arrives in as few pieces as the kernel allows."""

POLL_S = 0.1
"""How often the input thread looks whether it is to end."""


class Burst(events.Paste):
    """A paste that came without brackets: recognised by how much arrived at once, so more of it may follow."""


Burst.handler_name = events.Paste.handler_name


class TtyFile:
    """The file that the writer thread writes to: counts bytes, times the blocking, and outlives the terminal.

    After a hang-up, writes succeed and do nothing, so that the writer thread goes on draining its queue and nobody waits for it.
    """

    def __init__(self, file: IO[str], *, ascii_only: bool = False) -> None:
        self._fd = file.fileno()
        self._encoding = "ascii" if ascii_only else (getattr(file, "encoding", None) or "utf-8")
        self._ascii_only = ascii_only
        self.gone = threading.Event()
        """Set when the terminal has hung up."""
        self.bytes_written = 0
        self.blocked_s = 0.0
        """Time spent waiting for the terminal to take output, since the start."""
        self._writing_since: float | None = None

    def fileno(self) -> int:
        """The file descriptor written to."""
        return self._fd

    def isatty(self) -> bool:
        """Whether the output is a terminal."""
        return not self.gone.is_set() and os.isatty(self._fd)

    def write(self, text: str) -> int:
        """Write all of `text`, waiting for the terminal; characters that the terminal's encoding lacks become question marks."""
        if not self.gone.is_set():
            if self._ascii_only:
                text = text.translate(ASCII_DRAWING)
            self._write_all(memoryview(text.encode(self._encoding, "replace")))
        return len(text)

    def flush(self) -> None:
        """Nothing is buffered here."""

    @property
    def stalled_s(self) -> float:
        """For how long the write under way has been waiting; 0 when none is."""
        since = self._writing_since
        return 0.0 if since is None else time.monotonic() - since

    def _write_all(self, data: memoryview) -> None:
        self.bytes_written += len(data)
        started = self._writing_since = time.monotonic()
        try:
            while data:
                try:
                    data = data[os.write(self._fd, data) :]
                except BlockingIOError:
                    select.select([], [self._fd], [], POLL_S)
        except (OSError, ValueError):
            self.gone.set()
        finally:
            self._writing_since = None
            self.blocked_s += time.monotonic() - started


class SafeLinuxDriver(LinuxDriver):
    """A LinuxDriver that survives what happens to terminals over SSH, and says how the line is doing."""

    ascii_only: ClassVar[bool] = False

    def __init__(self, app: App[Any], *, debug: bool = False, mouse: bool = True, size: tuple[int, int] | None = None) -> None:
        super().__init__(app, debug=debug, mouse=mouse, size=size)
        assert self._file is not None, "without standard error there is no terminal to draw on"
        self.tty = TtyFile(self._file, ascii_only=self.ascii_only)
        self._file = self.tty  # type: ignore[assignment]

    @property
    def backlog(self) -> int:
        """Writes that wait for the terminal."""
        writer = self._writer_thread
        return 0 if writer is None else writer._queue.qsize()

    def write(self, data: str) -> None:
        """Queue output; dropped once the terminal is gone, so that nobody waits for it."""
        if not self.tty.gone.is_set():
            super().write(data)

    def run_input_thread(self) -> None:
        """Read input until told to stop; a closed terminal becomes one SIGHUP instead of a spinning thread."""
        try:
            self._read_input()
        except OSError:
            self._hang_up()

    def _read_input(self) -> None:
        parser = XTermParser(self._debug)
        decode = getincrementaldecoder("utf-8")("replace").decode
        splitter = PasteSplitter()
        while not self.exit_event.is_set():
            ready, _, _ = select.select([self.fileno], [], [], POLL_S)
            if self.exit_event.is_set():
                break
            now = time.monotonic()
            found: list[Typed | Pasted] = splitter.tick(now)
            if ready:
                data = os.read(self.fileno, READ_BYTES)
                if not data:
                    self._hang_up()
                    return
                if text := decode(data):
                    found += splitter.feed(text, now)
            self._deliver(found, parser)

    def _deliver(self, found: list[Typed | Pasted], parser: XTermParser) -> None:
        for part in found:
            if isinstance(part, Pasted):
                self.process_message(events.Paste(part.text) if part.bracketed else Burst(part.text))
            else:
                for event in parser.feed(part.text):
                    self.process_message(event)
        for event in parser.tick():
            self.process_message(event)

    def _hang_up(self) -> None:
        self.tty.gone.set()
        os.kill(os.getpid(), signal.SIGHUP)

    def stop_application_mode(self) -> None:
        """Give the terminal back as it was; nothing to give back when it is gone."""
        if self.tty.gone.is_set():
            self.exit_event.set()
            return
        super().stop_application_mode()

    def close(self) -> None:
        """End the writer thread; a writer stuck in a dead terminal is left behind (it is a daemon)."""
        if not self.tty.gone.is_set():
            super().close()


class AsciiDriver(SafeLinuxDriver):
    """For locales without UTF-8: lines and charts are drawn in ASCII."""

    ascii_only = True
