"""What a person feels, as ratios of one run: first frame, echo while generating, decode speed under the live screen, cost of the stream.

    python -m tests.bench.bench_screen MODEL.gguf

Everything runs on a pty of its own with throw-away folders. A machine has noise, so what is compared is interleaved.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import psutil

from tests.e2e.terminal import XCHAT, Terminal

HELLO = (
    "from textual.app import App\nfrom textual.widgets import Static\n"
    "class Hello(App):\n    def compose(self):\n        yield Static('Hello')\n"
    "Hello().run()"
)
RARE = "§¶¤µ¬±"
"""Characters that nothing prints by itself, so that the first sighting is the echo."""


@contextmanager
def fresh_folders() -> Iterator[None]:
    """Point HOME and the XDG folders at an empty place."""
    with tempfile.TemporaryDirectory() as folder:
        before = dict(os.environ)
        os.environ.update(HOME=folder, **{f"XDG_{kind}_HOME": f"{folder}/{kind.lower()}" for kind in ("CONFIG", "DATA", "STATE", "CACHE")})
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)


def first_frame_s(command: list[str], sign: str) -> float:
    """Seconds from starting `command` until `sign` is on its screen."""
    started = time.perf_counter()
    terminal = Terminal(command)
    try:
        terminal.wait_for(sign)
        return time.perf_counter() - started
    finally:
        terminal.close()


def first_frame(model: str, rounds: int) -> None:
    """First frame of xchat against that of the smallest Textual program."""
    hello, ours, ready = [], [], []
    for _ in range(rounds):
        hello.append(first_frame_s([sys.executable, "-c", HELLO], "Hello"))
        ours.append(first_frame_s([*XCHAT, "--no-log", model], "Message"))
        ready.append(first_frame_s([*XCHAT, "--no-log", "builtin"], "xchat guide"))
    ratio = statistics.median(ours) / statistics.median(hello)
    print(
        f"first frame: {ratio:.2f} x hello world ({statistics.median(ours) * 1e3:.0f} ms against {statistics.median(hello) * 1e3:.0f} ms)"
    )
    print(f"built-in model ready: {(statistics.median(ready) - statistics.median(ours)) * 1e3:.0f} ms after the first frame")


def headless(model: str, tokens: int) -> float:
    """Decode tokens/s of `xchat ask`."""
    command = [*XCHAT, "ask", "Tell me a story.", "-m", model, "-n", str(tokens), "--json", "--no-log"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True)
    return float(json.loads(done.stdout)["timings"]["predicted_per_second"])


def last_turn() -> dict[str, object]:
    """The newest logged turn."""
    (newest, *_) = json.loads(subprocess.run([*XCHAT, "sessions", "list", "--json"], capture_output=True, check=True).stdout)
    shown = subprocess.run([*XCHAT, "sessions", "show", str(newest["id"]), "--json"], capture_output=True, check=True).stdout
    return dict(json.loads(shown)["turns"][-1])


def with_screen(model: str, tokens: int, *, echo: list[float] | None = None) -> tuple[float, float, float]:
    """Decode tokens/s with the screen live; bytes/s and CPU s/s of the whole program meanwhile. Appends echo times in s if asked to."""
    terminal = Terminal([*XCHAT, model, "--max-tokens", str(tokens)])
    try:
        terminal.wait_for(lambda text: "threads" in text and "loading" not in text)
        terminal.type("Tell me a story.")
        terminal.wait_for("a story.")
        terminal.type("\r")
        terminal.wait_for("t/s")
        process = psutil.Process(terminal.pid)
        cpu, size, began = sum(process.cpu_times()[:2]), len(terminal.raw), time.perf_counter()
        number = 0
        while echo is None and b"token after" not in terminal.raw[size:]:
            terminal.drain(0.2)
        while "first token after" not in terminal.text:
            if echo is None:
                terminal.wait_for_news()
                continue
            character = RARE[number % len(RARE)]
            number += 1
            typed = time.perf_counter()
            terminal.type(character)
            terminal.wait_for(character)
            echo.append(time.perf_counter() - typed)
            terminal.type("\x7f")
            terminal.wait_for(partial(lacks, character))
        elapsed = time.perf_counter() - began
        rates = (len(terminal.raw) - size) / elapsed, (sum(process.cpu_times()[:2]) - cpu) / elapsed
        terminal.type("\x11")
        terminal.wait_for_exit()
        return float(str(last_turn()["predicted_per_second"])), *rates
    finally:
        terminal.close()


def lacks(character: str, text: str) -> bool:
    """Whether `character` is not on the screen."""
    return character not in text


def main() -> None:
    """Run all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="builtin")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--first-frame", action="store_true", help="only the time to the first frame")
    options = parser.parse_args()
    with fresh_folders():
        first_frame(options.model, options.rounds)
        if options.first_frame:
            return
        bare, live = [], []
        for _ in range(options.rounds):
            bare.append(headless(options.model, options.tokens))
            live.append(with_screen(options.model, options.tokens))
        speed = statistics.median(rate for rate, _, _ in live)
        print(f"decode with the screen: {speed / statistics.median(bare):.3f} of headless ({speed:.1f} tokens/s)")
        print(f"to the terminal: {statistics.median(size for _, size, _ in live) / 1e3:.1f} KB/s")
        echoes: list[float] = []
        with_screen(options.model, options.tokens, echo=echoes)
        echoes.sort()
        p99 = echoes[int(len(echoes) * 0.99)]
        print(f"echo while generating: p50 {statistics.median(echoes) * 1e3:.0f} ms, p99 {p99 * 1e3:.0f} ms over {len(echoes)} keys")


if __name__ == "__main__":
    main()
