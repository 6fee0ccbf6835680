"""Runs py-spy in a child process: starts it suspended, reads its output, and reliably ends it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

from engine import child
from engine.clock import NS_PER_S
from engine.profiling import launcher

END_S = 1.0
"""Time for a cancelled child to end by itself."""
KEPT_OUTPUT = 65_536
"""Most characters of its messages kept."""


class ProcessTime:
    """CPU time of a child, read from /proc while it lives; unknown elsewhere."""

    def __init__(self, pid: int) -> None:
        self._stat = Path(f"/proc/{pid}/stat")
        self._samples: list[tuple[int, float]] = []

    def sample(self, at_ns: int) -> None:
        """Read the CPU time used so far."""
        with contextlib.suppress(OSError, ValueError, IndexError):
            fields = self._stat.read_bytes().rpartition(b")")[2].split()
            self._samples.append((at_ns, (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")))

    @property
    def percent(self) -> float | None:
        """Return the CPU use between the first and the last sample, in per cent of one core."""
        if len(self._samples) < 2:
            return None
        (first_ns, first_s), (last_ns, last_s) = self._samples[0], self._samples[-1]
        return (last_s - first_s) / ((last_ns - first_ns) / NS_PER_S) * 100


class Wakings:
    """Wake-ups of a child's first thread since this was created, read from /proc; unknown elsewhere.

    py-spy sleeps before each sample, so this shows whether it has taken one. It is not a count of samples: py-spy also waits for other
    things (up to 50 % more during an answer), and does not sleep while it is behind.
    """

    def __init__(self, pid: int) -> None:
        self._status = Path(f"/proc/{pid}/task/{pid}/status")
        self._before = self._switches()
        self._last = 0

    @property
    def count(self) -> int | None:
        """Return the wake-ups so far; the last value once the child has ended."""
        if self._before is None:
            return None
        now = self._switches()
        if now is not None:
            self._last = now - self._before
        return self._last

    def _switches(self) -> int | None:
        with contextlib.suppress(OSError, ValueError):
            for line in self._status.read_bytes().splitlines():
                if line.startswith(b"voluntary_ctxt_switches:"):
                    return int(line.split()[1])
        return None


async def spawn(command: Sequence[str], descriptor: int, niceness: int) -> asyncio.subprocess.Process:
    """Start the launcher of `command`, in its own session so that no key of the terminal reaches it; it inherits `descriptor`.

    Raises OSError when no process can be made.
    """
    return await asyncio.create_subprocess_exec(
        *child.script_command(launcher.__file__, str(os.getpid()), str(niceness)),
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        pass_fds=(descriptor,),
        start_new_session=True,
        env={**os.environ, "RUST_BACKTRACE": "0", "RUST_LOG": "warn"},
    )


async def release(process: asyncio.subprocess.Process) -> None:
    """Let the launcher become its program."""
    if process.stdin is not None:
        with contextlib.suppress(ConnectionError):
            process.stdin.write(b"\n")
            await process.stdin.drain()
        process.stdin.close()


class Output:
    """The last KEPT_OUTPUT characters of a child's output; sets `began` when `sign` appears."""

    def __init__(self, stream: asyncio.StreamReader | None, began: asyncio.Event | None = None, sign: str = "") -> None:
        self._text = ""
        self._sign = sign
        self._began = began
        self._reader = asyncio.create_task(self._read(stream))

    async def whole(self) -> str:
        """Return the output once the child has ended, without waiting for a grandchild that keeps the pipe open."""
        await asyncio.wait({self._reader}, timeout=END_S)
        self._reader.cancel()
        return self._text

    async def _read(self, stream: asyncio.StreamReader | None) -> None:
        while stream is not None and (chunk := await stream.read(4096)):
            self._text += chunk.decode("utf-8", "replace")
            if len(self._text) > KEPT_OUTPUT:
                self._text = self._text[-KEPT_OUTPUT:].partition("\n")[2]
            if self._began is not None and self._sign in self._text:
                self._began.set()


async def first_of(*waits: Coroutine[Any, Any, Any], limit_s: float) -> None:
    """Return when one of `waits` has ended, or the time is over."""
    tasks = {asyncio.ensure_future(wait) for wait in waits}
    try:
        await asyncio.wait(tasks, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


async def end(process: asyncio.subprocess.Process) -> None:
    """Interrupt the process, and kill it if it has not ended within END_S."""
    if process.returncode is None:
        send(process, signal.SIGINT)
        try:
            await asyncio.wait_for(process.wait(), END_S)
        except TimeoutError:
            # It has its own session, so its children end too.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


def send(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """Send a signal, if the child still runs."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)
