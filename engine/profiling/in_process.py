"""The fallback without permission for py-spy: a thread of the program samples the Python stacks of the others."""

from __future__ import annotations

import sys
import threading
import time
from types import FrameType

from engine.clock import now_ns
from engine.profiling.frames import frame_text, is_idle, shorten
from engine.profiling.idle_threads import IdleThreads
from engine.profiling.stacks import FoldedStacks, StackCounter


class InProcessSampler:
    """Samples `sys._current_frames()` at a steady rate on its own thread, from `start` to `stop`.

    One sample costs about 17 µs with six threads, and needs the GIL. Waiting threads, recognized by their last frame or the kernel's
    counters, are left out unless `idle` is set.
    """

    def __init__(self, rate: int, *, idle: bool) -> None:
        self._interval_s = 1.0 / rate
        self._idle = idle
        self._counter = StackCounter()
        self._idle_threads = IdleThreads()
        self._frames: dict[tuple[str, str, int], str] = {}
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._run, name="profiler", daemon=True)
        self.cpu_s = 0.0
        """CPU time of the sampling; final after `stop`."""
        self.missed = 0
        """Samples missed because the thread waited for the GIL longer than an interval."""
        self.taken = 0
        """Samples so far."""

    def start(self) -> None:
        """Start sampling."""
        self._thread.start()

    def stop(self) -> FoldedStacks:
        """Stop; return the stacks seen, which may be none."""
        self._enough.set()
        self._thread.join()
        self._idle_threads.close()
        return self._counter.folded()

    def _run(self) -> None:
        due = time.perf_counter()
        self._idle_threads.sample(threading.enumerate(), now_ns())
        while True:
            due += self._interval_s
            late = time.perf_counter() - due
            if late > 0:
                skipped = int(late / self._interval_s)
                self.missed += skipped
                due += skipped * self._interval_s
            if self._enough.wait(max(0.0, due - time.perf_counter())):
                self.cpu_s = time.thread_time()
                return
            self._sample()
            self.taken += 1

    def _sample(self) -> None:
        names = {thread.ident: thread for thread in threading.enumerate()}
        left_out = {threading.get_ident()}
        if not self._idle:
            left_out |= self._idle_threads.sample(names.values(), now_ns())
        for ident, frame in sys._current_frames().items():
            if ident in left_out:
                continue
            frames = self._stack(frame)
            if frames and (self._idle or not is_idle(frames[-1])):
                thread = names.get(ident)
                self._counter.add(ident, thread.name if thread else str(ident), frames)

    def _stack(self, frame: FrameType | None) -> list[str]:
        texts = []
        while frame is not None:
            code = frame.f_code
            key = (code.co_qualname, code.co_filename, frame.f_lineno or 0)
            text = self._frames.get(key)
            if text is None:
                text = self._frames[key] = frame_text(key[0], shorten(key[1]), key[2])
            texts.append(text)
            frame = frame.f_back
        return texts[::-1]
