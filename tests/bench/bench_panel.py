"""What the panel costs at 2 Hz on a real terminal device: processor time and bytes, beyond the same app with the panel hidden.

    python -m tests.bench.bench_panel

Half seconds of a scripted session are played quickly; what one of them costs, times two, is the cost per second. Shown and hidden
runs are interleaved and the median is taken, since the machine is not alone.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from tests.e2e.terminal import Terminal

SIZES = ((80, 24), (120, 40), (200, 50))
TICKS = 120
WARM_TICKS = 130
"""More than a minute has passed, so that every chart is full and scrolls."""

PAUSE_S = 0.02
"""Between two ticks, so that each is painted on its own."""

TICKS_PER_S = 2


class Cost(NamedTuple):
    """Of one tick."""

    cpu_ms: float
    sampling_ms: float
    bytes_written: float


def play(result: Path, *, hidden: bool, slow: bool) -> None:
    """The app that is measured."""
    from textual.app import App, ComposeResult

    from engine.host.sampler import host_sampler
    from tests.engine.metrics.scripted import ScriptedSession
    from tui.panel.panel import Panel
    from tui.theming import load_themes

    class Played(App[None]):
        def compose(self) -> ComposeResult:
            yield Panel(slow=slow)

        def on_mount(self) -> None:
            themes = load_themes().themes
            self.register_theme(themes["dark"])
            self.theme = "dark"
            self.session, self.sampler, self.ticks, self.sampling_s = ScriptedSession(), host_sampler(), 0, 0.0
            panel = self.query_one(Panel)
            panel.display = not hidden
            for _ in range(WARM_TICKS):
                panel.show(self.session.step())
            self.set_timer(0.5, self.begin)

        def begin(self) -> None:
            self.cpu_s, self.written = time.process_time(), bytes_written()
            self.tick()

        def tick(self) -> None:
            if self.ticks == TICKS:
                used, written = time.process_time() - self.cpu_s, bytes_written() - self.written
                cost = Cost(used / TICKS * 1e3, self.sampling_s / TICKS * 1e3, written / TICKS)
                result.write_text(json.dumps(cost))
                self.exit()
                return
            self.ticks += 1
            began = time.process_time()
            self.sampler.sample()
            self.sampling_s += time.process_time() - began
            self.query_one(Panel).show(self.session.step())
            self.set_timer(PAUSE_S, self.tick)

    Played().run()


def bytes_written() -> int:
    """Everything that this process has written so far."""
    return int(Path("/proc/self/io").read_text().split("wchar: ")[1].split()[0])


def run(columns: int, rows: int, *flags: str) -> Cost:
    """Play once in a terminal of that size."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "cost.json"
        terminal = Terminal([sys.executable, "-m", "tests.bench.bench_panel", "--play", str(result), *flags], columns=columns, rows=rows)
        try:
            terminal.wait_for_exit(timeout=120)
            return Cost(*json.loads(result.read_text()))
        finally:
            terminal.close()


def measure(columns: int, rows: int, rounds: int, *flags: str) -> None:
    """Print what the panel costs per second at one size."""
    shown, hidden = [], []
    for _ in range(rounds):
        shown.append(run(columns, rows, *flags))
        hidden.append(run(columns, rows, "--hidden", *flags))
    extra = statistics.median(cost.cpu_ms for cost in shown) - statistics.median(cost.cpu_ms for cost in hidden)
    sampling = statistics.median(cost.sampling_ms for cost in shown)
    size = statistics.median(cost.bytes_written for cost in shown)
    idle = statistics.median(cost.bytes_written for cost in hidden)
    share = (extra + sampling) * TICKS_PER_S / 10
    sys.stdout.write(
        f"{columns}x{rows} {' '.join(flags):8} drawing {extra * TICKS_PER_S:5.1f} ms/s, sampling {sampling * TICKS_PER_S:4.1f} ms/s, "
        f"together {share:.2f} % of a core; {size * TICKS_PER_S / 1e3:5.1f} KB/s (hidden {idle * TICKS_PER_S / 1e3:.1f})\n"
    )


def main() -> None:
    """Measure, or be what is measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--play", type=Path)
    parser.add_argument("--hidden", action="store_true")
    parser.add_argument("--slow", action="store_true")
    options = parser.parse_args()
    if options.play is not None:
        play(options.play, hidden=options.hidden, slow=options.slow)
        return
    for columns, rows in SIZES:
        measure(columns, rows, options.rounds)
        measure(columns, rows, options.rounds, "--slow")


if __name__ == "__main__":
    main()
