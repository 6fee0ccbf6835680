"""Files that pass every check of their header and then hang the native library, end the process or take its memory.

`just fuzz` tries 150 mutated files; `XCHAT_FUZZ` says how many.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.backend import LoadProgressed
from engine.errors import ModelError, XchatError
from engine.llama.backend import LlamaBackend
from engine.llama.files import examine
from engine.llama.processes.probe import CPU_LIMIT_S, Probe
from engine.llama.processes.probe_cache import Verdicts
from tests import ggufs
from tests.engine.llama.driver import PATIENCE_S, SMALL, Driver, text_prompt
from tests.engine.models import mutation

FUZZED = int(os.environ.get("XCHAT_FUZZ", "8"))

MOST_CPU_S = 5.0
"""Processor time of one file, that of the child included."""


def cpu_s() -> float:
    """Seconds of processor time that this process and its ended children have taken."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> list[mutation.Gguf]:
    folder = tmp_path_factory.mktemp("bases")
    makers = (ggufs.dense, ggufs.sliding_window, ggufs.hybrid, ggufs.recurrent, ggufs.spm)
    return [mutation.parse(make(folder / f"{make.__name__}.gguf").read_bytes()) for make in makers]


@pytest.fixture
def wary() -> Iterator[LlamaBackend]:
    """A backend that trusts no file."""
    backend = LlamaBackend()
    yield backend
    backend.close()


def endless(folder: Path) -> Path:
    """A file whose first decode never ends."""
    base = mutation.parse(ggufs.sliding_window(folder / "base.gguf").read_bytes())
    return mutation.written(folder / "endless.gguf", mutation.with_value(base, "gemma3.rope.dimension_count", 0))


@pytest.mark.slow
def test_a_file_that_never_ends_to_decode_is_refused(tmp_path: Path, wary: LlamaBackend) -> None:
    path = endless(tmp_path)
    with pytest.raises(ModelError, match=f"more than {CPU_LIMIT_S} s of processor time"):
        wary.load(path, SMALL, lambda _event: None).result(PATIENCE_S)
    assert wary.load(tmp_path / "base.gguf", SMALL, lambda _event: None).result(PATIENCE_S).n_ctx
    assert Driver(wary).ask(text_prompt("x")).text


@pytest.mark.slow
def test_a_load_is_cancelled_while_a_file_is_tried(tmp_path: Path, wary: LlamaBackend) -> None:
    begun = threading.Event()
    future = wary.load(endless(tmp_path), SMALL, lambda event: begun.set() if isinstance(event, LoadProgressed) else None)
    assert begun.wait(PATIENCE_S)
    wary.cancel_load()
    assert wary.load(tmp_path / "base.gguf", SMALL, lambda _event: None).result(PATIENCE_S)
    assert future.cancelled()


@pytest.mark.slow
def test_a_file_is_tried_with_the_settings_it_is_loaded_with(tmp_path: Path) -> None:
    file, verdicts = examine(ggufs.dense(tmp_path / "dense.gguf")), Verdicts(tmp_path / "verdicts")
    verdicts.remember(file, SMALL)
    assert verdicts.passed(file, SMALL)
    assert not verdicts.passed(file, SMALL.__class__(type_k="q8_0", type_v="q8_0"))
    with pytest.raises(XchatError, match="context"):
        Probe(examine(ggufs.dense(tmp_path / "narrow.gguf", head_size=16)), SMALL.__class__(type_k="q8_0", type_v="q8_0")).wait(
            lambda: True
        )


@pytest.mark.slow
def test_mutated_files_are_refused_or_answer(bases: list[mutation.Gguf], tmp_path: Path, wary: LlamaBackend) -> None:
    tried = answered = 0
    seed = 0
    while tried < FUZZED:
        seed += 1
        path = mutation.written(tmp_path / f"{seed}.gguf", mutation.mutated(bases[seed % len(bases)], seed))
        try:
            examine(path)
        except ModelError:
            path.unlink()
            continue
        tried += 1
        began = cpu_s()
        try:
            wary.load(path, SMALL, lambda _event: None).result(PATIENCE_S)
        except XchatError:
            pass
        else:
            answered += 1
            assert Driver(wary).ask(text_prompt("Hello"), max_tokens=3).finished.error is None, f"seed {seed}"
        assert cpu_s() - began < MOST_CPU_S, f"seed {seed}"
        assert wary.dead is None, f"seed {seed}"
        path.unlink()
    assert 0 < answered < tried
