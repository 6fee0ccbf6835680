"""The built-in model: its file, its checksum, and its quants, made on this machine on first use."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final

from engine import model_ref
from engine.errors import ModelError
from engine.guide.respelling import ActionNames, Respelling
from engine.model_ref import BuiltInModel, ModelRef
from engine.paths import cache_dir

FILE: Final = "xchat-guide-F16.gguf"
"""The shipped file's name; `FILE.sha256` beside it has its digest."""
SHIPPED_QUANT: Final = "F16"
"""The quant of the shipped file."""
QUANTS: Final = ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q2_K")
"""Quants that can be made from it, largest first."""


def path() -> Path:
    """Return the shipped file, checked. Raises ModelError when it is missing from the installation or damaged."""
    file = _shipped()
    try:
        whole = _digest(file) == expected_digest()
    except OSError as error:
        raise _broken("missing", str(error.strerror or error)) from None
    if not whole:
        raise _broken("damaged", "its contents differ from the shipped file")
    return file


def quant_path(quant: str) -> Path:
    """Return the built-in model in this quant (`F16` is the shipped file), made in the cache directory on first use (under two seconds).

    Raises ModelError when the quant isn't offered, the shipped file is broken, or the cache can't be written.
    """
    if quant == SHIPPED_QUANT:
        return path()
    if not offers(quant):
        raise ModelError(f"The built-in model has no quant {quant}", hint=f"Choose one of {SHIPPED_QUANT}, {', '.join(QUANTS)}.")
    target = _cached(quant)
    if not target.is_file():
        from engine.llama.processes.quantize import quantize

        source = path()
        try:
            _make_room(target.parent)
        except OSError as error:
            raise ModelError("The built-in model's quants can't be saved", f"{error.filename}: {error.strerror}") from None
        quantize(source, target, quant)
    return target


def offers(quant: str) -> bool:
    """Return whether the built-in model is available in this quant."""
    return quant in (SHIPPED_QUANT, *QUANTS)


def quant_name(model: Path) -> str | None:
    """Return the quant of the built-in model at a path; None for other files."""
    if model == _shipped():
        return SHIPPED_QUANT
    return next((quant for quant in QUANTS if model == _cached(quant)), None)


def respelling(model: ModelRef, names: Mapping[str, ActionNames]) -> Respelling | None:
    """Return the replacement of keys and commands in a model's answers; None for other models, and without changes."""
    if not names or not isinstance(ref_of(model), BuiltInModel):
        return None
    made = Respelling(names)
    return made if made.needed else None


def made(quant: str) -> Path | None:
    """Return the file of a quant, if it exists already."""
    file = _shipped() if quant == SHIPPED_QUANT else _cached(quant)
    return file if file.is_file() else None


def ref_of(model: ModelRef) -> ModelRef:
    """Return a model's stable reference; files of the built-in one by quant, since their path depends on the installation."""
    quant = quant_name(model) if isinstance(model, Path) else None
    return model if quant is None else BuiltInModel(quant)


def file_of(model: ModelRef) -> Path | None:
    """Return the file of a local model; a quant of the built-in one is made on first use. Raises the errors of `quant_path`."""
    return made(model.quant) or quant_path(model.quant) if isinstance(model, BuiltInModel) else model_ref.file_of(model)


def is_ours(model: Path) -> bool:
    """Return whether this is the undamaged shipped file or a quant made from it, which need no check before loading."""
    try:
        if model == _shipped():
            return _digest(model) == expected_digest()
        return any(model == _cached(quant) for quant in QUANTS)
    except OSError:
        return False


@cache
def expected_digest() -> str:
    """Return the SHA-256 of the shipped file."""
    return files("engine.guide").joinpath(f"{FILE}.sha256").read_text(encoding="ascii").split()[0]


def _shipped() -> Path:
    return Path(str(files("engine.guide").joinpath(FILE)))


def _cached(quant: str) -> Path:
    """Return the path of a quant; another version of the shipped file has another folder."""
    return cache_dir() / "builtin" / expected_digest()[:12] / f"xchat-guide-{quant}.gguf"


def _make_room(folder: Path) -> None:
    """Create the folder, and remove those of older versions."""
    for other in folder.parent.glob("*"):
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _broken(how: str, why: str) -> ModelError:
    return ModelError(
        f"The built-in model is {how}",
        f"{_shipped()}: {why}",
        "Reinstall xchat, or load another model with `xchat MODEL.gguf`.",
    )
