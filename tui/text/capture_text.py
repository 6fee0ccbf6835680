"""Descriptions of captures, for the screen and the command line. Imports no Textual."""

from __future__ import annotations

from datetime import datetime

from engine.profiling.frames import is_native, without_template_arguments
from engine.profiling.records import MODE_TEXTS, CaptureMode, CaptureRecord
from engine.text import visible

NATIVE_LANE = "· native"
NO_STACKS = "Threads marked as native never run Python, so no stack shows them."

_BARS = " ▁▂▃▄▅▆▇█"


def capture_line(capture: CaptureRecord) -> str:
    """Format a capture as a row: number, date, mode, length, samples, tokens, model."""
    when = datetime.fromtimestamp(capture.started_ms / 1000).astimezone().strftime("%Y-%m-%d %H:%M")
    running = " ".join(part for part in (capture.model, capture.quant, capture.preset) if part)
    tokens = f"{capture.tokens:,} tokens" if capture.tokens is not None else ""
    parts = (capture.title, when, capture.mode, f"{capture.seconds:.0f} s", f"{capture.samples:,} samples", tokens, running)
    return "  ".join(visible(part) for part in parts if part)


def heading(capture: CaptureRecord) -> str:
    """Format number, mode, model and preset."""
    running = " ".join(part for part in (capture.model, capture.quant) if part)
    preset = f"preset {capture.preset}" if capture.preset else ""
    parts = (capture.title, MODE_TEXTS[capture.mode].label, running, preset)
    return " · ".join(visible(part) for part in parts if part)


def figures(capture: CaptureRecord) -> str:
    """Format length, tokens, failures, cost and samples, the most important first, since a narrow screen cuts the end."""
    tokens = capture.tokens
    parts = (
        f"{capture.seconds:.1f} s at {capture.rate}/s" if capture.rate else "",
        f"{tokens:,} tokens" if tokens is not None else "",
        f"{capture.failures:,} failed" if capture.failures else "",
        capture.overhead.words() if capture.mode is not CaptureMode.FILE else "",
        f"{capture.samples:,} samples",
        f"{capture.behind_s:.1f} s behind" if capture.behind_s else "",
        f"{capture.stacks.malformed:,} lines unreadable" if capture.stacks.malformed else "",
    )
    return " · ".join(part for part in parts if part)


def short_name(capture: CaptureRecord) -> str:
    """Return a short name that identifies a capture."""
    return visible(" ".join(part for part in (capture.title, capture.preset, capture.quant) if part))


def readable(frame: str) -> str:
    """Return a frame without the arguments of C++ templates."""
    return without_template_arguments(frame) if is_native(frame) else frame


def lane_lines(capture: CaptureRecord) -> list[str]:
    """Format one line per thread: average CPU use, sparkline, name; and the meaning of the native mark, if used."""
    lines = [
        f"{lane.mean_pct:5.1f} %  {sparkline(lane.cpu_pct):<24}  {visible(lane.name)} {'' if lane.python else NATIVE_LANE}".rstrip()
        for lane in capture.lanes
    ]
    return lines if all(lane.python for lane in capture.lanes) else [*lines, "", NO_STACKS]


def sparkline(percentages: tuple[float, ...], width: int = 24) -> str:
    """Return a sparkline of at most `width` cells; a full cell is one core."""
    step = max(1, -(-len(percentages) // width))
    means = [sum(part) / len(part) for part in (percentages[index : index + step] for index in range(0, len(percentages), step))]
    return "".join(_BARS[min(len(_BARS) - 1, round(mean / 100 * (len(_BARS) - 1)))] for mean in means)


def percent(part: int, whole: int) -> str:
    """Format a share with one decimal."""
    return f"{part / whole * 100:.1f} %" if whole else "0 %"
