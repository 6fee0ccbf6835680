"""The result cache as a file."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine import clock
from engine.backend import StopReason
from engine.errors import StoreError
from engine.store import results
from engine.store.results import ResultCache, clear_results

KEYS = [bytes([number]) * 32 for number in range(8)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "results.db"


@pytest.fixture
def cache(path: Path) -> Iterator[ResultCache]:
    opened = ResultCache(path, most_bytes=1 << 20, most_hours=1)
    yield opened
    opened.close()


def test_an_answer_is_found_by_its_key_alone_and_counted(cache: ResultCache) -> None:
    cache.put(KEYS[0], [1, 2, 300_000], StopReason.EOG)
    found = cache.get(KEYS[0])
    assert found is not None
    assert (found.tokens, found.reason) == ([1, 2, 300_000], StopReason.EOG)
    assert cache.get(KEYS[1]) is None
    stats = cache.stats()
    assert (stats.answers, stats.hits, stats.lookups, stats.hit_rate) == (1, 1, 2, 0.5)


def test_it_is_there_for_the_next_program_and_for_this_user_alone(cache: ResultCache, path: Path) -> None:
    cache.put(KEYS[0], [1], StopReason.LENGTH)
    other = ResultCache(path, most_bytes=1 << 20, most_hours=1)
    assert other.get(KEYS[0]) is not None
    other.close()
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}


def test_an_old_answer_is_not_given_again(cache: ResultCache, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.put(KEYS[0], [1], StopReason.EOG)
    later = clock.wall_ms() + 2 * 3_600_000
    monkeypatch.setattr(results, "wall_ms", lambda: later)
    assert cache.get(KEYS[0]) is None
    cache.put(KEYS[1], [1], StopReason.EOG)
    assert cache.stats().answers == 1


def test_what_was_used_longest_ago_goes_when_the_limit_is_reached(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(1_000, 2_000))
    monkeypatch.setattr(results, "wall_ms", lambda: next(now))
    cache = ResultCache(path, most_bytes=600, most_hours=1)
    for key in KEYS[:4]:
        cache.put(key, [1] * 60, StopReason.EOG)
        cache.get(KEYS[0])
    assert [cache.get(key) is not None for key in KEYS[:4]] == [True, False, False, True]
    cache.put(KEYS[5], [1] * 5_000, StopReason.EOG)
    assert cache.get(KEYS[5]) is None
    cache.close()


@pytest.mark.parametrize("content", [b"no database at all" * 100, b"SQLite format 3\0" + b"\xff" * 5_000], ids=["text", "header"])
def test_a_damaged_file_is_refused_with_the_way_out(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    with pytest.raises(StoreError, match="cache clear"):
        ResultCache(path, most_bytes=1_000, most_hours=1)
    assert clear_results(path) == len(content)
    ResultCache(path, most_bytes=1_000, most_hours=1).close()


def test_a_damaged_answer_is_no_answer(cache: ResultCache, path: Path) -> None:
    cache.put(KEYS[0], [1], StopReason.EOG)
    with sqlite3.connect(path) as db:
        db.execute("UPDATE results SET answer = x'c1c1'")
    assert cache.get(KEYS[0]) is None


def test_a_file_that_another_program_locks_costs_no_answer(cache: ResultCache, path: Path) -> None:
    with sqlite3.connect(path) as db:
        db.execute("BEGIN EXCLUSIVE")
        cache.put(KEYS[0], [1], StopReason.EOG)
        assert cache.get(KEYS[0]) is None


def test_a_link_in_its_place_is_not_followed(path: Path, tmp_path: Path) -> None:
    path.parent.mkdir(parents=True)
    os.symlink(tmp_path / "elsewhere", path)
    with pytest.raises(StoreError):
        ResultCache(path, most_bytes=1_000, most_hours=1)
    assert not (tmp_path / "elsewhere").exists()
