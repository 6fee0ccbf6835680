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
        ready.append(first_frame_s([*XCHAT, "--no-log", "builtin"], "ready"))
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
    """Decode tokens/s with the screen live; bytes/s and CPU s/s of the whole program meanwhile. Appends echo times if asked to."""
    terminal = Terminal([*XCHAT, model, "--max-tokens", str(tokens)])
    try:
        terminal.wait_for("ready")
        terminal.type("Tell me a story.\r")
        process = psutil.Process(terminal.pid)
        cpu, size, began = sum(process.cpu_times()[:2]), len(terminal.raw), time.perf_counter()
        number = 0
        while "tok" not in terminal.text.rsplit("\n", 1)[-1] and process.is_running() and time.perf_counter() - began < 600:
            if echo is not None:
                character = RARE[number % len(RARE)]
                typed = time.perf_counter()
                terminal.type(character)
                terminal.wait_for(character)
                echo.append(time.perf_counter() - typed)
                terminal.type("\x7f")
                number += 1
            elif not terminal._read(0.5):
                break
        elapsed = time.perf_counter() - began
        rates = (len(terminal.raw) - size) / elapsed, (sum(process.cpu_times()[:2]) - cpu) / elapsed
        terminal.type("\x11")
        terminal.wait_for_exit()
        return float(str(last_turn()["predicted_per_second"])), *rates
    finally:
        terminal.close()


def main() -> None:
    """Run all of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=200)
    options = parser.parse_args()
    with fresh_folders():
        first_frame(options.model, options.rounds)
        bare, live = [], []
        for _ in range(options.rounds):
            bare.append(headless(options.model, options.tokens))
            live.append(with_screen(options.model, options.tokens))
        speed = statistics.median(rate for rate, _, _ in live)
        print(f"decode with the screen: {speed / statistics.median(bare):.3f} of headless ({speed:.1f} tokens/s)")
        print(f"to the terminal: {statistics.median(size for _, size, _ in live) / 1e3:.1f} KB/s")


if __name__ == "__main__":
    main()
