"""What stands before the tensor data of a GGUF file, as values. `gguf_header` reads it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from engine.errors import ModelError
from engine.text import file_name, printable

PICK_ANOTHER = "Pick another file, or download it again"
_LEAST_NUMBER, _MOST_NUMBER = -(1 << 31), (1 << 32) - 1
"""What the numbers of a model can be: 32 bits, with or without a sign."""


def broken(path: Path, reason: str, hint: str = PICK_ANOTHER) -> ModelError:
    """The error for a file that is damaged or not what its name says."""
    return ModelError(f"{file_name(path)} can't be used", reason, hint)


@dataclass(frozen=True, slots=True)
class SkippedArray:
    """An array that was walked and not decoded."""

    type_id: int
    """GGUF value type of its elements."""
    count: int


Value = str | int | float | bool | tuple[str, ...] | tuple[int | float | bool, ...] | SkippedArray


class TensorInfo(NamedTuple):
    """One tensor of the file; the data itself is not touched."""

    name: str
    shape: tuple[int, ...]
    """Elements by dimension, the contiguous one first (ggml's `ne`)."""
    type_id: int
    offset: int
    """Bytes from the beginning of the data section."""
    n_elements: int
    n_bytes: int


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """Everything before the tensor data."""

    path: Path
    file_bytes: int
    version: int
    metadata: Mapping[str, Value]
    tensors: tuple[TensorInfo, ...]
    data_offset: int
    """Where the data section begins, from the beginning of the file."""
    missing_bytes: int
    """How many bytes the file is short of what its tensors need; 0 for a whole file."""
    vocabulary_digest: str
    """Digest of the tokens' bytes; empty without a vocabulary."""

    def text(self, key: str) -> str:
        """The string at `key`, empty when it is absent or no string."""
        value = self.metadata.get(key)
        return value if isinstance(value, str) else ""

    def number(self, key: str, default: int = 0) -> int:
        """The whole number at `key`, `default` when it is absent or no number; raises ModelError for one that no model has."""
        found = self._whole(key, self.metadata.get(key))
        return default if found is None else found

    def numbers(self, key: str) -> tuple[int, ...]:
        """The whole numbers of the array at `key`, empty when it is absent or no decoded number array; raises ModelError like `number`."""
        value = self.metadata.get(key)
        wholes = (self._whole(key, item) for item in value) if isinstance(value, tuple) else ()
        return tuple(whole for whole in wholes if whole is not None)

    def count(self, key: str) -> int:
        """How many elements the array at `key` has, 0 when it is absent or no array."""
        value = self.metadata.get(key)
        if isinstance(value, SkippedArray):
            return value.count
        return len(value) if isinstance(value, tuple) else 0

    def _whole(self, key: str, value: object) -> int | None:
        if not isinstance(value, (int, float)) or not math.isfinite(value):
            return None
        if not _LEAST_NUMBER <= value <= _MOST_NUMBER:
            raise broken(self.path, f"Its {printable(key, 80)} of {value:.4g} is more than a model can have")
        return int(value)
