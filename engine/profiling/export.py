"""Exports a capture to a file for other tools, atomically and readable by its owner only."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from engine.atomic_write import write_atomically
from engine.errors import CaptureError
from engine.profiling.records import MODE_TEXTS, CaptureRecord
from engine.profiling.speedscope import speedscope_document
from engine.profiling.svg import svg_document
from engine.profiling.tree import FlameTree, frames_of


class ExportFormat(StrEnum):
    """The file format."""

    SVG = "svg"
    """A picture for a browser."""
    SPEEDSCOPE = "speedscope"
    """JSON for speedscope."""
    FOLDED = "folded"
    """Text for every flamegraph tool."""


SUFFIXES: dict[ExportFormat, str] = {
    ExportFormat.SVG: ".svg",
    ExportFormat.SPEEDSCOPE: ".speedscope.json",
    ExportFormat.FOLDED: ".folded",
}


def export_bytes(capture: CaptureRecord, form: ExportFormat) -> bytes:
    """Encode the capture in a format."""
    length = f", {capture.seconds:.1f} s" if capture.seconds else ""
    title = f"{capture.title}: {MODE_TEXTS[capture.mode].label.lower()}{length}"
    match form:
        case ExportFormat.SVG:
            return svg_document(FlameTree(frames_of(capture.stacks)), time=capture.time, title=title)
        case ExportFormat.SPEEDSCOPE:
            return speedscope_document(capture.stacks, rate=capture.looks_per_second, name=title)
        case ExportFormat.FOLDED:
            return capture.stacks.text().encode()


def default_name(capture: CaptureRecord, form: ExportFormat) -> str:
    """Return the default file name of an export."""
    number = capture.id if capture.id is not None else capture.started_ms
    return f"xchat-capture-{number}{SUFFIXES[form]}"


def write_export(capture: CaptureRecord, form: ExportFormat, path: Path) -> Path:
    """Write the capture to `path`, mode 0600, replacing a file; return the absolute path.

    Raises CaptureError when the file can't be written; an existing file stays unchanged.
    """
    path = path.expanduser().absolute()
    if not path.parent.is_dir():
        raise CaptureError(f"{path} can't be written", "The folder does not exist.", "Give another path.")
    try:
        write_atomically(path, export_bytes(capture, form))
    except OSError as error:
        raise CaptureError(f"{path} can't be written", error.strerror or str(error), "Give another path.") from error
    return path
