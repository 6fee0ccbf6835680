"""`xchat profile`: record a run, and list, show, compare and export captures."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
import threading
from dataclasses import replace
from pathlib import Path

from engine.clock import NS_PER_MS, now_ns, wall_ms
from engine.config import load_config
from engine.errors import CaptureError, StoreError, UsageError
from engine.paths import database_path
from engine.profiling.capture import Capture
from engine.profiling.diff import DiffTree
from engine.profiling.export import ExportFormat, default_name, export_bytes, write_export
from engine.profiling.records import MODE_TEXTS, CaptureMode, CaptureRecord, record_of_file
from engine.profiling.request import DEFAULT_RATE, LONGEST_SECONDS, CaptureRequest
from engine.profiling.stacks import read_folded
from engine.profiling.tokens import TokenLog
from engine.profiling.tree import FlameTree, frames_of
from engine.records import TurnRecord
from engine.store.captures import delete_capture, flag_turn, list_captures, load_capture, save_capture
from engine.store.queries.sessions import newest_session
from engine.store.queries.turns import turns_of
from tui.cli.reading import open_reader
from tui.text.capture_text import capture_line, figures, heading, lane_lines, percent, readable, short_name

EXAMPLES = """\
examples:
  xchat profile record -- ask "Tell a story" -n 200
  xchat profile list
  xchat profile show 3
  xchat profile diff 3 4
  xchat profile export 3 --format speedscope -o three.speedscope.json
"""

TOP = 25
"""Number of functions printed."""

STANDARD_OUTPUT = "-"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `profile` to the command line."""
    parser = subparsers.add_parser(
        "profile",
        help="record, list, show, compare and export captures of the profiler",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(required=True, metavar="record|list|show|diff|export|delete")
    recording = verbs.add_parser("record", help="run a command of xchat and record it")
    recording.add_argument("--seconds", type=int, default=None, metavar="N", help="stop recording after N seconds; default: at the end")
    recording.add_argument(
        "--rate",
        type=int,
        default=None,
        metavar="N",
        help=f"samples per second; default: {DEFAULT_RATE}, or fewer if they would cost over 3 %% of tokens/s",
    )
    mode = recording.add_mutually_exclusive_group()
    for choice in (CaptureMode.NATIVE, CaptureMode.GIL, CaptureMode.IDLE):
        mode.add_argument(f"--{choice}", dest="mode", action="store_const", const=choice, help=MODE_TEXTS[choice].sees.rstrip("."))
    recording.add_argument("command", nargs=argparse.REMAINDER, metavar="-- ask …", help="the command, after two dashes")
    recording.set_defaults(run=record, mode=CaptureMode.PYTHON)
    listing = verbs.add_parser("list", help="the newest first")
    listing.set_defaults(run=list_them)
    showing = verbs.add_parser("show", help="a capture, or a folded file")
    showing.add_argument("which", metavar="ID", help="its number, or a file of folded stacks")
    showing.add_argument("--text", action="store_true", help="print a table instead of opening the viewer")
    showing.set_defaults(run=show)
    comparing = verbs.add_parser("diff", help="compare two captures")
    comparing.add_argument("before", metavar="A")
    comparing.add_argument("after", metavar="B")
    comparing.add_argument("--text", action="store_true", help="print a table instead of opening the viewer")
    comparing.set_defaults(run=diff)
    exporting = verbs.add_parser("export", help="a file for other tools")
    exporting.add_argument("which", metavar="ID")
    exporting.add_argument("--format", choices=[str(form) for form in ExportFormat], required=True)
    exporting.add_argument("-o", "--output", metavar="FILE", help="the file to write; `-` is standard output")
    exporting.set_defaults(run=export)
    deleting = verbs.add_parser("delete", help="delete a capture")
    deleting.add_argument("which", type=int, metavar="ID")
    deleting.set_defaults(run=delete)


def list_them(_options: argparse.Namespace) -> int:
    """Print the captures."""
    for capture in list_captures(database_path()):
        _print(capture_line(capture))
    return 0


def show(options: argparse.Namespace) -> int:
    """Open the viewer, or print a table of functions."""
    capture = find(options.which)
    if sys.stdout.isatty() and not options.text:
        return _view(capture)
    _print(heading(capture))
    _print(figures(capture))
    for note in capture.notes:
        _print(note)
    tree = FlameTree(frames_of(capture.stacks, hide_idle=capture.hides_waiting))
    whole = tree.total(tree.root)
    if capture.hides_waiting:
        _print(f"Idle samples are left out: {percent(capture.stacks.total - whole, capture.stacks.total)} of the samples.")
    _print("\n    own   total  function")
    for row in sorted(tree.functions(), key=lambda row: (-row.own, -row.total))[:TOP]:
        _print(f"{percent(row.own, whole):>7} {percent(row.total, whole):>7}  {readable(row.frame)}")
    if capture.lanes:
        _print("\nCPU use of each thread, in percent of one core")
        for line in lane_lines(capture):
            _print(line)
    return 0


def diff(options: argparse.Namespace) -> int:
    """Open the viewer on the difference, or print the largest changes."""
    before, after = find(options.before), find(options.after)
    if sys.stdout.isatty() and not options.text:
        return _view(before, after)
    hide_idle = before.hides_waiting or after.hides_waiting
    changes = DiffTree(before, after, hide_idle=hide_idle)
    _print(f"{short_name(before)} → {short_name(after)}")
    _print(changes.total(changes.tree.root).words(changes.unit))
    if changes.python_only:
        _print("Native frames are left out, since only one of the two captures has them.")
    if hide_idle or not changes.alike:
        _print("Idle samples are left out, since not every mode records them.")
    _print("\nOwn time of each function")
    for change in changes.functions()[:TOP]:
        if not change.own.equal:
            _print(f"{readable(change.frame)}\n    {change.own.words(changes.unit)}")
    return 0


def export(options: argparse.Namespace) -> int:
    """Export a capture and print the path."""
    capture, form = find(options.which), ExportFormat(options.format)
    if options.output == STANDARD_OUTPUT:
        sys.stdout.buffer.write(export_bytes(capture, form))
        sys.stdout.buffer.flush()
        return 0
    path = Path(options.output) if options.output else Path.cwd() / default_name(capture, form)
    _print(str(write_export(capture, form, path)))
    return 0


def delete(options: argparse.Namespace) -> int:
    """Delete a capture."""
    delete_capture(database_path(), options.which)
    return 0


def find(which: str) -> CaptureRecord:
    """Return the capture with this number, or that of a file.

    Raises:
        UsageError: There is neither.
    """
    if which.isdecimal():
        return load_capture(database_path(), int(which))
    path = Path(which).expanduser()
    if not path.exists():
        raise UsageError(f"{which} is neither the number of a capture nor a file", "", "`xchat profile list` shows the numbers.")
    return record_of_file(path.name, read_folded(path), int(path.stat().st_mtime * 1000))


def record(options: argparse.Namespace) -> int:
    """Run a command of xchat in this process, record it, save the capture; returns the command's exit code."""
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if command[:1] != ["ask"]:
        title = "Only `ask` can be recorded" if command else "There is nothing to record"
        raise UsageError(title, "", 'Use `xchat profile record -- ask "…"`.')
    request = CaptureRequest(LONGEST_SECONDS if options.seconds is None else options.seconds, options.rate, options.mode)
    recorder = Recorder(request)
    began_ms = wall_ms()
    recorder.start()
    from tui.cli.main import main

    try:
        code = main(command)
    finally:
        recorder.stop()
    turn = asyncio.run(latest_turn())
    try:
        capture = with_turn(recorder.result(), turn)
    except CaptureError:
        if turn is not None and turn.started_ms >= began_ms:
            flag_turn(database_path(), turn.id)
        raise
    number = save_capture(database_path(), capture)
    saved = replace(capture, id=number)
    for line in (figures(saved), *saved.notes, f"Saved as capture {number}; `xchat profile show {number}` shows it."):
        sys.stderr.write(f"xchat: {line}\n")
    return code


class Recorder:
    """Records a capture on a thread with its own event loop, while a command runs on the main thread."""

    def __init__(self, request: CaptureRequest) -> None:
        self._request = request
        self._sampling = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._capture: Capture | None = None
        self._record: CaptureRecord | None = None
        self._error: CaptureError | None = None
        # A daemon, so that an aborted command does not wait for the capture; py-spy ends with its parent.
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="recorder", daemon=True)

    def start(self) -> None:
        """Start recording; returns once sampling has started or failed."""
        self._thread.start()
        self._sampling.wait()

    @property
    def sampling(self) -> bool:
        """Whether samples are being taken."""
        return self._capture is not None and self._capture.sampling

    @property
    def taken(self) -> int:
        """Number of samples so far; 0 where unknown."""
        return (self._capture.taken or 0) if self._capture is not None else 0

    def stop(self) -> None:
        """End the recording."""
        if self._loop is not None and self._capture is not None:
            # The loop is closed if the recording has ended already.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._capture.stop_early)
        self._thread.join()

    def result(self) -> CaptureRecord:
        """Return the recorded capture.

        Raises:
            CaptureError: Nothing was recorded.
        """
        if self._record is None:
            raise self._error or CaptureError("Nothing was recorded")
        return self._record

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._capture = capture = Capture(self._request)
        try:
            await capture.wait_until_sampling()
            self._sampling.set()
            self._record = await capture.result()
        except CaptureError as error:
            self._error = error
        finally:
            self._sampling.set()


