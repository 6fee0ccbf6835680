"""Saved KV states: what comes back is what was kept, or nothing."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.kv_state import StateKey
from engine.models.kv_files import KvFolder, worth_saving

KEY = StateKey("model-a", "f16/f16", "b1234")
TOKENS = tuple(range(-1, 500))
STATE = bytes(range(256)) * 40


@pytest.fixture
def folder(tmp_path: Path) -> KvFolder:
    return KvFolder(tmp_path / "kv")


def test_a_state_comes_back_as_it_was(folder: KvFolder, tmp_path: Path) -> None:
    assert folder.save("7", KEY, TOKENS, STATE)
    saved = KvFolder(tmp_path / "kv").load("7", KEY)
    assert saved is not None
    assert saved.tokens == TOKENS
    assert bytes(saved.state) == STATE


def test_files_are_private(folder: KvFolder, tmp_path: Path) -> None:
    folder.save("7", KEY, TOKENS, STATE)
    assert stat.S_IMODE((tmp_path / "kv/7.kv").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "kv").stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "other", [StateKey("model-b", "f16/f16", "b1234"), StateKey("model-a", "q8_0/q8_0", "b1234"), StateKey("model-a", "f16/f16", "b9")]
)
def test_a_state_of_another_model_or_setting_is_not_given_out(folder: KvFolder, other: StateKey) -> None:
    folder.save("7", KEY, TOKENS, STATE)
    assert folder.load("7", other) is None
    assert folder.load("7", KEY) is not None


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 15_000), bit=st.integers(0, 7), cut=st.integers(0, 15_000))
def test_any_damage_is_noticed(folder: KvFolder, tmp_path: Path, at: int, bit: int, cut: int) -> None:
    folder.save("7", KEY, TOKENS, STATE)
    path = tmp_path / "kv/7.kv"
    content = bytearray(path.read_bytes())
    content[at % len(content)] ^= 1 << bit
    path.write_bytes(content[: len(content) - cut] if cut < len(content) else b"")
    assert folder.load("7", KEY) is None
    assert not path.exists()


def test_bytes_after_the_end_are_damage(folder: KvFolder, tmp_path: Path) -> None:
    folder.save("7", KEY, TOKENS, STATE)
    with (tmp_path / "kv/7.kv").open("ab") as file:
        file.write(b"x")
    assert folder.load("7", KEY) is None


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    folder = KvFolder(tmp_path / "kv", limit_bytes=40_000)
    for age, name in enumerate(("old", "middle", "new")):
        assert folder.save(name, KEY, TOKENS, STATE)
        os.utime(tmp_path / f"kv/{name}.kv", ns=(age, age))
    assert folder.load("old", KEY) is not None
    assert folder.save("another", KEY, TOKENS, STATE)
    assert folder.size_bytes <= 40_000
    assert folder.load("middle", KEY) is None
    assert all(folder.load(name, KEY) for name in ("old", "new", "another"))


def test_replacing_a_state_needs_no_room_of_others(tmp_path: Path) -> None:
    folder = KvFolder(tmp_path / "kv", limit_bytes=26_000)
    folder.save("a", KEY, TOKENS, STATE)
    folder.save("b", KEY, TOKENS, STATE)
    assert folder.save("b", KEY, TOKENS, STATE[::-1])
    assert folder.load("a", KEY) is not None


def test_a_state_larger_than_the_folder_is_not_kept(tmp_path: Path) -> None:
    folder = KvFolder(tmp_path / "kv", limit_bytes=1000)
    assert not folder.save("a", KEY, TOKENS, STATE)
    assert folder.size_bytes == 0


def test_a_full_disk_is_no_error(folder: KvFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage(NamedTuple):
        free: int

    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(free=100))
    assert not folder.save("a", KEY, TOKENS, STATE)


def test_a_folder_that_can_not_be_made_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "kv").write_text("")
    folder = KvFolder(tmp_path / "kv")
    assert not folder.save("a", KEY, TOKENS, STATE)
    assert folder.load("a", KEY) is None
    assert folder.size_bytes == 0


def test_deleting_and_clearing(folder: KvFolder) -> None:
    for name in ("a", "b"):
        folder.save(name, KEY, TOKENS, STATE)
    folder.delete("a")
    assert folder.load("a", KEY) is None
    folder.clear()
    assert folder.size_bytes == 0


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a.kv", "x" * 65])
def test_a_name_never_leaves_the_folder(folder: KvFolder, name: str) -> None:
    with pytest.raises(ValueError, match="can't be the name"):
        folder.load(name, KEY)


def test_a_state_is_saved_only_when_reading_is_faster_than_prefilling() -> None:
    fast: dict[str, Any] = {"state_bytes": 112 << 20, "disk_bytes_per_s": 1e9}
    assert worth_saving(n_tokens=1000, prefill_tokens_per_s=435, **fast)
    assert not worth_saving(n_tokens=1000, prefill_tokens_per_s=435, state_bytes=112 << 20, disk_bytes_per_s=50e6)
    assert not worth_saving(n_tokens=0, prefill_tokens_per_s=435, **fast)
