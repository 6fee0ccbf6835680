"""Finds py-spy, makes its command line, and parses its messages."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engine.errors import CaptureError
from engine.profiling.frames import MAX_FRAME
from engine.profiling.records import CaptureMode
from engine.text import printable

EXECUTABLE = "py-spy.exe" if os.name == "nt" else "py-spy"

MODE_FLAGS: dict[CaptureMode, tuple[str, ...]] = {
    CaptureMode.PYTHON: ("--nonblocking", "--function"),
    CaptureMode.NATIVE: ("--native",),
    CaptureMode.GIL: ("--nonblocking", "--gil"),
    CaptureMode.IDLE: ("--nonblocking", "--idle"),
}
"""Native frames can't be read without stopping the program; py-spy refuses the two flags together.

By function, py-spy reads a fifth less of the program's memory than with lines.
"""

COMPLAINTS_KEPT = 5
"""Most distinct lines of standard error kept in a record."""

_TALLY = re.compile(r"Samples: \d+ Errors: (?P<errors>\d+)")
_BEHIND = re.compile(r"(?P<seconds>\d+(?:\.\d+)?)s behind in sampling")
_LOG_PREFIX = re.compile(r"^\[[^\]]*\]\s*")
_LONG_NUMBER = re.compile(r"\d{6,}")
_REFUSED = re.compile(r"permission denied|operation not permitted|requires root|EPERM|os error 1\b|os error 13\b", re.IGNORECASE)


def find_py_spy() -> Path:
    """Find the py-spy that was installed with xchat, else one on the PATH.

    Raises CaptureError when there is none, or it is not executable.
    """
    found = [path for path in _places() if path.is_file()]
    for path in found:
        if os.access(path, os.X_OK):
            return path
    if found:
        raise CaptureError("py-spy is not executable", f"It is {found[0]}.", f"Run `chmod +x {found[0]}`.")
    raise CaptureError("py-spy is missing", "It is installed with xchat by default.", "Run `pip install py-spy` in xchat's environment.")


def _places() -> Iterator[Path]:
    yield Path(sysconfig.get_path("scripts")) / EXECUTABLE
    yield Path(sys.executable).parent / EXECUTABLE
    try:
        files = importlib.metadata.files("py-spy") or ()
    except importlib.metadata.PackageNotFoundError:
        files = ()
    yield from (Path(str(file.locate())).resolve() for file in files if file.name == EXECUTABLE)
    on_path = shutil.which(EXECUTABLE)
    if on_path is not None:
        yield Path(on_path)


def command_line(
    program: Path,
    *,
    pid: int,
    seconds: int,
    rate: int,
    mode: CaptureMode,
    output: str,
    form: Literal["speedscope", "raw"] = "speedscope",
) -> list[str]:
    """Return the command that records `pid`. The speedscope format keeps the order of samples, folded text (`raw`) does not."""
    return [
        str(program),
        "record",
        *("--pid", str(pid)),
        *("--duration", str(seconds)),
        *("--rate", str(rate)),
        *("--format", form),
        "--threads",
        *MODE_FLAGS[mode],
        *("--output", output),
    ]


@dataclass(frozen=True, slots=True)
class Report:
    """py-spy's log messages about a recording."""

    failures: int
    """Samples that it could not read."""
    behind_s: float
    """Its longest delay behind its rate, in seconds."""
    complaints: tuple[str, ...]
    """Distinct lines of standard error, safe to print."""
    refused: bool
    """Whether it lacked the permission."""


def read_report(stdout: str, stderr: str) -> Report:
    """Parse py-spy's output; without its tally, each line of standard error counts as a failure."""
    lines = [line for line in map(_complaint, stderr.splitlines()) if line]
    tally = _TALLY.search(stdout) or _TALLY.search(stderr)
    behind = [float(match["seconds"]) for match in _BEHIND.finditer(stdout + stderr)]
    return Report(
        failures=int(tally["errors"]) if tally else len(lines),
        behind_s=max(behind, default=0.0),
        complaints=tuple(dict.fromkeys(lines))[:COMPLAINTS_KEPT],
        refused=tally is None and bool(_REFUSED.search(stderr)),
    )


def _complaint(line: str) -> str:
    """Return a line of the log without its time and addresses, so that equal messages are equal."""
    return _LONG_NUMBER.sub("…", _LOG_PREFIX.sub("", printable(line.strip(), MAX_FRAME)))
