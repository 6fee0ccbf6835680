"""xchat over a real SSH connection with a delay and a byte rate: first frame, echo, how far the text lags behind, bytes, decode speed.

    python -m tests.bench.bench_line MODEL.gguf [-- --threads 1]

MODEL keeps the machine busy while the echo is measured. The text's lag and the bytes of a typical session are measured with a model
that says numbered words at about 60 tokens/s, so that a word on the screen can be held against the time at which it was made. What
stands after `--` is passed on to xchat. Needs openssh-server.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import re
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path

from tests import ggufs
from tests.bench.bench_screen import RARE, fresh_folders, last_turn
from tests.e2e import ssh
from tests.e2e.terminal import XCHAT, Terminal

COLUMNS, ROWS = 120, 40
WORDS = 1800
WORD_LAYERS = 60
"""So many layers of nothing make the model of numbered words about as slow as a real one."""

Wrap = Callable[[Sequence[str]], Sequence[str]]
"""Makes a command run at the other end of a line."""


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)] if ordered else float("nan")


class Person(Terminal):
    """Somebody who sits at the terminal, with a watch."""

    def __init__(self, command: Sequence[str]) -> None:
        self.came: list[tuple[float, int]] = []
        """When bytes came, and how many."""
        super().__init__(command, columns=COLUMNS, rows=ROWS, environment={"COLORTERM": None})

    def _read(self, timeout: float) -> bool:
        before = len(self.raw)
        more = super()._read(timeout)
        self.came.append((time.time(), len(self.raw) - before))
        return more

    def watch(self, seconds: float, each: Callable[[], object] = lambda: None) -> None:
        """Look at the screen for so long."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._read(left)
            each()

    def echo_s(self, character: str) -> float:
        """Type a character and wait until it comes back; then take it away."""
        start, sent = len(self.raw), time.perf_counter()
        self.type(character)
        while character.encode() not in self.raw[start:]:
            if not self._read(30):
                raise AssertionError(f"{character} never came\n{self.text}")
        took = time.perf_counter() - sent
        self.type("\x7f")
        return took

    def bytes_between(self, begin: float, end: float) -> int:
        return sum(size for at, size in self.came if begin <= at < end)


@contextlib.contextmanager
def at(command: Sequence[str]) -> Iterator[Person]:
    person = Person(command)
    try:
        yield person
    finally:
        person.close()


def ask(person: Person) -> None:
    person.wait_for(ready)
    person.type("go")
    person.wait_for("go")
    person.type("\r")
    person.wait_for("answering")


def ready(text: str) -> bool:
    """The status line says how many threads decode once a model is loaded."""
    return " thread" in text.splitlines()[-2]


def answered(text: str) -> bool:
    return "tokens/s" in text


def first_frame(wrap: Wrap, rounds: int) -> float:
    """Seconds from the login to the first frame."""
    login: list[float] = []
    frame: list[float] = []
    for _ in range(rounds):
        for times, command, sign in ((login, ["echo", "logged in"], "logged in"), (frame, [*XCHAT, "--no-log", "builtin"], "Message")):
            began = time.perf_counter()
            with at(wrap(command)) as person:
                person.wait_for(sign)
                times.append(time.perf_counter() - began)
    return statistics.median(frame) - statistics.median(login)


def echo_while_generating(wrap: Wrap, model: str, passed_on: Sequence[str], keys: int) -> tuple[list[float], float]:
    """Echo times while an answer streams; decode speed of that answer."""
    with at(wrap([*XCHAT, model, "-n", "400", *passed_on])) as person:
        ask(person)
        times: list[float] = []
        for number in range(keys):
            times.append(person.echo_s(RARE[number % len(RARE)]))
            person.watch(0.15)
        if not answered(person.text):
            person.type("\x1b")
        person.wait_for("tokens/s")
        person.type("\x11")
        person.wait_for_exit()
    return times, float(str(last_turn()["predicted_per_second"]))


def decode_speed(wrap: Wrap, model: str, passed_on: Sequence[str]) -> float:
    """Tokens/s of an answer that nobody disturbs."""
    with at(wrap([*XCHAT, model, "-n", "100", *passed_on])) as person:
        ask(person)
        person.wait_for("tokens/s", timeout=300)
        person.type("\x11")
        person.wait_for_exit()
    return float(str(last_turn()["predicted_per_second"]))


