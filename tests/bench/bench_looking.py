"""The price of looking, in the real program at 120x40: processor time and bytes while tokens stream, and how late the event loop wakes up.

    python -m tests.bench.bench_looking MODEL.gguf [stream] [cores] [link]

`stream` plays a model that says words at about 60 tokens/s, with the panel, without it, and with few bytes asked for; `cores` lets MODEL
generate on every core; `link` takes only 8,000 bytes a second from the terminal. Goals stand in brackets.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from engine.host.threads import ThreadGroup
from engine.metrics.live_socket import running
from engine.metrics.report import Report
from tests import ggufs
from tests.bench.bench_screen import fresh_folders
from tests.e2e.terminal import XCHAT, Terminal

COLUMNS, ROWS = 120, 40
CTRL_G, CTRL_Q, ENTER, ESCAPE = "\x07", "\x11", "\r", "\x1b"

SETTLE_S = 5.0
"""Until the pace and the thread count have been found."""
STREAM_S = 15.0
LAG_S = 66.0
"""The program remembers a minute of lags: then none of its start is left."""
LINK_BYTES_PER_S = 8000


LAYERS = 100
"""So many layers of nothing make the model of numbered words about as slow as a real one."""
PARAGRAPH = 60
"""Words; text as models write it, since a paragraph is wrapped anew while it grows."""


def prose(words: int) -> list[str]:
    """Numbered words in paragraphs."""
    return [f" word{number}.\n\n" if number % PARAGRAPH == PARAGRAPH - 1 else f" word{number}" for number in range(words)]


class Far(Terminal):
    """A terminal that takes so many bytes a second, once told to."""

    bytes_per_s = 0

    def _take(self, timeout: float) -> bytes:
        if self.bytes_per_s:
            time.sleep(self.at_most / self.bytes_per_s)
        return super()._take(timeout)

    def slow_down(self, bytes_per_s: int) -> None:
        self.at_most, self.bytes_per_s = bytes_per_s // 20, bytes_per_s


class Stream(NamedTuple):
    """What an answer cost, per second."""

    ui_ms: float
    """Processor time of all threads but those that compute."""
    bytes: float
    tokens: float


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def report_of(pid: int) -> Report:
    return next(report for report in running() if report["pid"] == pid)


def thread_ns(pid: int) -> Mapping[int, int]:
    """Processor time of each thread so far."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            found[int(task.name)] = int((task / "schedstat").read_text().split()[0])
        except OSError:
            continue
    return found


def start(model: str, *options: str, panel: bool = True) -> Far:
    """An answer under way."""
    program = Far([*XCHAT, model, "--temp", "0", *options], columns=COLUMNS, rows=ROWS)
    program.wait_for(lambda text: "1 Speed" in text and " thread" in text.splitlines()[-2] and "loading" not in text)
    if not panel:
        program.type(CTRL_G)
        program.wait_for(lambda text: "1 Speed" not in text)
    program.type("Tell me a long story.")
    program.wait_for("long story.")
    program.type(ENTER)
    program.wait_for("answering")
    return program


def end(program: Far) -> None:
    program.bytes_per_s, program.at_most = 0, Terminal.at_most
    program.type(ESCAPE)
    program.wait_for("first token after")
    program.type(CTRL_Q)
    program.wait_for_exit()
    program.close()


def stream(words: str, *options: str, panel: bool = True) -> Stream:
    program = start(words, *options, panel=panel)
    program.drain(SETTLE_S)
    before, sent, began, first = thread_ns(program.pid), len(program.raw), time.perf_counter(), report_of(program.pid)["predicted_n"]
    program.drain(STREAM_S)
    after, elapsed, report = thread_ns(program.pid), time.perf_counter() - began, report_of(program.pid)
    compute = {share["tid"] for share in report["host"]["threads"] if share["group"] == ThreadGroup.COMPUTE}
    used = sum(ns - before.get(tid, 0) for tid, ns in after.items() if tid not in compute)
    size, tokens = len(program.raw) - sent, report["predicted_n"] - first
    end(program)
    return Stream(used / 1e6 / elapsed, size / elapsed, tokens / elapsed)


def measure_stream(words: str) -> None:
    full, bare, few = stream(words), stream(words, panel=False), stream(words, "--low-bandwidth")
    for name, cost, goal in (("with the panel", full, "40 ms, 40 KB"), ("panel hidden", bare, ""), ("few bytes", few, "10 KB")):
        bound = f" ({goal})" if goal else ""
        say(f"{name}, {cost.tokens:.0f} tokens/s: {cost.ui_ms:.1f} ms of processor and {cost.bytes / 1e3:.1f} KB a second{bound}")
    say(f"the panel: {full.ui_ms / bare.ui_ms:.2f} of the time and {full.bytes / bare.bytes:.2f} of the bytes without it")


def measure_lag(name: str, model: str, *options: str, bytes_per_s: int = 0, goal: str) -> None:
    program = start(model, *options)
    if bytes_per_s:
        program.slow_down(bytes_per_s)
    program.drain(LAG_S)
    report = report_of(program.pid)
    end(program)
    say(
        f"{name}, {report['predicted_per_second'] or 0:.0f} tokens/s: the loop was late by {report['loop_lag_p99_ms']:.1f} ms at p99, "
        f"{report['loop_lag_max_ms']:.1f} ms at most, over a minute ({goal})"
    )


def main() -> None:
    """Run those asked for, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("parts", nargs="*", metavar="PART", help="stream, cores, link; all without")
    options = parser.parse_args()
    parts = set(options.parts) or {"stream", "cores", "link"}
    cores = str(len(os.sched_getaffinity(0)))
    with tempfile.TemporaryDirectory() as folder, fresh_folders():
        words = str(ggufs.scripted(Path(folder) / "words.gguf", prose(7500), layers=LAYERS, n_ctx=8192))
        if "stream" in parts:
            measure_stream(words)
        if "cores" in parts:
            measure_lag("generating on every core", options.model, "--threads", cores, "-n", "6000", "--ctx", "8192", goal="p99 20 ms")
        if "link" in parts:
            measure_lag(f"at {LINK_BYTES_PER_S:,} bytes/s", words, "--ctx", "8192", bytes_per_s=LINK_BYTES_PER_S, goal="never 100 ms")


if __name__ == "__main__":
    main()
