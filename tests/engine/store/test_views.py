from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest

from engine.store.sqlite.connect import open_reader
from engine.store.writer import Store
from engine.timings import inter_token_ms
from tests.engine.store.records import answer, noisy, sample, turn


@pytest.fixture
async def session_id(store: Store) -> int:
    return await store.create_session("A title", 1_000)


@pytest.fixture
def db(path: Path, session_id: int) -> Iterator[sqlite3.Connection]:
    connection = open_reader(path)
    connection.row_factory = sqlite3.Row
    yield connection
    connection.close()


async def test_v_turns_shows_the_speeds_of_the_engine_under_their_known_names(
    store: Store, session_id: int, db: sqlite3.Connection
) -> None:
    said = answer()
    record = turn(session_id, said)
    await store.save_turn(record, said)
    row = dict(db.execute("SELECT * FROM v_turns").fetchone())
    for name, value in record.timings.as_dict().items():
        if not name.endswith("_per_token_ms"):
            assert row[name] == pytest.approx(value), name
    assert (row["title"], row["host"], row["llama_cpp_version"]) == ("A title", "box", "b1234")
    assert (row["started"], row["context_used"], row["clean"]) == ("1970-01-01T00:00:02.000Z", record.timings.context_used, 1)


async def test_a_noisy_turn_is_not_clean(store: Store, session_id: int, db: sqlite3.Connection) -> None:
    said = answer()
    await store.save_turn(noisy(turn(session_id, said)), said)
    assert db.execute("SELECT clean, noisy FROM v_turns").fetchone()[:] == (0, "a busy neighbour")


@pytest.mark.parametrize("tokens", [0, 1, 2, 3, 500])
async def test_v_itl_unrolls_the_gap_before_every_token_but_the_first(
    store: Store, session_id: int, db: sqlite3.Connection, tokens: int
) -> None:
    said = answer()
    record = turn(session_id, said, tokens=tokens)
    await store.save_turn(record, said)
    rows = db.execute("SELECT token, itl_ms FROM v_itl WHERE turn_id = ? ORDER BY token", (record.id,)).fetchall()
    assert [row["token"] for row in rows] == list(range(2, tokens + 1))
    assert [row["itl_ms"] for row in rows] == pytest.approx(inter_token_ms(record.token_ns))


async def test_v_itl_of_one_session_decodes_only_that_session(store: Store, session_id: int, db: sqlite3.Connection) -> None:
    plan = " ".join(row["detail"] for row in db.execute("EXPLAIN QUERY PLAN SELECT * FROM v_itl WHERE session_id = 1"))
    assert "turns_by_session" in plan


async def test_v_samples_shows_every_figure_with_the_turn_it_belongs_to(store: Store, session_id: int, db: sqlite3.Connection) -> None:
    said = answer()
    await store.save_turn(turn(session_id, said), said)
    taken = sample(session_id, 5_000, said.id)
    store.put_sample(taken)
    await store.flush()
    row = dict(db.execute("SELECT * FROM v_samples").fetchone())
    assert {name: row[name] for name in taken.figures} == taken.figures
    assert (row["at"], row["model"], row["preset"]) == ("1970-01-01T00:00:05.000Z", "Tiny 0.6B", "daily")


class TestDocumentation:
    TEXT = files("engine.store").joinpath("VIEWS.md").read_text("utf-8")

    @pytest.mark.parametrize("view", ["v_turns", "v_itl", "v_samples"])
    def test_every_column_is_documented_and_no_other(self, db: sqlite3.Connection, view: str) -> None:
        section = self.TEXT.split(f"## `{view}`")[1].split("\n## ")[0]
        documented = re.findall(r"^\| `(\w+)` \| .+ \|$", section, flags=re.M)
        assert set(documented) == {row["name"] for row in db.execute(f"PRAGMA table_info ({view})")}

    def test_there_are_ten_queries(self) -> None:
        assert len(self.queries()) == 10

    async def test_every_query_runs_and_finds_something(self, store: Store, session_id: int, db: sqlite3.Connection) -> None:
        said = answer()
        record = turn(session_id, said)
        stalled = replace(record, token_ns=(*record.token_ns, record.token_ns[-1] + 900_000_000))
        await store.save_turn(stalled, said)
        store.put_sample(sample(session_id, 5_000, said.id))
        await store.flush()
        for query in self.queries():
            assert db.execute(query).fetchall(), query

    def queries(self) -> list[str]:
        return re.findall(r"```sql\n(.*?)```", self.TEXT, flags=re.S)
