from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from engine.errors import ModelError
from engine.guide import builtin
from engine.llama.processes.quantize import quantize

pytestmark = pytest.mark.slow

GGUF_MAGIC = b"GGUF"


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation whose copy of the shipped file may be broken."""
    copy = tmp_path / builtin.FILE
    monkeypatch.setattr(builtin, "_shipped", lambda: copy)
    return copy


def test_the_shipped_file_is_whole_and_small() -> None:
    file = builtin.path()
    assert hashlib.sha256(file.read_bytes()).hexdigest() == builtin.expected_digest()
    assert file.stat().st_size <= 16_000_000


def test_the_shipped_file_needs_no_trial() -> None:
    assert builtin.is_ours(builtin.path())
    assert not builtin.is_ours(Path("/somewhere/else.gguf"))


def test_a_missing_file_says_how_to_reinstall(elsewhere: Path) -> None:
    with pytest.raises(ModelError) as raised:
        builtin.path()
    assert "missing" in raised.value.title
    assert str(elsewhere) in raised.value.detail
    assert "Reinstall xchat" in raised.value.hint
    assert not builtin.is_ours(elsewhere)


def test_a_damaged_file_is_noticed(elsewhere: Path) -> None:
    elsewhere.write_bytes(GGUF_MAGIC + bytes(100))
    with pytest.raises(ModelError, match="damaged"):
        builtin.path()
    assert not builtin.is_ours(elsewhere)


@pytest.mark.parametrize("quant", builtin.QUANTS)
def test_quants_are_made_on_first_need_and_kept(quant: str) -> None:
    made = builtin.quant_path(quant)
    assert made.read_bytes()[:4] == GGUF_MAGIC
    assert made.stat().st_size < builtin.path().stat().st_size
    assert builtin.is_ours(made)
    changed = made.stat().st_mtime_ns
    assert builtin.quant_path(quant) == made
    assert made.stat().st_mtime_ns == changed
    assert [file.name for file in made.parent.iterdir()] == [made.name]


def test_f16_is_the_shipped_file_itself() -> None:
    assert builtin.quant_path("F16") == builtin.path()


def test_unknown_quants_are_refused_with_the_ones_there_are() -> None:
    with pytest.raises(ModelError) as raised:
        builtin.quant_path("Q9_9")
    assert "Q4_K_M" in raised.value.hint


def test_quants_of_an_older_guide_are_removed() -> None:
    made = builtin.quant_path("Q2_K")
    older = made.parent.with_name("0123456789ab")
    older.mkdir()
    (older / made.name).write_bytes(b"old")
    made.unlink()
    builtin.quant_path("Q2_K")
    assert not older.exists()


def test_a_broken_original_makes_no_quant(elsewhere: Path) -> None:
    elsewhere.write_bytes(b"GGUFbroken")
    with pytest.raises(ModelError, match="damaged"):
        builtin.quant_path("Q8_0")


def test_a_source_that_is_no_model_leaves_nothing_behind(tmp_path: Path) -> None:
    source, target = tmp_path / "source.gguf", tmp_path / "out" / "target.gguf"
    source.write_bytes(b"GGUFbroken")
    target.parent.mkdir()
    with pytest.raises(ModelError, match="can't be quantized to Q4_K_M"):
        quantize(source, target, "Q4_K_M")
    assert list(target.parent.iterdir()) == []


def test_a_quant_that_the_library_does_not_know_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="Q9_9"):
        quantize(builtin.path(), tmp_path / "target.gguf", "Q9_9")
