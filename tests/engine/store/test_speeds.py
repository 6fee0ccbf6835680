"""How fast each model file was on this host."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from engine.records import TurnRecord
from engine.store.host import Host
from engine.store.lab_runs import LabRun, save_run
from engine.store.queries.speeds import FEWEST_USUAL, NEWEST, MeasuredSpeed, measured_speeds, usual_of
from engine.store.sqlite.connect import open_reader
from engine.store.writer import Store
from tests.engine.store.conftest import HOST
from tests.engine.store.records import answer, noisy, turn

FILE = Path("/models/tiny-0.6b-q4_k_m.gguf")


async def save(store: Store, record: TurnRecord) -> TurnRecord:
    said = answer()
    session_id = await store.create_session("", 1)
    saved = replace(record, id=said.id, session_id=session_id)
    await store.save_turn(saved, said)
    return saved


def at_speed(factor: float, **changes: object) -> TurnRecord:
    return replace(turn(1, answer(), tokens=40, gap_factor=factor), **changes)  # type: ignore[arg-type]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "m.gguf"
    path.write_bytes(b"GGUF")
    os.utime(path, (1, 1))
    return path


def known(path: Path, model: Path, host: str = HOST.name) -> MeasuredSpeed | None:
    return measured_speeds(path, host=host).of(model)


async def test_the_median_of_the_newest_clean_turns_counts(store: Store, path: Path, model: Path) -> None:
    for factor in (*[5.0] * NEWEST, *[1.0] * (NEWEST // 2 + 1), *[2.0] * (NEWEST // 2 - 1)):
        await save(store, at_speed(factor, model_path=str(model)))
    await save(store, noisy(at_speed(9.0, model_path=str(model))))
    speed = known(path, model)
    assert speed is not None
    assert speed.turns == NEWEST
    assert speed.predicted_per_second == at_speed(1.0).timings.predicted_per_second
    assert speed.prompt_per_second is None, "30 prompt tokens say nothing"


async def test_other_hosts_and_turns_that_are_too_short_say_nothing(store: Store, path: Path, model: Path) -> None:
    await save(store, replace(turn(1, answer(), tokens=8), model_path=str(model)))
    assert known(path, model) is None
    await save(store, at_speed(1.0, model_path=str(model)))
    assert known(path, model) is not None
    assert known(path, model, "elsewhere") is None


async def test_a_link_is_what_it_leads_to(store: Store, path: Path, model: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.gguf"
    link.symlink_to(model)
    await save(store, at_speed(1.0, model_path=str(link)))
    assert known(path, model) is not None


async def test_a_file_that_was_replaced_since_is_not_known(store: Store, path: Path, model: Path) -> None:
    await save(store, at_speed(1.0, model_path=str(model), model_fingerprint="old"))
    await save(store, at_speed(2.0, model_path=str(model), model_fingerprint="new"))
    speed = known(path, model)
    assert speed is not None
    assert speed.turns == 1
    os.utime(model)
    assert known(path, model) is None
    assert known(path, FILE) is None


def test_without_a_database_nothing_is_known(path: Path, model: Path) -> None:
    assert known(path, model) is None
    assert not path.exists()


async def test_what_is_usual_for_a_model_counts_turns_of_busy_machines_and_stalls_too(store: Store, path: Path) -> None:
    name = at_speed(1.0).model_fingerprint
    with closing(open_reader(path)) as db:
        for _ in range(FEWEST_USUAL - 1):
            await save(store, at_speed(1.0))
        assert usual_of(db, HOST.name, name) is None
        for _ in range(FEWEST_USUAL):
            await save(store, noisy(at_speed(2.0)))
        newest = await save(store, at_speed(2.0))
        store.put_event(wall_ms=1, session_id=newest.session_id, turn_id=newest.id, kind="stall", text="")
        await store.flush()
        usual = usual_of(db, HOST.name, name)
        assert usual is not None
        assert usual.predicted_per_second == at_speed(2.0).timings.predicted_per_second
        assert usual.stalls_per_minute > 0
        assert usual_of(db, "elsewhere", name) is None
        assert usual_of(db, HOST.name, "another model") is None


def test_the_measured_quality_of_a_file_is_the_newest_until_the_file_is_written_again(tmp_path: Path) -> None:
    path, model, other = tmp_path / "xchat.db", tmp_path / "m.gguf", tmp_path / "n.gguf"
    model.write_bytes(b"x")
    other.write_bytes(b"x")
    run = LabRun(2**42, 1.0, "quality", "", "", "", None, "", {}, Host.here())
    for kld in (0.5, 0.25):
        save_run(
            path, replace(run, facts={"quality": [{"path": str(model), "kld": kld}, {"path": None, "kld": 1.0}, {"path": str(other)}]})
        )
    save_run(path, replace(run, kind="bench", facts={"quality": [{"path": str(other), "kld": 1.0}]}))
    measured = measured_speeds(path)
    assert (measured.kld(model), measured.kld(other)) == (0.25, None)
    os.utime(model, (2**33, 2**33))
    assert measured.kld(model) is None
