"""Makes another quant of a model: its size first, then the work in a child process with progress and cancel."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from engine import child
from engine.atomic_write import remove_left
from engine.errors import ModelError, UsageError
from engine.models.check import CheckedModel
from engine.models.ggml_types import FILE_TYPES
from engine.numbers import byte_size
from engine.paths import models_dir
from engine.text import file_name, printable

OFFERED = ("Q8_0", "Q6_K", "Q5_K_M", "Q5_K_S", "Q4_K_M", "Q4_K_S", "IQ4_XS", "Q4_0", "Q3_K_M", "Q2_K")
"""The quants in the list; others that need no importance matrix can be given by name."""
NEEDS_MATRIX = frozenset({"IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ2_M", "IQ3_XXS", "IQ3_XS", "Q2_K_S"})
"""Quants that llama.cpp refuses without an importance matrix."""
_NOT_MADE = frozenset({"NVFP4"})
_FULL_PRECISION = frozenset({"F32", "F16", "BF16"})

SPARE_BYTES = 64 << 20
"""Bytes to leave free on the disk."""
_PROGRESS = re.compile(rb"\[\s*(\d+)\s*/\s*(\d+)\s*\]")
_LAST_LINES = 20
_CHILD = "engine.llama.processes.quantize"


class QuantizeCancelled(Exception):  # noqa: N818
    """The work was cancelled; no files are left behind."""


@dataclass(frozen=True, slots=True)
class QuantSize:
    """Predicted size of a quant."""

    quant: str
    file_bytes: int
    bits_per_weight: float


@dataclass(frozen=True, slots=True)
class QuantizePlan:
    """The planned work, for display."""

    source: CheckedModel
    target: Path
    quant: str
    file_bytes: int
    free_bytes: int
    """Free bytes on the disk."""
    warning: str
    """A warning in a sentence; empty for none."""


def predict_sizes(source: CheckedModel, quants: Iterable[str] = OFFERED) -> tuple[QuantSize, ...]:
    """Predict the size of each quant with a dry run of the library.

    Raises:
        UsageError: A quant is unknown or can't be made.
        ModelError: The library refuses the source.
    """
    names = [known_quant(quant) for quant in quants]
    done = subprocess.run(
        child.command(_CHILD, str(source.path), "-", ",".join(names), "--dry-run", "--requantize"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=child.environment(GGML_NO_BACKTRACE="1"),
        check=False,
    )
    if done.returncode != 0:
        raise _refused(source, "/".join(names), done.stderr.splitlines())
    header_bytes = max(0, source.facts.file_bytes - source.facts.weight_bytes)
    sizes = []
    for line in done.stdout.splitlines():
        size = json.loads(line)
        weights = size["bytes"] or 0
        sizes.append(QuantSize(size["quant"], weights + header_bytes, 8 * weights / max(1, source.facts.n_params)))
    return tuple(sizes)


def known_quant(quant: str) -> str:
    """Normalize the name of a quant. Raises UsageError for one that llama.cpp does not know or can't make without a matrix."""
    name = quant.upper()
    if name not in FILE_TYPES.values() or name in _NOT_MADE:
        raise UsageError(f"{printable(quant)} is not a quant that can be made here", "", f"For example: {', '.join(OFFERED)}")
    if name in NEEDS_MATRIX:
        detail = "llama.cpp refuses to make it without one"
        raise UsageError(f"{name} needs an importance matrix", detail, "Use IQ4_XS, Q3_K_M or Q2_K, or pull a ready file")
    return name


def plan(source: CheckedModel, quant: str, *, folder: Path | None = None, replace: bool = False) -> QuantizePlan:
    """Plan a quantization.

    Raises:
        UsageError: The quant is unknown, or the target exists and `replace` is false.
        ModelError: The disk has no room.
    """
    (size,) = predict_sizes(source, [quant])
    folder = folder if folder is not None else models_dir()
    folder.mkdir(parents=True, exist_ok=True)
    stem = re.sub(r"[^A-Za-z0-9._-]+", "-", source.facts.name).strip("-.") or "model"
    target = folder / f"{stem}-{size.quant}.gguf"
    if target.exists() and not replace:
        raise UsageError(
            f"{file_name(target)} exists already", f"In {printable(str(folder), 300)}", "Remove it first, or choose to replace it"
        )
    if target in source.parts:
        raise UsageError(f"{file_name(target)} is the source itself", "", "Pick another quant")
    free = shutil.disk_usage(folder).free
    if free < size.file_bytes + SPARE_BYTES:
        detail = f"{file_name(target)} needs {byte_size(size.file_bytes)}, and {byte_size(free)} are free in {printable(str(folder), 300)}"
        raise ModelError("Not enough disk space for the new quant", detail, "Free some space, or pick a smaller quant")
    return QuantizePlan(source, target, size.quant, size.file_bytes, free, _warning(source, size))


