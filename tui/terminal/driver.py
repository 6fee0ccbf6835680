"""The terminal driver: Textual's, made robust against a terminal that hangs up, blocks, or splits input.

Textual 8.2 itself deadlocks when the terminal is gone (the writer thread dies, its queue fills, the event loop blocks in `put`) and
spins on a closed input. This module uses these private parts of Textual, each covered by a test: `LinuxDriver._file`,
`LinuxDriver._writer_thread`, `WriterThread._queue`, `textual._xterm_parser.XTermParser`, `textual._ansi_sequences.SYNC_START`.
"""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from codecs import getincrementaldecoder
from collections.abc import Mapping
from functools import cached_property
from typing import IO, TYPE_CHECKING, Any, ClassVar

from textual import events
from textual._ansi_sequences import SYNC_END, SYNC_START
from textual._xterm_parser import XTermParser
from textual.drivers.linux_driver import LinuxDriver
from textual.message import Message

from tui.terminal.ascii import ASCII_DRAWING
from tui.terminal.frame_diff import Picture
from tui.terminal.pastes import Part, Pasted, PasteSplitter, Withdrawn
from tui.terminal.round_trip import HOLD_S, RoundTrip

if TYPE_CHECKING:
    from textual.app import App

    from tui.terminal.starvation import Starvation

READ_BYTES = 65536
"""Bytes of input read at once."""

POLL_S = 0.1
"""Interval in which the input thread checks whether to end."""

LAST_ANSWER_S = 1.0
"""Longest wait for the terminal's last reply before it is released."""

PROBE = "\x1b[0m" * 256
"""A kilobyte without visible effect; the reply after it is late on a connection below 10 KB/s."""


class Burst(events.Paste):
    """A paste without brackets, recognised by the amount of input; more of it may follow."""


Burst.handler_name = events.Paste.handler_name


class TtyFile:
    """The file of the writer thread: counts bytes, times blocking writes, and survives a hang-up.

    After a hang-up, writes succeed and do nothing, so that the writer thread keeps draining its queue.
    """

    def __init__(self, file: IO[str], *, ascii_only: bool = False) -> None:
        self._fd = file.fileno()
        self._encoding = "ascii" if ascii_only else (getattr(file, "encoding", None) or "utf-8")
        self._ascii_only = ascii_only
        self.gone = threading.Event()
        """Set when the terminal has hung up."""
        self.bytes_written = 0
        self.blocked_s = 0.0
        """Total time spent in blocking writes, in seconds."""
        self._writing_since: float | None = None

    def fileno(self) -> int:
        """Return the file descriptor written to."""
        return self._fd

    def isatty(self) -> bool:
        """Return whether the output is a terminal."""
        return not self.gone.is_set() and os.isatty(self._fd)

    def write(self, text: str) -> int:
        """Write all of `text`, blocking; characters outside the terminal's encoding become question marks."""
        if not self.gone.is_set():
            if self._ascii_only:
                text = text.translate(ASCII_DRAWING)
            self._write_all(memoryview(text.encode(self._encoding, "replace")))
        return len(text)

    def flush(self) -> None:
        """Do nothing: writes are not buffered."""

    @property
    def stalled_s(self) -> float:
        """Duration of the current write so far; 0 without one."""
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


def erases(environ: Mapping[str, str]) -> bool:
    """Return whether this terminal erases cells with the current background colour, as all but GNU screen do."""
    return not environ.get("TERM", "").startswith("screen") or bool(environ.get("TMUX"))


def chord(message: Message) -> Message:
    """Remove the character of a key with Alt, which Textual's inputs would type instead of running its binding."""
    if isinstance(message, events.Key) and message.key.startswith("alt+"):
        return events.Key(message.key, None)
    return message


