"""The database at its intended size: 2,000 sessions, 200,000 messages, 5 million samples.

    python -m tests.bench.bench_store [--folder DIR] [--scale 1.0] [--kill-rounds 200] [--keep]

Makes the database, then times what a person waits for, each beside its target: the list, a search, the end of a long session, an export
(in a process of its own, for its peak memory), what logging costs, and rounds of `kill -9`. A second run on a kept folder makes nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median

from engine.messages import Role
from engine.records import Message, Sample, TurnRecord, new_message_id
from engine.store.queries.search import search_messages
from engine.store.queries.sessions import SessionFilter, filter_choices, find_sessions, page_of_branch, read_session
from engine.store.reader import Reader
from engine.store.rows import MESSAGE_COLUMNS, SAMPLE_COLUMNS, TURN_COLUMNS, insert, message_row, sample_row, turn_row
from engine.store.sqlite.connect import open_writer
from engine.store.sqlite.transaction import transaction
from engine.store.upkeep import maintenance
from engine.store.writer import Store
from tests.engine.store.kill_rounds import run as kill_rounds
from tests.engine.store.records import next_id, sample, turn

SESSIONS = 2_000
MESSAGES = 200_000
SAMPLES = 5_000_000
LONG_SESSION = 2_000
EXPORTED = 1_000_000
WORDS_OF_A_MESSAGE = 80
VOCABULARY = 20_000
START_MS = 1_700_000_000_000
SECONDS_OF_A_TURN = 5
"""What a turn of 300 tokens takes at 60 tokens/s: what the cost of logging it is compared with."""


class Words:
    """Text whose words are as unevenly frequent as those of a language, so that a search meets common and rare ones."""

    def __init__(self) -> None:
        self._choose = random.Random(3)
        letters = "etaoinshrdlucmfwypvbgkjqxz"
        self._words = ["".join(self._choose.choices(letters, k=self._choose.randrange(3, 11))) for _ in range(VOCABULARY)]
        self._weights = [0.0]
        for rank in range(1, VOCABULARY + 1):
            self._weights.append(self._weights[-1] + 1 / rank)
        del self._weights[0]

    def text(self, words: int) -> str:
        return " ".join(self._choose.choices(self._words, cum_weights=self._weights, k=words))

    def word(self, rank: int) -> str:
        return self._words[rank]


def make(path: Path, scale: float) -> None:
    """The database, filled as fast as it goes; the rows are those that a chat writes."""
    words = Words()
    sessions = max(2, round(SESSIONS * scale))
    per_session = max(2, round((MESSAGES * scale - LONG_SESSION) / (sessions - 1))) // 2 * 2
    samples = round(SAMPLES * scale / sessions)
    with closing(open_writer(path)) as db:
        db.execute("PRAGMA synchronous = OFF")
        for number in range(1, sessions + 1):
            created = START_MS + number * 3_600_000
            messages, turns = _conversation(number, LONG_SESSION if number == 1 else per_session, created, words)
            with transaction(db):
                db.execute(
                    "INSERT INTO sessions (id, title, created_ms, updated_ms, head_id) VALUES (?, ?, ?, ?, ?)",
                    (number, words.text(6), created, created + 60_000, messages[-1].id),
                )
                db.executemany(insert("messages", MESSAGE_COLUMNS), [message_row(number, message) for message in messages])
                db.executemany(insert("turns", TURN_COLUMNS), [turn_row(record) for record in turns])
                db.executemany(insert("samples", SAMPLE_COLUMNS), (sample_row(one) for one in _samples(number, samples, created, turns)))
        db.execute("PRAGMA optimize")


def _conversation(session_id: int, length: int, created: int, words: Words) -> tuple[list[Message], list[TurnRecord]]:
    messages: list[Message] = []
    turns = []
    parent = None
    for position in range(0, length, 2):
        asked = Message(next_id(), parent, Role.USER, words.text(WORDS_OF_A_MESSAGE // 4), created_ms=created + position)
        text = words.text(WORDS_OF_A_MESSAGE * 2 - WORDS_OF_A_MESSAGE // 4)
        answer = Message(next_id(), asked.id, Role.ASSISTANT, text, created_ms=created + position + 1)
        messages += [asked, answer]
        turns.append(turn(session_id, answer, asked=asked, tokens=100))
        parent = answer.id
    return messages, turns


def _samples(session_id: int, count: int, created: int, turns: list[TurnRecord]) -> Iterator[Sample]:
    for position in range(count):
        yield sample(session_id, created + position * 1_000, turns[position * len(turns) // count].id)


def report(name: str, value: float, unit: str, target: float | None = None) -> None:
    verdict = "" if target is None else f"  target {target:g} {unit}, {value / target:.2f} of it{'' if value <= target else '  MISSED'}"
    print(f"{name:44} {value:10.2f} {unit}{verdict}", flush=True)


async def timed_ms(job: Callable[[], Awaitable[object]], repeats: int = 5) -> tuple[float, float]:
    """The first time, and the median of the next ones."""
    times = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        await job()
        times.append((time.perf_counter() - began) * 1e3)
    return times[0], median(times[1:])


async def reading(path: Path) -> None:
    words = Words()
    began = time.perf_counter()
    reader = await Reader.open(path)
    await reader.read(find_sessions)
    report("browser opens: connect and list", (time.perf_counter() - began) * 1e3, "ms", 200)
    jobs: list[tuple[str, Callable[[], Awaitable[object]], float | None]] = [
        ("browser list", lambda: reader.read(find_sessions), 200),
        (
            "browser list, filtered by model and preset",
            lambda: reader.read(find_sessions, SessionFilter(model="Tiny 0.6B", preset="daily")),
            200,
        ),
        ("filter choices", lambda: reader.read(filter_choices), 200),
        ("search, the commonest word", lambda: reader.read(search_messages, SessionFilter(search=words.word(0))), 150),
        ("search, a common word", lambda: reader.read(search_messages, SessionFilter(search=words.word(50))), 150),
        ("search, a rare word", lambda: reader.read(search_messages, SessionFilter(search=words.word(9_000))), 150),
        ("search, two words", lambda: reader.read(search_messages, SessionFilter(search=f"{words.word(30)} {words.word(400)}")), 150),
        ("search, an unfinished word", lambda: reader.read(search_messages, SessionFilter(search=words.word(300)[:3])), 150),
        ("search, two letters of the commonest word", lambda: reader.read(search_messages, SessionFilter(search=words.word(0)[:2])), 150),
        ("browser list, searched", lambda: reader.read(find_sessions, SessionFilter(search=words.word(50))), 150),
        ("end of the 2,000-message session", lambda: reader.read(page_of_branch, 1), 300),
        ("the page before it", lambda: _page_before(reader), 300),
        ("the 2,000-message session whole, with turns", lambda: reader.read(read_session, 1), 300),
    ]
    for name, job, target in jobs:
        first, again = await timed_ms(job)
        report(f"{name}, first time", first, "ms", target)
        report(f"{name}, again", again, "ms", target)
    await reader.close()


async def _page_before(reader: Reader) -> None:
    end = await reader.read(page_of_branch, 1)
    await reader.read(page_of_branch, 1, end[0].parent_id)


_EXPORT = """
import json, re, sys, time
from pathlib import Path
from engine.store.export.exporter import Export, Format, export_to_file
from engine.store.export.tables import Selection, What
sessions = tuple(range(1, int(sys.argv[4]) + 1)) or None
began = time.perf_counter()
target = Path(sys.argv[2])
export_to_file(Path(sys.argv[1]), Export(What.SAMPLES, Format(sys.argv[3]), Selection(sessions)), target, overwrite=True)
took, worked = time.perf_counter() - began, time.process_time()
with target.open("rb") as file:
    lines = sum(chunk.count(b"\\n") for chunk in iter(lambda: file.read(1 << 20), b""))
