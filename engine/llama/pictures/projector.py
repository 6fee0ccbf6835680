"""The projector of a model: the file beside it that turns pictures into embeddings of its width."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from engine.errors import ModelError
from engine.models.facts import FileKind, ModelFacts, kind_of
from engine.models.gguf_header import read_header
from engine.models.names import words_of
from engine.paths import expanded
from engine.text import file_name

_MOST: Final = 100
"""Most files of a folder whose headers are read."""


def projector_of(model: Path, facts: ModelFacts, wanted: str) -> Path | None:
    """Return the projector of a model: the one named by `wanted`, or with `auto` the file beside it with the most similar name.

    Raises ModelError for a named file that is not a projector, or that of another model.
    """
    if wanted == "none":
        return None
    if wanted != "auto":
        path = expanded(wanted).absolute()
        if (reason := _misfit(path, facts)) is not None:
            hint = "Take the projector (mmproj) that was made with the model, or set mmproj to auto or none."
            raise ModelError(f"{file_name(path)} can't be used with {file_name(model)}", reason, hint)
        return path
    words = set(words_of(model.stem).split("-"))
    beside = sorted(model.parent.glob("*mmproj*.gguf"))[:_MOST]
    fitting = [path for path in beside if _fits(path, facts)]
    return max(fitting, key=lambda path: len(words & set(words_of(path.stem).split("-"))), default=None)


def _fits(path: Path, facts: ModelFacts) -> bool:
    try:
        return _misfit(path, facts) is None
    except ModelError:
        return False


def _misfit(path: Path, facts: ModelFacts) -> str | None:
    """Return why a file can't be the projector of a model; None when it can. Raises ModelError when it is not GGUF."""
    header = read_header(path)
    if kind_of(header) is not FileKind.MMPROJ:
        return "it is not a projector (mmproj)"
    if not header.metadata.get("clip.has_vision_encoder"):
        return "it does not encode pictures"
    width = header.number("clip.vision.projection_dim")
    if width and width != facts.n_embd:
        return f"it is of another model: it makes embeddings of {width:,} values, and this one takes {facts.n_embd:,}"
    return None
