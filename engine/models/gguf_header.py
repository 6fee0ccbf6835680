"""Reads the header of a GGUF file, fast and without trusting it.

`gguf_metadata` reads the metadata; this module the preamble and the tensor list, whose tensors must be inside the file and not overlap.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from engine.errors import ModelError
from engine.models.ggml_types import DROPPED_TYPES, GGML_TYPES
from engine.models.gguf_contents import PICK_ANOTHER, GgufHeader, TensorInfo, broken
from engine.models.gguf_metadata import MAX_ENTRIES, KnownArrays, Source, open_model
from engine.text import file_name, printable

MAGIC = b"GGUF"
MAX_NAME_BYTES = 63
"""Longest tensor name of llama.cpp, in bytes."""
MAX_DIMENSIONS = 4
MAX_TENSORS = 262_144
"""Most tensors of one file; the largest models have about 50,000."""
TENSOR_ALIGNMENT = 32
"""The native library aborts when mapped weights are not at multiples of this."""
_VAST = 1 << 50
"""More elements or bytes than any tensor has."""
_LOOKALIKES: tuple[tuple[bytes, str, str], ...] = (
    (b"version https://git-lfs", "a Git LFS pointer, not the model itself", "Fetch the file with git lfs pull, or with xchat models pull"),
    (b"<", "a web page", "Download the file itself, not its page; xchat models pull does it"),
    (b"\x89PNG", "a PNG image", ""),
    (b"\xff\xd8\xff", "a JPEG image", ""),
    (b"%PDF", "a PDF document", ""),
    (b"PK\x03\x04", "a ZIP archive or a PyTorch checkpoint", "Convert it to GGUF with llama.cpp's convert_hf_to_gguf.py"),
    (b"\x1f\x8b", "a gzip archive", "Unpack it first"),
    (b"lmgg", "a GGML file, the format before GGUF", "Download the model as GGUF"),
    (b"fmgg", "a GGML file, the format before GGUF", "Download the model as GGUF"),
    (b"tjgg", "a GGML file, the format before GGUF", "Download the model as GGUF"),
    (b"\x7fELF", "a program (perhaps a llamafile)", "Use the GGUF file that it was made from"),
    (b"MZ", "a program (perhaps a llamafile)", "Use the GGUF file that it was made from"),
)


def read_header(path: Path, known: KnownArrays | None = None) -> GgufHeader:
    """Read and check the header of a GGUF file; `known` makes a run over many files faster.

    Raises ModelError with the file and the reason.
    """
    with open_model(path) as file:
        try:
            return _header(Source(path, file, known))
        except OSError as error:
            raise ModelError(f"{file_name(path)} can't be read", printable(str(error)), "Check the disk") from error


def check_kind(path: Path) -> None:
    """Check that a file begins as a GGUF file does. Raises ModelError that says what it is instead."""
    with open_model(path) as file:
        _check_magic(Source(path, file, None))


def join_headers(parts: Sequence[GgufHeader]) -> GgufHeader:
    """Join the headers of a split model's parts, in order; the first part has the metadata."""
    return replace(
        parts[0],
        file_bytes=sum(part.file_bytes for part in parts),
        tensors=tuple(tensor for part in parts for tensor in part.tensors),
        missing_bytes=sum(part.missing_bytes for part in parts),
    )


def _header(source: Source) -> GgufHeader:
    version, n_tensors, n_metadata = _preamble(source)
    metadata = source.metadata(n_metadata)
    alignment = metadata.get("general.alignment", 32)
    if not isinstance(alignment, int) or alignment <= 0 or alignment & (alignment - 1) or alignment > 1 << 20:
        raise broken(source.path, f"Its alignment of {alignment!r:.40} is not a power of two")
    tensors = _tensors(source, n_tensors, alignment)
    data_offset = (source.at + alignment - 1) // alignment * alignment
    if tensors and any((data_offset + tensor.offset) % TENSOR_ALIGNMENT for tensor in tensors):
        raise broken(source.path, f"Its weights are not at multiples of {TENSOR_ALIGNMENT} bytes (its alignment is {alignment})")
    end = max((data_offset + tensor.offset + tensor.n_bytes for tensor in tensors), default=0)
    if tensors and sum(tensor.n_bytes for tensor in tensors) > end - data_offset:
        raise broken(source.path, "Its tensors overlap")
    return GgufHeader(
        path=source.path,
        file_bytes=source.file_bytes,
        version=version,
        metadata=metadata,
        tensors=tensors,
        data_offset=data_offset,
        missing_bytes=max(0, end - source.file_bytes),
        vocabulary_digest=source.vocabulary_digest,
    )