def made_at(database: Path) -> list[float]:
    """Wall-clock time at which each token of the newest turn was made."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        turn, started_ms, ttft_ms = connection.execute(
            "SELECT turn_id, started_ms, ttft_ms FROM v_turns ORDER BY turn_id DESC LIMIT 1"
        ).fetchone()
        gaps = [gap for (gap,) in connection.execute("SELECT itl_ms FROM v_itl WHERE turn_id = ? ORDER BY token", (turn,))]
    return [(started_ms + ttft_ms + later) / 1e3 for later in accumulate(gaps, initial=0.0)]


def stream(wrap: Wrap, words: Path, passed_on: Sequence[str], seconds: float) -> tuple[list[float], float, float]:
    """How far the text on the screen is behind the engine, sampled as it comes; bytes/s meanwhile; tokens/s."""
    seen: list[tuple[float, int]] = []
    with at(wrap([*XCHAT, str(words), "--temp", "0", *passed_on])) as person:
        ask(person)
        began = time.time()

        def look() -> None:
            now, found = time.time(), [int(number) for number in re.findall(r"word(\d+)\b", person.text)]
            if found:
                seen.extend((now, word) for _, word in seen[-1:])  # what stood there up to now
                seen.append((now, max(found)))

        person.watch(seconds, look)
        ended = time.time()
        person.type("\x1b")
        person.wait_for("tokens/s")
        person.type("\x11")
        person.wait_for_exit()
    (database,) = Path(os.environ["XDG_DATA_HOME"]).rglob("xchat.db")
    made = made_at(database)
    lags = []
    for when, word in seen:
        newest = max((number for number, moment in enumerate(made) if moment <= when), default=word)
        lags.append(0.0 if newest <= word or word + 1 >= len(made) else when - made[word + 1])
    return lags, person.bytes_between(began, ended) / (ended - began), float(str(last_turn()["predicted_per_second"]))


def at_rest(wrap: Wrap, seconds: float, *options: str) -> float:
    """Bytes/s while nothing goes on."""
    with at(wrap([*XCHAT, "--no-log", "builtin", *options])) as person:
        person.wait_for(ready)
        person.watch(15)
        began = time.time()
        person.watch(seconds)
        return person.bytes_between(began, time.time()) / seconds


def lagging(lags: Sequence[float]) -> str:
    return f"text behind the engine: median {statistics.median(lags):.2f} s, p99 {percentile(lags, 0.99):.2f} s, max {max(lags):.2f} s"


def measure(host: ssh.Host, model: str, words: Path, passed_on: Sequence[str], options: argparse.Namespace) -> None:
    with ssh.slow_line(host, round_trip_ms=80) as line:
        local, far = first_frame(host.command, options.rounds), first_frame(line.host.command, options.rounds)
        say(f"first frame: {far * 1e3:.0f} ms over 80 ms, {local * 1e3:.0f} ms over none: {(far - local) / 0.08:.1f} round trips more (4)")
        for name, wrap in (("without SSH", list), ("over 0 ms", host.command), ("over 80 ms (140)", line.host.command)):
            times, _ = echo_while_generating(wrap, model, passed_on, options.keys)
            say(f"echo {name}: p50 {percentile(times, 0.5) * 1e3:.0f} ms, p99 {percentile(times, 0.99) * 1e3:.0f} ms")

    with ssh.slow_line(host, round_trip_ms=160, bytes_per_s=8000) as line:
        times, _ = echo_while_generating(line.host.command, model, passed_on, options.keys)
        say(f"echo at 8,000 B/s, 160 ms: p50 {percentile(times, 0.5) * 1e3:.0f} ms, p99 {percentile(times, 0.99) * 1e3:.0f} ms (1000)")
        lags, rate, speed = stream(line.host.command, words, passed_on, options.seconds)
        say(f"at 8,000 B/s, 160 ms, {speed:.0f} tokens/s: {lagging(lags)} (2); {rate / 1e3:.1f} KB/s")
        slow, quick = [], []
        for _ in range(options.rounds):
            slow.append(decode_speed(line.host.command, model, passed_on))
            quick.append(decode_speed(list, model, passed_on))
        ratio = statistics.median(slow) / statistics.median(quick)
        say(f"decode at 8,000 B/s: {ratio:.3f} of local (0.97); {statistics.median(quick):.1f} tokens/s")

    for name, wanted, extra in (("typical session", 25, ()), ("low bandwidth", 10, ("--low-bandwidth",))):
        lags, rate, speed = stream(host.command, words, [*passed_on, *extra], options.seconds)
        say(f"{name}, {speed:.0f} tokens/s, {COLUMNS}x{ROWS}: {rate / 1e3:.1f} KB/s ({wanted}); {lagging(lags)}")
    say(f"at rest: {at_rest(host.command, 30):.0f} bytes/s (200)")


def main() -> None:
    """Run all of it; what is to be reached stands in brackets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keys", type=int, default=60)
    parser.add_argument("--seconds", type=float, default=20)
    own, passed_on = sys.argv[1:], []
    if "--" in own:
        own, passed_on = own[: own.index("--")], own[own.index("--") + 1 :]
    options = parser.parse_args(own)
    if lack := ssh.missing():
        parser.error(lack)
    with tempfile.TemporaryDirectory() as folder, fresh_folders():
        words = ggufs.scripted(Path(folder) / "words.gguf", [f" word{number}" for number in range(WORDS)], layers=WORD_LAYERS)
        os.environ["PYTHONPATH"] = str(ssh.REPOSITORY)
        with ssh.server(Path(folder)) as host:
            measure(host, options.model, words, passed_on, options)


if __name__ == "__main__":
    main()
