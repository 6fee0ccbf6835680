"""A real terminal for tests: a pty, a screen that is kept by pyte, and waiting for what shows up on it."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence

import pyte

TIMEOUT_S = 60.0
"""How long a thing may take to show up before the test fails; generous, since machines are small and busy."""

XCHAT = (sys.executable, "-m", "tui.cli.main")

ANSWERS = ((b"\x1b[6n", b"\x1b[1;1R"), (b"\x1b[c", b"\x1b[?62;c"), (b"\x1b[?2026$p", b"\x1b[?2026;2$y"))
"""What xterm says to the queries of a full-screen program."""


class Terminal:
    """A program on a pty of its own."""

    at_most = 65_536
    """Bytes taken at a time."""

    def __init__(
        self,
        command: Sequence[str] = XCHAT,
        *,
        columns: int = 120,
        rows: int = 36,
        environment: Mapping[str, str | None] | None = None,
        answers: Sequence[tuple[bytes, bytes]] = ANSWERS,
    ) -> None:
        """A variable of `environment` that is None is unset; `answers` are what the terminal says to queries."""
        self.raw = bytearray()
        self._answers = answers
        self._looked_at = 0
        self._unseen = b""
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            variables = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", **(environment or {})}
            os.execvpe(command[0], list(command), {name: value for name, value in variables.items() if value is not None})
        self.resize(columns, rows)
        self.exit_code: int | None = None

    def resize(self, columns: int, rows: int) -> None:
        """Change the window size, as a person dragging its corner does; a full picture follows, so what was not seen yet is forgotten."""
        self._unseen = b""
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self._screen.resize(rows, columns)

    @property
    def text(self) -> str:
        """What the screen shows now."""
        return "\n".join(line.rstrip() for line in self._screen.display)

    def type(self, keys: str | bytes) -> None:
        """Send keys as bytes: `\\r` is Enter, `\\x1b` Escape."""
        os.write(self._fd, keys.encode() if isinstance(keys, str) else keys)

    def wait_for(self, wanted: str | Callable[[str], bool], timeout: float = TIMEOUT_S) -> str:
        """Read the terminal until `wanted` is on the screen (or true of it); returns the screen."""
        holds = wanted if callable(wanted) else lambda text: wanted in text
        deadline = time.monotonic() + timeout
        self._show(b"")
        while not holds(self.text):
            left = deadline - time.monotonic()
            if left <= 0 or not self._read(left):
                raise AssertionError(f"never on the screen: {wanted!r}\n{self.text}")
        return self.text

    def wait_for_news(self, timeout: float = TIMEOUT_S) -> None:
        """Read until the program has written something."""
        if not self._read(timeout):
            raise AssertionError(f"nothing was written any more\n{self.text}")

    def drain(self, seconds: float) -> None:
        """Take what the program writes for so long, and look at it later: looking costs more processor time than the program does."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._unseen += self._take(left)

    def wait_for_exit(self, timeout: float = TIMEOUT_S) -> int:
        """Read until the program has ended; returns its exit code (negative: the signal that killed it)."""
        deadline = time.monotonic() + timeout
        while self._read(max(0.0, deadline - time.monotonic())):
            if time.monotonic() > deadline:
                raise AssertionError(f"still running after {timeout} s\n{self.text}")
        return self._reap(deadline)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send the program a signal."""
        os.kill(self.pid, number)

    def hang_up(self) -> None:
        """Close the terminal under the program, as a dropped SSH connection does."""
        os.close(self._fd)
        self._fd = -1

    def close(self) -> None:
        """End the program, whatever it is doing."""
        if self.exit_code is None:
            try:
                os.kill(self.pid, signal.SIGKILL)
                self._reap(time.monotonic() + 5)
            except (ProcessLookupError, ChildProcessError):
                pass
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _reap(self, deadline: float) -> int:
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.exit_code = os.waitstatus_to_exitcode(status)
                return self.exit_code
            if time.monotonic() > deadline:
                raise AssertionError("the terminal is closed but the program has not ended")
            select.select([], [], [], 0.02)

    def _read(self, timeout: float) -> bool:
        """Show what the program wrote; False when nothing came in time or the program closed the terminal."""
        data = self._take(timeout)
        self._show(data)
        return bool(data)

    def _show(self, data: bytes) -> None:
        """Put what was drained, and `data` after it, on the screen."""
        self._stream.feed(self._unseen + data)
        self._unseen = b""

    def _take(self, timeout: float) -> bytes:
        """What the program wrote, its queries answered; nothing when nothing came in time or the program closed the terminal."""
        ready, _, _ = select.select([self._fd], [], [], timeout)
        if not ready:
            return b""
        try:
            data = os.read(self._fd, self.at_most)
        except OSError:
            return b""
        self.raw += data
        for query, answer in self._answers:
            if query in self.raw[max(0, self._looked_at - len(query) + 1) :]:
                os.write(self._fd, answer)
        self._looked_at = len(self.raw)
        return data
