"""Records the README's cast and pictures from the real program with a real model.

    python -m tests.cast MODEL.gguf docs

runs `xchat MODEL` on a pty, types what a person would, and writes `xchat.cast` (asciinema's format, version 2), `xchat.gif` drawn from it,
and the pictures of its scenes as SVG. Nothing is edited: pauses longer than two seconds are shortened, as `asciinema rec -i 2` does.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from codecs import getincrementaldecoder
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pyte
from PIL import Image
from rich.color import Color, ColorParseError
from rich.segment import Segment
from rich.style import Style

from tests.e2e.terminal import XCHAT, Terminal
from tests.shots import draw, save

COLUMNS, ROWS = 112, 32
LONGEST_PAUSE_S = 2.0
FRAME_S = 0.12
"""Least time between two frames of the GIF."""
KEY_S = 0.07
"""Time between two letters that are typed."""


class Recorder(Terminal):
    """A terminal that keeps when everything was written."""

    def __init__(self, command: Sequence[str], environment: dict[str, str | None]) -> None:
        self.events: list[tuple[float, bytes]] = []
        self._started = time.monotonic()
        super().__init__(command, columns=COLUMNS, rows=ROWS, environment=environment)

    def _take(self, timeout: float) -> bytes:
        data = super()._take(timeout)
        if data:
            self.events.append((time.monotonic() - self._started, data))
        return data

    def watch(self, seconds: float) -> None:
        """Let the program go on for a while."""
        self.drain(seconds)
        self._show(b"")

    def write(self, text: str) -> None:
        """Type letter by letter."""
        for letter in text:
            self.type(letter)
            self.watch(KEY_S)

    def rows(self) -> list[list[Segment]]:
        """The screen as it is drawn."""
        return rows_of(self._screen)


def rows_of(screen: pyte.Screen) -> list[list[Segment]]:
    """The cells of a screen as styled text."""
    return [[_segment(screen.buffer[row][column]) for column in range(screen.columns)] for row in range(screen.lines)]


def _segment(cell: pyte.screens.Char) -> Segment:
    style = Style(color=_colour(cell.fg), bgcolor=_colour(cell.bg), bold=cell.bold, italic=cell.italics, reverse=cell.reverse)
    return Segment(cell.data, style)


def _colour(name: str) -> Color | None:
    if name == "default":
        return None
    try:
        return Color.parse(f"#{name}" if len(name) == 6 else name)
    except ColorParseError:
        return None


QUESTION = "Write a Python function that checks if a number is prime."
ANSWERED = "first token after"
"""Part of the line below a finished answer."""
CTRL_R, ALT_M, F3, F9, ESC, ENTER = "\x12", "\x1bm", "\x1bOR", "\x1b[20~", "\x1b", "\r"


def play(recorder: Recorder) -> None:
    """The cast: ask, answer the same with one thread, and compare both."""
    recorder.wait_for(lambda text: "F1" in text and "loading" not in text and "starting" not in text)
    recorder.watch(1.0)
    recorder.write(QUESTION)
    recorder.type(ENTER)
    recorder.wait_for(ANSWERED)
    recorder.watch(1.0)
    recorder.write("/threads 1")
    recorder.type(ENTER)
    recorder.watch(0.7)
    again(recorder)
    recorder.type(ALT_M)
    recorder.wait_for("Performance")
    recorder.watch(1.2)
    recorder.type("p")
    recorder.wait_for("1 thread")
    recorder.watch(0.6)
    recorder.type(ENTER)
    recorder.wait_for("Side by side")
    recorder.watch(2.5)


def again(recorder: Recorder) -> None:
    """Answer once more."""
    recorder.type(CTRL_R)
    recorder.wait_for(lambda text: ANSWERED not in text)
    recorder.wait_for(ANSWERED)
    recorder.watch(0.8)


def pose(recorder: Recorder, picture: Callable[[str], None]) -> None:
    """The pictures, from the side by side view on."""
    picture("comparison")
    for _ in range(2):
        recorder.type(ESC)
        recorder.watch(0.7)
    recorder.write("/threads auto")
    recorder.type(ENTER)
    recorder.watch(0.7)
    for _ in range(3):
        again(recorder)
    picture("panel")
    recorder.type(F9)
    recorder.watch(1.0)
    recorder.type(CTRL_R)
    recorder.wait_for("heaviest left")
    recorder.watch(1.0)
    picture("flamegraph")
    recorder.type(ESC)
    recorder.watch(1.0)
    recorder.type(F3)
    recorder.wait_for("family")
    recorder.watch(1.0)
    picture("models")


def cast(events: Sequence[tuple[float, bytes]]) -> Iterator[tuple[float, str]]:
    """The events with pauses shortened, as text."""
    decode, now, before = getincrementaldecoder("utf-8")("replace").decode, 0.0, 0.0
    for at, data in events:
        now += min(at - before, LONGEST_PAUSE_S)
        before = at
        text = decode(data)
        if text:
            yield now, text


def write_cast(events: Sequence[tuple[float, str]], out: Path) -> None:
    """Write asciinema's format, version 2."""
    header = {"version": 2, "width": COLUMNS, "height": ROWS, "title": "xchat", "env": {"TERM": "xterm-256color"}}
    lines = [json.dumps(header), *(json.dumps([round(at, 3), "o", text]) for at, text in events)]
    out.write_text("\n".join(lines) + "\n", "utf-8")


def write_gif(events: Sequence[tuple[float, str]], out: Path) -> None:
    """Draw the cast, a frame whenever something changed."""
    screen = pyte.Screen(COLUMNS, ROWS)
    stream = pyte.Stream(screen)
    frames: list[Image.Image] = []
    times: list[float] = []
    for place, (at, text) in enumerate(events):
        stream.feed(text)
        following = events[place + 1][0] if place + 1 < len(events) else at + LONGEST_PAUSE_S
        if following - (times[-1] if times else 0.0) >= FRAME_S:
            frames.append(draw(rows_of(screen), COLUMNS).resize((COLUMNS * 7, ROWS * 14), Image.Resampling.LANCZOS).quantize(64))
            times.append(following)
    lengths = [max(20, round(1000 * (to - start))) for start, to in zip([0.0, *times[:-1]], times, strict=True)]
    frames[0].save(out, save_all=True, append_images=frames[1:], duration=lengths, loop=0, optimize=True)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        names = ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME")
        environment: dict[str, str | None] = {"HOME": home, "TMUX": None, "NO_COLOR": None}
        environment.update({name: os.path.join(home, name) for name in names})
        config = Path(home, "XDG_CONFIG_HOME", "xchat", "config.toml")
        config.parent.mkdir(parents=True)
        config.write_text(f"[models]\nfolders = [{json.dumps(str(options.model.absolute().parent))}]\n", "utf-8")
        recorder = Recorder((*XCHAT, str(options.model.absolute()), "--temp", "0", "--max-tokens", "120"), environment)
        try:
            play(recorder)
            filmed = len(recorder.events)
            pose(recorder, lambda name: save(recorder.rows(), COLUMNS, options.out / f"{name}.svg"))
        finally:
            recorder.close()
    events = list(cast(recorder.events[:filmed]))
    write_cast(events, options.out / "xchat.cast")
    write_gif(events, options.out / "xchat.gif")
    sys.stdout.write(f"{len(events)} events, {events[-1][0]:.1f} s\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