# Not ru_maxrss: that of a new process begins with its parent's.
peak_kib = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
print(json.dumps([took, worked, peak_kib / 1024, lines]))
"""


def exporting(path: Path, sessions: int, samples: int) -> None:
    sessions = min(sessions, max(1, EXPORTED * sessions // samples))
    for form in ("csv", "jsonl"):
        command = [sys.executable, "-c", _EXPORT, str(path), str(path.with_name(f"samples.{form}")), form, str(sessions)]
        took, worked, peak, lines = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        report(f"export of {lines:,} sample rows as {form}", took, "s", 15 * lines / EXPORTED)
        report("  processor time of the whole process", worked, "s")
        report("  its peak memory", peak, "MiB", 150)
        path.with_name(f"samples.{form}").unlink()


async def logging_cost(path: Path) -> None:
    """Processor time of the whole process for what is logged of one turn, beside the five seconds the turn takes."""
    store = await Store.open(path)
    words = Words()
    session_id = await store.create_session("bench", START_MS)
    turns = 200
    texts = [words.text(WORDS_OF_A_MESSAGE * 2) for _ in range(turns)]
    spent, slowest = 0.0, 0.0
    for text in texts:
        asked = Message(new_message_id(None), None, Role.USER, text[:100], created_ms=START_MS)
        answer = Message(new_message_id(asked.id), asked.id, Role.ASSISTANT, text, created_ms=START_MS)
        record = replace(turn(session_id, answer, asked=asked, tokens=300), id=answer.id)
        before = _processor_s()
        await store.save_message(session_id, asked)
        await store.mark_answering(session_id, True)
        for second in range(SECONDS_OF_A_TURN):
            began = time.perf_counter()
            store.put_sample(sample(session_id, START_MS + second, answer.id))
            slowest = max(slowest, time.perf_counter() - began)
        await store.flush()
        await store.save_turn(record, answer)
        spent += _processor_s() - before
    figures = store.figures()
    report("logging, share of one core while answering", spent / turns / SECONDS_OF_A_TURN * 100, "%", 0.5)
    report("logging, slowest call on the event loop", slowest * 1e3, "ms", 1)
    report("commit p50", figures.commit_p50_ms or 0, "ms")
    report("commit p99", figures.commit_p99_ms or 0, "ms")
    began = time.perf_counter()
    await store.delete_session(session_id)
    report("deleting that session without a trace", (time.perf_counter() - began) * 1e3, "ms")
    await store.close()


def _processor_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--folder", type=Path, help="where the database is made; a temporary folder by default")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the intended size")
    parser.add_argument("--kill-rounds", type=int, default=200)
    parser.add_argument("--keep", action="store_true", help="leave the database in --folder")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as temporary:
        folder = given.folder if given.keep and given.folder else Path(temporary)
        path = folder / "big.db"
        if not path.exists():
            began = time.perf_counter()
            make(path, given.scale)
            report("making the database", time.perf_counter() - began, "s")
        stats = maintenance.stats(path)
        print(f"{stats.file_bytes / 1e6:.0f} MB, rows: {dict(stats.rows)}, bytes: {dict(stats.table_bytes or {})}", flush=True)
        asyncio.run(reading(path))
        exporting(path, stats.rows["sessions"], stats.rows["samples"])
        asyncio.run(logging_cost(path))
        outcome = kill_rounds(Path(temporary) / "killed" / "load.db", given.kill_rounds)
        print(f"kill -9: {asdict(outcome)}")


if __name__ == "__main__":
    main()
