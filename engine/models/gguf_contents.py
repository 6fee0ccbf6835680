"""The contents of a GGUF file before the tensor data, as values. `gguf_header` reads them."""

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
"""Range of the numbers of a model: 32 bits, signed or unsigned."""


def broken(path: Path, reason: str, hint: str = PICK_ANOTHER) -> ModelError:
    """Make the error for a damaged or wrong file."""
    return ModelError(f"{file_name(path)} can't be used", reason, hint)


@dataclass(frozen=True, slots=True)
class SkippedArray:
    """An array that was skipped, not decoded."""

    type_id: int
    """GGUF value type of its elements."""
    count: int


Value = str | int | float | bool | tuple[str, ...] | tuple[int | float | bool, ...] | SkippedArray


class TensorInfo(NamedTuple):
    """One tensor of the file, without its data."""

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
    """Offset of the data section in the file."""
    missing_bytes: int
    """Bytes of tensor data missing at the end; 0 for a whole file."""
    vocabulary_digest: str
    """Digest of the tokens' bytes; empty without a vocabulary."""

    def text(self, key: str) -> str:
        """Return the string at `key`, empty when it is absent or not a string."""
        value = self.metadata.get(key)
        return value if isinstance(value, str) else ""

    def number(self, key: str, default: int = 0) -> int:
        """Return the whole number at `key`, `default` when absent or not a number; raises ModelError when out of range."""
        found = self._whole(key, self.metadata.get(key))
        return default if found is None else found

    def numbers(self, key: str) -> tuple[int, ...]:
        """Return the numbers of the array at `key`, empty when absent or not a decoded number array; raises ModelError like `number`."""
        value = self.metadata.get(key)
        wholes = (self._whole(key, item) for item in value) if isinstance(value, tuple) else ()
        return tuple(whole for whole in wholes if whole is not None)

    def count(self, key: str) -> int:
        """Return the length of the array at `key`, 0 when absent or not an array."""
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