def _warning(source: CheckedModel, size: QuantSize) -> str:
    facts = source.facts
    if facts.quant in _FULL_PRECISION:
        return ""
    if size.file_bytes >= facts.file_bytes:
        return f"The source is already {facts.quant}: {size.quant} would be larger and not better"
    return f"The source is already quantized ({facts.quant}): {size.quant} made from it is worse than made from the full-precision file"


class Quantization:
    """One quantization. `run` blocks, call it on a worker thread; `cancel` is thread-safe."""

    def __init__(self, plan: QuantizePlan, *, despite_warning: bool = False) -> None:
        """Use a plan. Raises UsageError when it has a warning that was not accepted."""
        if plan.warning and not despite_warning:
            raise UsageError(f"{file_name(plan.source.path)} should not be quantized again", plan.warning, "Confirm to do it anyway")
        self._plan = plan
        self._part = plan.target.with_name(f".{plan.target.name}.{os.getpid()}.part")
        self._process: subprocess.Popen[bytes] | None = None
        self._cancelled = threading.Event()

    def cancel(self) -> None:
        """Stop; `run` raises QuantizeCancelled soon after."""
        self._cancelled.set()
        process = self._process
        if process is not None:
            process.kill()

    def run(self, on_progress: Callable[[int, int], None] = lambda _done, _total: None) -> Path:
        """Quantize; `on_progress` gets the tensors done and their number. Returns the new file.

        Raises:
            ModelError: The library refused, the disk became full, or the child died.
            QuantizeCancelled: After `cancel`.
        """
        remove_left(self._plan.target.parent, f".{self._plan.target.name}.", r"\.part")
        command = child.command(_CHILD, str(self._plan.source.path), str(self._part), self._plan.quant, "--requantize", "--tied")
        try:
            with subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=child.environment(GGML_NO_BACKTRACE="1"),
            ) as process:
                self._process = process
                if self._cancelled.is_set():
                    process.kill()
                lines = _follow(process, on_progress)
                status = process.wait()
            if self._cancelled.is_set():
                raise QuantizeCancelled
            if status != 0:
                raise self._failure(lines)
            self._finish()
            return self._plan.target
        finally:
            self._part.unlink(missing_ok=True)

    def _finish(self) -> None:
        try:
            with self._part.open("rb+") as file:
                os.fsync(file.fileno())
            self._part.replace(self._plan.target)
        except OSError as error:
            raise ModelError(f"{file_name(self._plan.target)} can't be put in place", printable(str(error)), "Check the disk") from error

    def _failure(self, lines: list[bytes]) -> ModelError:
        if shutil.disk_usage(self._part.parent).free < SPARE_BYTES:
            return ModelError("The disk became full while quantizing", f"In {printable(str(self._part.parent), 300)}", "Free some space")
        return _refused(self._plan.source, self._plan.quant, lines)


def _follow(process: subprocess.Popen[bytes], on_progress: Callable[[int, int], None]) -> list[bytes]:
    """Read the child's log to its end; returns its last lines."""
    lines: list[bytes] = []
    if process.stderr is None:
        return lines
    for line in process.stderr:
        match = _PROGRESS.match(line)
        if match is not None:
            on_progress(int(match[1]), int(match[2]))
        elif line.strip():
            lines = [*lines[1 - _LAST_LINES :], line]
    return lines


def _refused(source: CheckedModel, quant: str, lines: Iterable[bytes]) -> ModelError:
    texts = [line.decode("utf-8", "replace").strip() for line in lines]
    said = [text for text in texts if "error" in text.lower() or "fail" in text.lower()] or texts
    reason = printable(said[-1]) if said else "The library gives no reason"
    return ModelError(f"{file_name(source.path)} can't be quantized to {quant}", reason, "Pick another quant or another source")