class SafeLinuxDriver(LinuxDriver):
    """A LinuxDriver that survives terminal failures over SSH and measures the connection."""

    ascii_only: ClassVar[bool] = False

    def __init__(self, app: App[Any], *, debug: bool = False, mouse: bool = True, size: tuple[int, int] | None = None) -> None:
        super().__init__(app, debug=debug, mouse=mouse, size=size)
        assert self._file is not None, "without standard error there is no terminal to draw on"
        self.tty = TtyFile(self._file, ascii_only=self.ascii_only)
        self._file = self.tty  # type: ignore[assignment]
        self.picture = Picture(erases=erases(os.environ), ascii_only=self.ascii_only)
        """The cells that the terminal shows."""
        self.round_trip = RoundTrip()
        """Measures the time until sent output is drawn."""
        self._away = False
        """Whether another program has the terminal."""
        self.taking_input = threading.Event()
        """Set when a widget handles keys; earlier input waits in the terminal."""
        self._frame: list[str] = []
        """Parts of the current frame, sent in one write to save packets."""

    @property
    def backlog(self) -> int:
        """Number of queued writes."""
        writer = self._writer_thread
        return 0 if writer is None else writer._queue.qsize()

    def write(self, data: str) -> None:
        """Queue output, a frame in one piece; drop it once the terminal is gone."""
        if self._frame or data == SYNC_START:
            self._frame.append(data)
            if data != SYNC_END:
                return
            data = "".join(self._frame)
            self._frame.clear()
        if not self.tty.gone.is_set() and not self._away:
            super().write(data)

    def suspend_application_mode(self) -> None:
        """Leave the terminal to another program; output meanwhile is dropped."""
        super().suspend_application_mode()
        self._away = True

    def resume_application_mode(self) -> None:
        """Take the terminal back."""
        self._away = False
        super().resume_application_mode()

    def probe(self) -> None:
        """Send bytes without visible effect, to measure an idle connection."""
        if self.round_trip.waiting_s == 0:
            self.write(PROBE)
            self.ask()

    @cached_property
    def starvation(self) -> Starvation:
        """Measures how long the threads of the screen wait for a CPU."""
        from tui.terminal.starvation import Starvation

        return Starvation()

    def ask(self) -> None:
        """Ask the terminal to reply when it has drawn all output so far."""
        if self.input_tty and not self._away and self._writer_thread is not None and (query := self.round_trip.ask()):
            self.write(query)

    def start_application_mode(self) -> None:
        """Take over the terminal, at the start and after `fg`; its contents are unknown."""
        self.picture.forget()
        super().start_application_mode()  # type: ignore[no-untyped-call]

    def run_input_thread(self) -> None:
        """Read input until stopped; a closed terminal raises SIGHUP once instead of spinning."""
        try:
            self._read_input()
        except OSError:
            self._hang_up()

    def _read_input(self) -> None:
        parser = XTermParser(self._debug)
        decode = getincrementaldecoder("utf-8")("replace").decode
        splitter = PasteSplitter()
        while not self.exit_event.is_set() and not self.taking_input.wait(POLL_S):
            pass
        while not self.exit_event.is_set():
            ready, _, _ = select.select([self.fileno], [], [], HOLD_S / 4 if self.round_trip.holding else POLL_S)
            if self.exit_event.is_set():
                break
            now = time.monotonic()
            found: list[Part] = splitter.tick(now)
            if ready:
                data = os.read(self.fileno, READ_BYTES)
                if not data:
                    self._hang_up()
                    return
                text = self.round_trip.without_answers(decode(data))
            else:
                text = self.round_trip.tick()
            if text:
                found += splitter.feed(text, now)
            parser = self._deliver(found, parser)

    def _deliver(self, found: list[Part], parser: XTermParser) -> XTermParser:
        """Deliver input as messages; returns the parser for further input."""
        for part in found:
            if isinstance(part, Withdrawn):
                parser = self._renewed(parser)
            elif isinstance(part, Pasted):
                self.process_message(events.Paste(part.text) if part.bracketed else Burst(part.text))
            else:
                for event in parser.feed(part.text):
                    self.process_message(chord(event))
        for event in parser.tick():
            self.process_message(chord(event))
        return parser

    def _renewed(self, parser: XTermParser) -> XTermParser:
        """Make a new parser with the terminal's properties, without the sequence being parsed."""
        fresh = XTermParser(self._debug)
        fresh.mouse_pixels = parser.mouse_pixels
        fresh.terminal_size = parser.terminal_size
        fresh.terminal_pixel_size = parser.terminal_pixel_size
        return fresh

    def _hang_up(self) -> None:
        self.tty.gone.set()
        os.kill(os.getpid(), signal.SIGHUP)

    def stop_application_mode(self) -> None:
        """Restore the terminal, unless it is gone."""
        if self.tty.gone.is_set():
            self.exit_event.set()
            return
        self.round_trip.await_answer(LAST_ANSWER_S)
        super().stop_application_mode()

    def close(self) -> None:
        """End the writer thread; one that is stuck in a dead terminal is left running (it is a daemon)."""
        if not self.tty.gone.is_set():
            super().close()


class AsciiDriver(SafeLinuxDriver):
    """For locales without UTF-8: lines and charts are drawn in ASCII."""

    ascii_only = True