async def latest_turn() -> TurnRecord | None:
    """Return the last logged turn."""
    try:
        async with open_reader() as reader:
            newest = await reader.read(newest_session)
            turns = await reader.read(turns_of, newest.id) if newest is not None else ()
    except StoreError:
        return None
    return turns[-1] if turns else None


def with_turn(capture: CaptureRecord, turn: TurnRecord | None) -> CaptureRecord:
    """Return the capture with the tokens generated during it, if this process made the turn.

    A turn that started after the last sample still names the model.
    """
    if turn is None or turn.started_ms < capture.started_ms:
        return capture
    start_ns = now_ns() - (wall_ms() - capture.started_ms) * NS_PER_MS
    log = TokenLog()
    log.feed(turn.id, turn.token_ns)
    work = log.between(start_ns, start_ns + round(capture.seconds * 1e9))
    overhead = replace(capture.overhead, speed_outside=work.speed_outside, speed_during=work.speed_during)
    met = turn.id if turn.started_ms < capture.started_ms + capture.seconds * 1e3 else None
    return replace(capture, turn_id=met, model=turn.model, quant=turn.quant, preset=turn.preset, tokens=work.tokens, overhead=overhead)


def _view(*captures: CaptureRecord) -> int:
    from tui.terminal.terminal import prepare_environment

    config = load_config()
    terminal = prepare_environment(os.environ, low_bandwidth=config.low_bandwidth is True)

    from tui.flame.subject import CaptureSubject, DiffSubject
    from tui.flame.viewer import ProfileViewer

    subject = DiffSubject(*captures) if len(captures) == 2 else CaptureSubject(captures[0])
    ProfileViewer(subject, terminal, config.theme).run(mouse=config.mouse)
    return 0


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
