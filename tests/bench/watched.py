"""The real program, with a note of when each token came and what had been used by then for looking.

    python -m tests.bench.watched NOTES.npz [ARGUMENT OF xchat]...

Started by `bench_profile` on a terminal of its own; `NOTES.npz` is written when the program ends. It holds `tokens`, a row for each token
(when it was decoded, processor time of the event loop's thread, that of py-spy, -1 while it does not sample), and `captures`, a row for
each capture (when it was asked for, when it had ended, what py-spy used in all); everything in nanoseconds.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from engine.clock import now_ns
from engine.host.procfs import KernelFile
from engine.llama.context import Context
from engine.llama.planning import Part
from engine.profiling.capture import Capture
from tui.cli.main import main


class ProcessorTime:
    """How long threads have run, in nanoseconds, from their schedstat: cheap enough to be read at each token."""

    def __init__(self, pid: int, tids: Iterable[int]) -> None:
        self._used = {KernelFile(Path(f"/proc/{pid}/task/{tid}/schedstat")): 0 for tid in tids}

    def read(self) -> int:
        """All of them together; one that has gone keeps what it had used."""
        self._used |= {file: int(text.split()[0]) for file in self._used if (text := file.read())}
        return sum(self._used.values())


class Watch:
    """Puts itself between the program's parts and takes notes."""

    def __init__(self) -> None:
        """To be made on the event loop's thread."""
        self.tokens: list[tuple[int, int, int]] = []
        self.captures: list[tuple[int, int, int]] = []
        self._event_loop = ProcessorTime(os.getpid(), [os.getpid()])
        self._sampler: ProcessorTime | None = None
        self._spy = 0
        self._watch_tokens()
        self._watch_captures()

    def _watch_tokens(self) -> None:
        decode = Context.decode

        def watched(context: Context, parts: Sequence[Part]) -> int:
            result = decode(context, parts)
            if len(parts) == 1 and len(parts[0].tokens) == 1:
                sampler = self._sampler
                self.tokens.append((now_ns(), self._event_loop.read(), -1 if sampler is None else sampler.read()))
            return result

        Context.decode = watched  # type: ignore[method-assign,assignment]

    def _watch_captures(self) -> None:
        begin, attend = Capture._begin_sampling, Capture._attend

        def beginning(capture: Capture) -> int:
            self._sampler = ProcessorTime(self._spy, map(int, os.listdir(f"/proc/{self._spy}/task")))
            return begin(capture)

        async def attending(capture: Capture, process: asyncio.subprocess.Process, program: Path) -> object:
            self._spy = process.pid
            try:
                return await attend(capture, process, program)
            finally:
                used, self._sampler = self._sampler.read() if self._sampler is not None else 0, None
                self.captures.append((capture._asked_ns, now_ns(), used))

        Capture._begin_sampling = beginning  # type: ignore[method-assign,assignment]
        Capture._attend = attending  # type: ignore[method-assign,assignment]


if __name__ == "__main__":
    watch = Watch()
    status = main(sys.argv[2:])
    np.savez(sys.argv[1], tokens=np.array(watch.tokens, np.int64), captures=np.array(watch.captures, np.int64))
    sys.exit(status)
