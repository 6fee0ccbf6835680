"""Predicts the cost of a py-spy sample of this process, and chooses the sampling rate.

py-spy (0.4.3) reads a process with `process_vm_readv`, six calls for a frame, waiting threads included. So a sample costs some hundreds of
these calls, whose duration depends on the machine: 1.5 to 1.9 µs on a virtual one (2 vCPU EPYC). Where every core decodes, py-spy's CPU
time is lost to tokens/s. So, like perf (`kernel.perf_cpu_time_max_percent`), a capture takes fewer samples where they are expensive.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time
from types import FrameType

from engine.clock import NS_PER_S

SHARE = 0.022
"""Most CPU use of py-spy, as a share of a core. With its start and the countdown on the screen, tokens/s fall by at most 3 %."""

CALLS_PER_FRAME, CALLS_PER_THREAD, CALLS_PER_SAMPLE = 6.0, 25.0, 80.0
"""The time of a sample, in units of a call: for each frame, for each thread, and in any case. Fitted to 1 to 8 threads with 1 to 105 frames
in all (py-spy 0.4.3, `--nonblocking --function`, Linux 6.18, 2 vCPU EPYC), and for the program beside an answer right within 15 %.
"""

STEP = 5
"""Step of the sampling rate, in samples per second."""
USUAL_FRAMES, USUAL_THREADS = 45, 7
"""Frames and threads during an answer (Python 3.11, Textual 8.2), since a capture may begin before the engine runs."""

_CALLS = 40
_TRIES = 10
_READ_BYTES = 80
"""Size of py-spy's most frequent read, a frame of Python 3.11."""


class _Vector(ctypes.Structure):
    """`struct iovec`."""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


def affordable_rate(most: int) -> int:
    """Return the highest sampling rate that keeps py-spy under SHARE of a core; at most `most`, also where the cost can't be measured.

    Rounded to STEP, so that captures have the same rate although measurements differ.
    """
    sample_s = sample_cost_s()
    if sample_s is None:
        return most
    rate = int(SHARE / sample_s)
    return max(1, min(most, rate - rate % STEP or rate))


def sample_cost_s() -> float | None:
    """Predict the seconds for one py-spy sample of this process; None except on Linux. Takes half a millisecond."""
    call_s = _call_s()
    if call_s is None:
        return None
    stacks = sys._current_frames()
    frames = max(USUAL_FRAMES, sum(_depth(frame) for frame in stacks.values()))
    return call_s * (CALLS_PER_FRAME * frames + CALLS_PER_THREAD * max(USUAL_THREADS, len(stacks)) + CALLS_PER_SAMPLE)


def _call_s() -> float | None:
    """Measure the seconds for one call, the fastest of some tries, since a busy machine is slower."""
    if sys.platform != "linux":
        return None
    read = ctypes.CDLL(None).process_vm_readv
    there, here = ctypes.create_string_buffer(_READ_BYTES), ctypes.create_string_buffer(_READ_BYTES)
    remote, local = (ctypes.byref(_Vector(ctypes.addressof(buffer), _READ_BYTES)) for buffer in (there, here))
    pid, length = os.getpid(), ctypes.c_ulong(1)
    if read(pid, local, length, remote, length, ctypes.c_ulong(0)) != _READ_BYTES:
        return None
    quickest = float("inf")
    for _ in range(_TRIES):
        started = time.perf_counter_ns()
        for _ in range(_CALLS):
            read(pid, local, length, remote, length, ctypes.c_ulong(0))
        quickest = min(quickest, (time.perf_counter_ns() - started) / _CALLS)
    return quickest / NS_PER_S


def _depth(frame: FrameType | None) -> int:
    """Count the frames of a stack; of one that runs an event loop, those while it waits, since a sample rarely finds more."""
    depth = 0
    while frame is not None:
        depth = 2 if frame.f_code.co_name == "_run_once" else depth + 1
        frame = frame.f_back
    return depth
