"""Runs one capture with py-spy as a child process, from the permission to the finished record."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from engine.clock import NS_PER_S, now_ns, wall_ms
from engine.errors import CaptureError
from engine.profiling import pyspy_process
from engine.profiling.in_process import InProcessSampler
from engine.profiling.permission import allowed_tracer, obstacle, surroundings
from engine.profiling.pyspy import Report, command_line, find_py_spy, read_report
from engine.profiling.records import CaptureMode, CaptureRecord, Overhead, ThreadLane
from engine.profiling.request import DEFAULT_RATE, CaptureRequest, Setting
from engine.profiling.speedscope import read_pyspy
from engine.profiling.stacks import FoldedStacks
from engine.profiling.thread_cpu import LANE_INTERVAL_S, LaneRecorder
from engine.profiling.tokens import TokenLog

START_LIMIT_S = 20.0
"""Time limit for the start of py-spy, which first reads the symbols of large libraries."""
END_LIMIT_S = 30.0
"""Time limit for py-spy to write its output after the last sample."""
SETTLE_S = 0.15
"""Time after py-spy's report of sampling until it handles the signal that ends it early."""
FEWEST_SAMPLES = 2
"""Samples to wait for before a capture is ended early; on a busy processor the first one may be late."""
FEWEST_LIMIT_S = 5.0
"""Time limit of that wait."""
POLL_S = 0.01
"""Interval between two checks for the first samples."""
NICENESS = 19
"""Niceness of py-spy where it does not stop the program, so that the model has priority; where it does, it must be quick."""
SAMPLING = "Sampling process"
"""py-spy's message when sampling begins."""

INSTEAD_FILE = "capture.folded"
"""Output file of the command that a user may have to run."""


class _UnusableError(CaptureError):
    """py-spy never began to sample."""


@dataclass(frozen=True, slots=True)
class _Recording:
    mode: CaptureMode
    stacks: FoldedStacks
    start_ns: int
    end_ns: int
    lanes: tuple[ThreadLane, ...]
    failures: int
    looks: int
    sampler_cpu_pct: float | None
    behind_s: float = 0.0
    notes: tuple[str, ...] = ()