def _preamble(source: Source) -> tuple[int, int, int]:
    """Read magic, version and the two counts."""
    _check_magic(source)
    source.need(24)
    version, n_tensors, n_metadata = struct.unpack_from("<IQQ", source.buffer, 4)
    if version & 0xFFFF == 0 and version:
        raise broken(source.path, "It is a big-endian GGUF file, made for other machines", "Download the little-endian one")
    if version == 1:
        raise broken(source.path, "It is GGUF version 1, which llama.cpp no longer reads", "Download a newer conversion")
    if version not in {2, 3}:
        raise broken(source.path, f"It is GGUF version {version}; this build reads 2 and 3", "Update xchat, or pick another file")
    source.at = 24
    source.claims(n_metadata, 13, "metadata entries")
    source.claims(n_tensors, 24, "tensors")
    if n_metadata > MAX_ENTRIES or n_tensors > MAX_TENSORS:
        raise broken(source.path, f"It has {n_metadata:,} metadata entries and {n_tensors:,} tensors, more than any model")
    return version, n_tensors, n_metadata


def _tensors(source: Source, count: int, alignment: int) -> tuple[TensorInfo, ...]:
    tensors: list[TensorInfo] = []
    names: set[str] = set()
    for _ in range(count):
        tensor = _tensor(source, alignment)
        if tensor.name in names:
            raise broken(source.path, f"It has the tensor {printable(tensor.name, 80)} twice")
        names.add(tensor.name)
        tensors.append(tensor)
    return tuple(tensors)


def _tensor(source: Source, alignment: int) -> TensorInfo:
    name = source.string(MAX_NAME_BYTES, "tensor name")
    n_dimensions = source.u32()
    if n_dimensions > MAX_DIMENSIONS:
        raise broken(source.path, f"Its tensor {printable(name, 80)} has {n_dimensions} dimensions; the maximum is {MAX_DIMENSIONS}")
    size = 8 * n_dimensions + 12
    source.need(size)
    *shape, type_id, offset = struct.unpack_from(f"<{n_dimensions}QIQ", source.buffer, source.at)
    source.at += size
    kind = GGML_TYPES.get(type_id)
    if type_id in DROPPED_TYPES:
        dropped, instead = (name.upper() for name in DROPPED_TYPES[type_id])
        hint = f"Use its {instead}, which is as fast now" if instead else "Download a newer conversion"
        raise broken(source.path, f"Its weights are {dropped}, which llama.cpp no longer reads", hint)
    if kind is None:
        hint = "Update xchat, or pick another quant"
        raise broken(source.path, f"Its tensor {printable(name, 80)} has the type {type_id}, which this build does not know", hint)
    n_elements = math.prod(shape)
    row = shape[0] if shape else 1
    if n_elements >= _VAST or row % kind.block:
        raise broken(source.path, f"Its tensor {printable(name, 80)} has the impossible shape {'x'.join(map(str, shape))}")
    if offset % alignment or offset >= _VAST:
        raise broken(source.path, f"Its tensor {printable(name, 80)} has the impossible offset {offset}")
    return TensorInfo(name, tuple(shape), type_id, offset, n_elements, kind.row_bytes(n_elements))


def _check_magic(source: Source) -> None:
    if source.file_bytes == 0:
        raise broken(source.path, "It is empty", "Download it again")
    source.fill(min(64, source.file_bytes))
    if source.buffer[:4] != MAGIC:
        raise _not_gguf(source)


def _not_gguf(source: Source) -> ModelError:
    head = source.buffer
    for magic, what, hint in _LOOKALIKES:
        if head.lstrip().startswith(magic):
            return ModelError(f"{file_name(source.path)} is not a GGUF file", f"It is {what}", hint or PICK_ANOTHER)
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < source.file_bytes:
        hint = "Convert it to GGUF with llama.cpp's convert_hf_to_gguf.py, or download the model as GGUF"
        return ModelError(f"{file_name(source.path)} is not a GGUF file", "It is a safetensors file", hint)
    if not head.strip(b"\0"):
        return broken(source.path, "It begins with zeros: space was reserved for it, but the download never finished", "Download it again")
    return ModelError(f"{file_name(source.path)} is not a GGUF file", "It does not begin with GGUF", PICK_ANOTHER)
