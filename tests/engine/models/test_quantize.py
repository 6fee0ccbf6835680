"""Quantizing for real on a tiny model: sizes beforehand, progress, cancel, and nothing half done left behind."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from engine.errors import ModelError, UsageError
from engine.host.topology import cpu_features
from engine.llama.processes.quantize import quantize
from engine.models.check import check_model
from engine.models.memory import predict
from engine.models.quantize import NEEDS_MATRIX, Quantization, QuantizeCancelled, known_quant, plan, predict_sizes
from engine.paths import models_dir
from engine.presets.preset import Preset
from tests import ggufs
from tests.engine.models.test_memory import loaded, within_5_percent

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ggufs.dense(tmp_path_factory.mktemp("source") / "tiny-F32.gguf", layers=4)


def test_sizes_are_known_beforehand(source: Path) -> None:
    model = check_model(source)
    sizes = predict_sizes(model, ["Q8_0", "Q4_0"])
    assert [size.quant for size in sizes] == ["Q8_0", "Q4_0"]
    assert sizes[0].file_bytes > sizes[1].file_bytes
    assert 8 < sizes[0].bits_per_weight < 9
    assert list(source.parent.iterdir()) == [source]


@pytest.mark.parametrize("quant", ["Q4_K_M", "Q4_0"])
def test_a_quant_is_made_with_progress_and_the_predicted_size(source: Path, quant: str) -> None:
    model = check_model(source)
    work = plan(model, quant.lower())
    steps: list[tuple[int, int]] = []
    path = Quantization(work).run(lambda done, total: steps.append((done, total)))
    assert path == models_dir() / f"tiny-{quant}.gguf"
    assert steps[-1][0] == steps[-1][1]
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)
    made = check_model(path)
    assert made.facts.quant == quant
    assert made.facts.family_key == model.facts.family_key
    assert made.facts.file_bytes == pytest.approx(work.file_bytes, rel=0.02)
    assert list(path.parent.iterdir()) == [path]
    assert within_5_percent(predict(made.facts, Preset(), features=cpu_features()), loaded(path, Preset()))


def test_a_quant_is_private_whatever_the_umask(source: Path) -> None:
    before = os.umask(0)
    try:
        own = Quantization(plan(check_model(source), "Q8_0")).run()
        quantize(source, models_dir() / "built-in.gguf", "Q8_0")
    finally:
        os.umask(before)
    assert stat.S_IMODE(own.stat().st_mode) == 0o600
    assert stat.S_IMODE((models_dir() / "built-in.gguf").stat().st_mode) == 0o600


def test_an_existing_file_is_replaced_only_when_that_is_said(source: Path) -> None:
    model = check_model(source)
    Quantization(plan(model, "Q8_0")).run()
    with pytest.raises(UsageError, match="exists already"):
        plan(model, "Q8_0")
    assert plan(model, "Q8_0", replace=True).target.exists()


def test_requantizing_needs_a_person_to_say_so(source: Path) -> None:
    first = check_model(Quantization(plan(check_model(source), "Q8_0")).run())
    again = plan(first, "Q4_0")
    assert "worse" in again.warning
    with pytest.raises(UsageError, match="worse"):
        Quantization(again)
    assert check_model(Quantization(again, despite_warning=True).run()).facts.quant == "Q4_0"
    assert "not better" in plan(first, "F16").warning


@pytest.mark.parametrize("quant", ["Q9_X", "", "nvfp4", *sorted(NEEDS_MATRIX)[:2]])
def test_what_can_not_be_made_is_refused(quant: str) -> None:
    with pytest.raises(UsageError):
        known_quant(quant)


def test_a_cancelled_quantization_leaves_nothing(source: Path) -> None:
    work = Quantization(plan(check_model(source), "Q4_K_M"))
    with pytest.raises(QuantizeCancelled):
        work.run(lambda _done, _total: work.cancel())
    assert list(models_dir().iterdir()) == []


def test_a_full_disk_is_noticed_before_the_work(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage(NamedTuple):
        free: int

    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(free=1000))
    with pytest.raises(ModelError, match="Not enough disk space"):
        plan(check_model(source), "Q8_0")


def test_a_source_that_vanishes_is_a_clear_error(source: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copy(source, tmp_path / "copy.gguf"))
    work = Quantization(plan(check_model(copy), "Q8_0"))
    copy.unlink()
    with pytest.raises(ModelError, match=r"copy\.gguf can't be quantized"):
        work.run()
    assert list(models_dir().iterdir()) == []


def test_leftovers_of_a_killed_program_are_swept(source: Path) -> None:
    leftover = models_dir() / ".tiny-Q8_0.gguf.999999999.part"
    leftover.touch()
    Quantization(plan(check_model(source), "Q8_0")).run()
    assert not leftover.exists()


def test_the_child_ends_with_the_program_that_waits_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "never.gguf")
    command = [sys.executable, "-m", "engine.llama.processes.quantize", str(tmp_path / "never.gguf"), "-", "Q8_0", "--tied"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as child:
        assert child.stdin is not None
        child.stdin.close()
        assert child.wait(timeout=30) == 3
