"""Benchmarks the program's own load on this disk under each profile and each pragma alone."""

from __future__ import annotations

import os
import random
import sqlite3
import tempfile
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from engine.backend import StopReason
from engine.clock import NS_PER_MS, NS_PER_S, now_ns
from engine.messages import Role
from engine.records import Message, Sample, TurnRecord, new_message_id
from engine.store import statements
from engine.store.batch import BATCH_ROWS, Batch
from engine.store.errors import explain
from engine.store.queries.search import search_messages
from engine.store.queries.sessions import SessionFilter, find_sessions, read_session
from engine.store.sqlite.connect import open_writer
from engine.store.sqlite.pragmas import PROFILES, Profile, Value, can_lose
from engine.store.sqlite.transaction import transaction
from engine.timings import compute_timings, percentile

TURNS = 300
"""Turns over all rounds, enough for a 99th percentile that is not the maximum."""
TURNS_OF_A_SESSION = 30
ROUNDS = 5
BATCHES = 10
"""Batches of samples per round."""
READS = 5
"""Repetitions of each query in a round."""

Progress = Callable[[int, int], None]
"""Called before each run with its number and their total."""


@dataclass(frozen=True, slots=True)
class BenchFigures:
    """The figures of one profile. Times are milliseconds."""

    name: str
    """A profile, or `pragma=value` for SQLite's defaults with one change."""
    values: Mapping[str, Value]
    commit_p50_ms: float
    """Time to save a finished turn with its two messages, in two transactions as in a chat."""
    commit_p99_ms: float
    rows_per_s: float
    """Samples per second, in batches of 50 with a commit each."""
    list_ms: float
    """Time for the first page of the session list."""
    search_ms: float
    """Time for a search for two words."""
    open_ms: float
    """Time to open a conversation with its turns."""
    can_lose: str


def candidates() -> tuple[Profile, ...]:
    """Return `safe`, `balanced` and `fast`, and SQLite's defaults with each pragma of `balanced` alone."""
    bare, balanced = PROFILES["sqlite"], PROFILES["balanced"]
    alone = (
        replace(bare, name=f"{name}={value}", values={**bare.values, name: value})
        for name, value in balanced.values.items()
        if value != bare.values[name]
    )
    return (PROFILES["safe"], balanced, PROFILES["fast"], bare, *alone)