class Capture:
    """A recording that has begun. Made and used on the event loop's thread, which must live as long as the recording.

    Without permission for py-spy, or without py-spy, this process is sampled from inside instead, and the record's mode and notes
    say so.
    """

    def __init__(
        self,
        request: CaptureRequest,
        *,
        tokens: TokenLog | None = None,
        setting: Setting | None = None,
        program: Callable[[], Path] = find_py_spy,
    ) -> None:
        self.request = request
        self.rate = request.planned_rate()
        """Samples per second."""
        self._tokens = tokens
        self._setting = setting or Setting()
        self._program = program
        self._asked_ns = now_ns()
        self._started_ns: int | None = None
        self._started_wall_ms = wall_ms()
        self._began = asyncio.Event()
        self._stopping = asyncio.Event()
        self._stopped_ns: int | None = None
        self._cancelled = False
        self._count: Callable[[], int | None] = lambda: 0
        self._task = asyncio.create_task(self._run(), name="capture")

    @property
    def sampling(self) -> bool:
        """Whether samples are being taken, after py-spy's start."""
        return self._started_ns is not None and not self._task.done()

    @property
    def taken(self) -> int | None:
        """Approximate number of samples so far, up to half too many beside an answer; thread-safe. None where it can't be counted."""
        return self._count()

    @property
    def remaining_s(self) -> float:
        """Remaining seconds of sampling."""
        if self._started_ns is None:
            return float(self.request.seconds)
        return max(0.0, self.request.seconds - (now_ns() - self._started_ns) / NS_PER_S)

    async def wait_until_sampling(self) -> None:
        """Return when samples are being taken, or the capture is over without any."""
        began = asyncio.create_task(self._began.wait())
        await asyncio.wait({began, self._task}, return_when=asyncio.FIRST_COMPLETED)
        began.cancel()

    def stop_early(self) -> None:
        """End the sampling now and keep the samples so far."""
        self._stopping.set()

    async def cancel(self) -> None:
        """Cancel without a record; returns when py-spy has ended."""
        if not self._cancelled:
            self._cancelled = True
            self._task.cancel()
        await asyncio.wait({self._task})

    async def result(self) -> CaptureRecord | None:
        """Return the record when the capture is over; None after `cancel`. Raises CaptureError when nothing was recorded."""
        try:
            return await asyncio.shield(self._task)
        except asyncio.CancelledError:
            if self._cancelled:
                return None
            raise

    def on_end(self, callback: Callable[[], None]) -> None:
        """Call `callback` when the capture has ended, for any reason."""
        self._task.add_done_callback(lambda _: callback())

    async def _run(self) -> CaptureRecord:
        try:
            recording = await self._with_py_spy()
        except _UnusableError as reason:
            if not self.request.own_process:
                raise CaptureError(*reason.args) from reason
            recording = await self._in_process(reason)
        if not recording.stacks.total:
            raise CaptureError("The capture has no samples", *_why_empty(recording))
        return self._record(recording)

    @property
    def _pid(self) -> int:
        return os.getpid() if self.request.pid is None else self.request.pid

    def _record(self, recording: _Recording) -> CaptureRecord:
        tokens, start_ns, end_ns = self._tokens, recording.start_ns, recording.end_ns
        work = tokens.between(start_ns, end_ns, disturbed_from_ns=self._asked_ns) if tokens is not None else None
        return CaptureRecord(
            started_ms=self._started_wall_ms,
            mode=recording.mode,
            seconds=round((end_ns - start_ns) / NS_PER_S, 3),
            rate=self.rate,
            samples=recording.stacks.total,
            stacks=recording.stacks,
            failures=recording.failures,
            looks=recording.looks,
            behind_s=recording.behind_s,
            notes=recording.notes,
            turn_id=work.turn_id if work else None,
            model=self._setting.model,
            quant=self._setting.quant,
            preset=self._setting.preset,
            tokens=work.tokens if work else None,
            overhead=Overhead(
                sampler_cpu_pct=recording.sampler_cpu_pct,
                speed_outside=work.speed_outside if work else None,
                speed_during=work.speed_during if work else None,
            ),
            lanes=recording.lanes,
        )

    def _begin_sampling(self) -> int:
        self._started_ns = now_ns()
        self._started_wall_ms = wall_ms()
        self._began.set()
        return self._started_ns

    async def _with_py_spy(self) -> _Recording:
        try:
            program = self._program()
        except CaptureError as error:
            raise _UnusableError(*error.args) from error
        # The output is a file without a name: private, and deleted with the last process that has it open.
        with tempfile.TemporaryFile() as output:
            process = await self._start(program, output.fileno())
            with allowed_tracer(process.pid) if self.request.own_process else contextlib.nullcontext():
                attended = await self._attend(process, program)
            output.seek(0)
            # Long captures of many threads have megabytes, so the screen must not wait.
            stacks = await asyncio.to_thread(read_pyspy, output.read())
        return self._recording(attended, stacks)

    async def _start(self, program: Path, descriptor: int) -> asyncio.subprocess.Process:
        request = self.request
        command = command_line(
            program, pid=self._pid, seconds=request.seconds, rate=self.rate, mode=request.mode, output=f"/dev/fd/{descriptor}"
        )
        try:
            return await pyspy_process.spawn(command, descriptor, 0 if request.mode is CaptureMode.NATIVE else NICENESS)
        except OSError as error:
            raise _UnusableError("py-spy could not start", error.strerror or str(error)) from error

    async def _attend(self, process: asyncio.subprocess.Process, program: Path) -> _Attended:
        """Release py-spy, and wait until it has ended."""
        began = asyncio.Event()
        stdout, stderr = pyspy_process.Output(process.stdout, began, SAMPLING), pyspy_process.Output(process.stderr)
        lanes = LaneRecorder()
        cpu = pyspy_process.ProcessTime(process.pid)
        try:
            await pyspy_process.release(process)
            await pyspy_process.first_of(began.wait(), process.wait(), limit_s=START_LIMIT_S)
            if began.is_set():
                await self._accompany(process, lanes, cpu)
        finally:
            await pyspy_process.end(process)
            ended_ns = now_ns()
            said = [await output.whole() for output in (stdout, stderr)]
            recorded_lanes = lanes.finish()
        report = read_report(*said)
        if not began.is_set():
            raise self._unusable(report, program)
        if process.returncode != 0:
            raise CaptureError("The capture was lost", _how_it_ended(process.returncode, report), "Start another one.")
        return _Attended(report, recorded_lanes if self.request.own_process else (), cpu.percent, ended_ns)

    async def _accompany(self, process: asyncio.subprocess.Process, lanes: LaneRecorder, cpu: pyspy_process.ProcessTime) -> None:
        """Sample the threads while py-spy samples, and end it when asked to."""
        wakings = pyspy_process.Wakings(process.pid)
        self._count = lambda: wakings.count
        started_ns = self._begin_sampling()
        ended = asyncio.create_task(process.wait())
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            while not ended.done():
                lanes.sample(now_ns())
                cpu.sample(now_ns())
                await asyncio.wait({ended, stopping}, timeout=LANE_INTERVAL_S, return_when=asyncio.FIRST_COMPLETED)
                if stopping.done():
                    await self._settle(ended, started_ns)
                    self._stopped_ns = now_ns()
                    lanes.sample(self._stopped_ns)
                    cpu.sample(self._stopped_ns)
                    pyspy_process.send(process, signal.SIGINT)
                    await asyncio.wait({ended}, timeout=END_LIMIT_S)
                    return
                if (now_ns() - started_ns) / NS_PER_S > self.request.seconds + END_LIMIT_S:
                    return
        finally:
            stopping.cancel()
            ended.cancel()

    async def _settle(self, ended: asyncio.Task[int], started_ns: int) -> None:
        """Wait until py-spy can be ended with at least FEWEST_SAMPLES."""
        await asyncio.wait({ended}, timeout=max(0.0, SETTLE_S - (now_ns() - started_ns) / NS_PER_S))
        while not ended.done() and (now_ns() - started_ns) / NS_PER_S < FEWEST_LIMIT_S:
            taken = self.taken
            if taken is None or taken >= FEWEST_SAMPLES:
                return
            await asyncio.wait({ended}, timeout=POLL_S)

    def _unusable(self, report: Report, program: Path) -> _UnusableError:
        if report.refused:
            request = self.request
            instead = command_line(
                program, pid=self._pid, seconds=request.seconds, rate=self.rate, mode=request.mode, output=INSTEAD_FILE, form="raw"
            )
            reason, hint = obstacle(surroundings(), instead, INSTEAD_FILE)
            return _UnusableError("py-spy is not permitted to read this process", reason, hint)
        return _UnusableError("py-spy could not start", " ".join(report.complaints) or f"{program} ended without a message.")

    def _recording(self, attended: _Attended, stacks: FoldedStacks) -> _Recording:
        start_ns = self._started_ns or attended.ended_ns
        end_ns = self._stopped_ns or attended.ended_ns
        report = attended.report
        return _Recording(
            mode=self.request.mode,
            stacks=stacks,
            start_ns=start_ns,
            end_ns=end_ns,
            lanes=attended.lanes,
            failures=report.failures,
            looks=self._looks(stacks, report.failures, (end_ns - start_ns) / NS_PER_S),
            sampler_cpu_pct=attended.cpu_pct,
            behind_s=report.behind_s,
            notes=report.complaints,
        )

    def _looks(self, stacks: FoldedStacks, failures: int, lasted_s: float) -> int:
        """Estimate how often py-spy (0.4.3) read all stacks, which it doesn't report.

        Without interruption it does so `rate × seconds` times, however long that takes. Ended early, it is the count of the thread in every
        sample, in the modes with all threads; in the others that of the rate or of the busiest thread.
        """
        seen = max(stacks.samples_of_threads.values(), default=0)
        if self._stopped_ns is not None and self.request.mode in {CaptureMode.IDLE, CaptureMode.NATIVE}:
            return seen
        seconds = self.request.seconds if self._stopped_ns is None else min(lasted_s, self.request.seconds)
        return max(seen, round(self.rate * seconds) - failures)

    async def _in_process(self, reason: CaptureError) -> _Recording:
        self.rate = self.request.rate or DEFAULT_RATE  # in-process samples are cheap
        sampler = InProcessSampler(self.rate, idle=self.request.mode is CaptureMode.IDLE)
        lanes = LaneRecorder()
        self._count = lambda: sampler.taken
        start_ns = self._begin_sampling()
        sampler.start()
        try:
            while self.remaining_s > 0 and not self._stopping.is_set():
                lanes.sample(now_ns())
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), min(LANE_INTERVAL_S, self.remaining_s))
        finally:
            stacks = sampler.stop()
            recorded_lanes = lanes.finish()
        end_ns = now_ns()
        return _Recording(
            mode=CaptureMode.IN_PROCESS,
            stacks=stacks,
            start_ns=start_ns,
            end_ns=end_ns,
            lanes=recorded_lanes,
            failures=sampler.missed,
            looks=sampler.taken,
            sampler_cpu_pct=sampler.cpu_s / ((end_ns - start_ns) / NS_PER_S) * 100,
            notes=(str(reason),),
        )


@dataclass(frozen=True, slots=True)
class _Attended:
    report: Report
    lanes: tuple[ThreadLane, ...]
    cpu_pct: float | None
    ended_ns: int


def _how_it_ended(code: int | None, report: Report) -> str:
    ending = f"py-spy was ended by signal {-code}" if code is not None and code < 0 else f"py-spy ended with code {code}"
    return f"{ending}: {' '.join(report.complaints)}" if report.complaints else f"{ending}."


def _why_empty(recording: _Recording) -> tuple[str, str]:
    if recording.failures:
        return (
            f"All {recording.failures:,} attempts to read one failed.",
            "Try the mode with native frames, which stops the program for each sample.",
        )
    if recording.mode is CaptureMode.GIL:
        return "No thread was seen holding the GIL.", "Try the default mode, or a longer time."
    return "No Python thread was busy.", "Try the mode that shows waiting threads too, or a longer time."
