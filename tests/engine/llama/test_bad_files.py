"""Files that can't be used: each gets a message that names it and the way out, and the process lives."""

from __future__ import annotations

import json
import os
import shutil
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.errors import ModelError
from engine.llama.backend import LlamaBackend
from engine.llama.files import examine
from engine.llama.processes.probe import Probe
from engine.paths import cache_dir
from tests import ggufs
from tests.engine.llama.driver import PATIENCE_S, SMALL, Driver, text_prompt

pytestmark = pytest.mark.slow


@pytest.fixture
def wary() -> Iterator[LlamaBackend]:
    """A backend that trusts no file."""
    backend = LlamaBackend()
    yield backend
    backend.close()


def refusal(backend: LlamaBackend, path: Path) -> ModelError:
    with pytest.raises(ModelError) as caught:
        backend.load(path, SMALL, lambda _event: None).result(PATIENCE_S)
    assert path.name.split(".")[0] in str(caught.value)
    assert caught.value.hint
    return caught.value


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


BAD: dict[str, Callable[[Path], Path]] = {
    "missing": lambda folder: folder / "missing.gguf",
    "a folder": lambda folder: (folder / "folder.gguf").mkdir() or folder / "folder.gguf",  # type: ignore[func-returns-value]
    "empty": lambda folder: written(folder / "empty.gguf", b""),
    "a picture": lambda folder: written(folder / "picture.gguf", b"\x89PNG\r\n\x1a\n" + bytes(500)),
    "cut in the header": lambda folder: written(folder / "cut.gguf", ggufs.dense(folder / "whole.gguf").read_bytes()[:3000]),
    "cut in the weights": lambda folder: written(folder / "cut.gguf", ggufs.dense(folder / "whole.gguf").read_bytes()[:3_000_000]),
    "a projector": lambda folder: ggufs.projector_only(folder / "mmproj.gguf"),
    "of an unknown architecture": lambda folder: ggufs.unknown_architecture(folder / "future.gguf"),
    "a shard without its siblings": lambda folder: ggufs.dense(folder / "split-00002-of-00003.gguf"),
    "one that makes the library abort": lambda folder: ggufs.duplicate_tokens(folder / "twins.gguf"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_refused_by_name(kind: str, tmp_path: Path, wary: LlamaBackend) -> None:
    refusal(wary, BAD[kind](tmp_path))
    assert wary.dead is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(tmp_path: Path, wary: LlamaBackend) -> None:
    path = ggufs.dense(tmp_path / "secret.gguf")
    path.chmod(0)
    refusal(wary, path)


def test_a_file_larger_than_all_memory(tmp_path: Path, wary: LlamaBackend) -> None:
    path = ggufs.vast(tmp_path / "vast.gguf", size=1 << 42)
    assert "too large" in str(refusal(wary, path))


def test_an_architecture_that_the_build_does_not_know_is_said_to_be_the_reason(tmp_path: Path, wary: LlamaBackend) -> None:
    error = refusal(wary, ggufs.unknown_architecture(tmp_path / "future.gguf"))
    assert "does not support" in error.title
    assert error.detail == "unknown model architecture: 'xchatformer'"


def test_an_abort_in_the_probe_is_told_in_the_library_s_words(tmp_path: Path, wary: LlamaBackend) -> None:
    error = refusal(wary, ggufs.duplicate_tokens(tmp_path / "twins.gguf"))
    assert "GGML_ASSERT" in error.detail
    assert "/" not in error.detail


def test_the_old_model_answers_after_a_file_that_makes_the_library_abort(
    tmp_path: Path, wary: LlamaBackend, models: Callable[[str], Path]
) -> None:
    wary.load(models("scripted"), SMALL, lambda _event: None).result(PATIENCE_S)
    refusal(wary, ggufs.duplicate_tokens(tmp_path / "twins.gguf"))
    assert Driver(wary).ask(text_prompt("x\n")).text.startswith("Hello")


def test_a_file_that_passed_is_not_probed_again_until_it_changes(tmp_path: Path, models: Callable[[str], Path]) -> None:
    path = tmp_path / "model.gguf"
    shutil.copy(models("dense"), path)
    for _ in range(2):
        backend = LlamaBackend()
        backend.load(path, SMALL, lambda _event: None).result(PATIENCE_S)
        backend.close()
        os.utime(path)
    remembered = cache_dir() / "probed.json"
    assert len(json.loads(remembered.read_text())) == 2
    assert stat.S_IMODE(remembered.stat().st_mode) == 0o600


def test_a_damaged_memory_of_probes_is_made_anew(models: Callable[[str], Path]) -> None:
    remembered = cache_dir() / "probed.json"
    remembered.write_text('{"not": "a list"')
    backend = LlamaBackend()
    backend.load(models("dense"), SMALL, lambda _event: None).result(PATIENCE_S)
    backend.close()
    assert len(json.loads(remembered.read_text())) == 1


def test_a_probe_that_never_ends_is_given_up(models: Callable[[str], Path]) -> None:
    probe = Probe(examine(models("dense")), SMALL)
    with pytest.raises(ModelError, match="took more than"):
        probe.wait(lambda: True, time_limit_s=0.0)


def test_a_probe_can_be_cancelled(models: Callable[[str], Path]) -> None:
    began = time.monotonic()
    assert not Probe(examine(models("dense")), SMALL).wait(lambda: False)
    assert time.monotonic() - began < PATIENCE_S


def test_metadata_with_escape_sequences_stays_text(tmp_path: Path, wary: LlamaBackend) -> None:
    path = ggufs.dense(tmp_path / "evil.gguf", name="evil \x1b]0;owned\x07 \x1b[2J")
    info = wary.load(path, SMALL, lambda _event: None).result(PATIENCE_S)
    assert info.model.metadata["general.name"].startswith("evil")
    assert "\x1b" not in info.model.name
    assert not any("\x1b" in line.text or "\x07" in line.text for line in wary.native_log())