def run_bench(
    folder: Path, profiles: tuple[Profile, ...] | None = None, *, turns: int = TURNS, progress: Progress | None = None
) -> tuple[BenchFigures, ...]:
    """Measure the profiles, each on new files in `folder`, which must be on the disk to measure.

    They are interleaved over several rounds, so that a busy disk affects all of them.

    Raises StoreError when the folder can't be written, or is full.
    """
    wanted = profiles or candidates()
    rounds: list[list[_Round]] = [[] for _ in wanted]
    # A warm-up round for the caches of the file system and of the interpreter.
    schedule = [(wanted[0], None), *((profile, index) for _ in range(ROUNDS) for index, profile in enumerate(wanted))]
    for number, (profile, index) in enumerate(schedule):
        if progress is not None:
            progress(number, len(schedule))
        try:
            with tempfile.TemporaryDirectory(prefix=".xchat-bench-", dir=folder) as temporary:
                measured = _measure(Path(temporary) / "bench.db", profile, -(-turns // ROUNDS))
        except (sqlite3.Error, OSError) as error:
            raise explain(error, folder) from error
        if index is not None:
            rounds[index].append(measured)
    return tuple(_pooled(profile, measured) for profile, measured in zip(wanted, rounds, strict=True))


@dataclass(frozen=True, slots=True)
class _Round:
    commits_ms: tuple[float, ...]
    rows_per_s: float
    list_ms: float
    search_ms: float
    open_ms: float


def _pooled(profile: Profile, rounds: list[_Round]) -> BenchFigures:
    commits = sorted(commit for measured in rounds for commit in measured.commits_ms)
    return BenchFigures(
        name=profile.name,
        values=profile.values,
        commit_p50_ms=percentile(commits, 0.50) or 0.0,
        commit_p99_ms=percentile(commits, 0.99) or 0.0,
        rows_per_s=median(measured.rows_per_s for measured in rounds),
        list_ms=median(measured.list_ms for measured in rounds),
        search_ms=median(measured.search_ms for measured in rounds),
        open_ms=median(measured.open_ms for measured in rounds),
        can_lose=can_lose(profile.values),
    )


def _measure(path: Path, profile: Profile, turns: int) -> _Round:
    words = random.Random(7)
    with closing(open_writer(path, profile)) as db:
        session_id = 0
        commits: list[float] = []
        for number in range(turns):
            if number % TURNS_OF_A_SESSION == 0:
                with transaction(db):
                    session_id = statements.insert_session(db, "A bench", number)
            asked, answer, turn = _turn(session_id, number, words)
            began = now_ns()
            with transaction(db):
                statements.upsert_message(db, session_id, asked)
            with transaction(db):
                statements.upsert_turn(db, turn, answer, None)
            commits.append((now_ns() - began) / NS_PER_MS)
        began = now_ns()
        for number in range(BATCHES):
            with transaction(db):
                statements.insert_batch(db, Batch(tuple(_sample(session_id, number * BATCH_ROWS + row) for row in range(BATCH_ROWS)), ()))
        return _Round(
            commits_ms=tuple(commits),
            rows_per_s=BATCHES * BATCH_ROWS * NS_PER_S / (now_ns() - began),
            list_ms=_median_ms(lambda: find_sessions(db)),
            search_ms=_median_ms(lambda: search_messages(db, SessionFilter(search="llama disk"))),
            open_ms=_median_ms(lambda: read_session(db, session_id)),
        )


def _median_ms(read: Callable[[], object]) -> float:
    times = []
    for _ in range(READS):
        began = now_ns()
        read()
        times.append((now_ns() - began) / NS_PER_MS)
    return median(times)


# fmt: off
_VOCABULARY = (
    "llama", "disk", "token", "thread", "cache", "prompt", "answer", "model", "kernel", "page", "commit", "journal",
    "write", "read", "quant", "memory", "fast", "slow", "tune", "measure",
)
# fmt: on


def _turn(session_id: int, number: int, words: random.Random) -> tuple[Message, Message, TurnRecord]:
    """Make a typical turn: a question of 20 words, an answer of 200 and its 260 tokens."""
    asked = Message(new_message_id(None), None, Role.USER, " ".join(words.choices(_VOCABULARY, k=20)), created_ms=number)
    answer = Message(new_message_id(asked.id), asked.id, Role.ASSISTANT, " ".join(words.choices(_VOCABULARY, k=200)), created_ms=number)
    times = [NS_PER_S]
    for _ in range(259):
        times.append(times[-1] + words.randrange(15 * NS_PER_MS, 18 * NS_PER_MS))
    return (
        asked,
        replace(answer, tokens=tuple(words.choices(range(150_000), k=260)), tokens_of="bench"),
        TurnRecord(
            id=answer.id,
            session_id=session_id,
            user_message_id=asked.id,
            started_ms=number,
            model="bench",
            model_path="bench.gguf",
            model_fingerprint="bench",
            quant="Q4_K_M",
            preset="bench",
            preset_json='{"name":"bench"}',
            n_ctx=4096,
            threads=os.cpu_count() or 1,
            threads_batch=os.cpu_count() or 1,
            stream_batch=4,
            stop_reason=StopReason.EOG,
            timings=compute_timings(
                cache_n=0, prompt_n=30, submitted_ns=0, prefill_start_ns=0, prefill_end_ns=NS_PER_S - NS_PER_MS, token_ns=times
            ),
            token_ns=tuple(times),
        ),
    )


def _sample(session_id: int, number: int) -> Sample:
    figures = {
        "tokens_per_second": 60.0 + number % 7,
        "context_used": number,
        "cpu_process_pct": 180.5,
        "cpu_machine_pct": 90.25,
        "rss_bytes": 800_000_000 + number,
        "available_bytes": 9_000_000_000 - number,
        "threads": 4,
        "loop_lag_ms": 0.25,
    }
    return Sample(number, session_id, None, figures)
