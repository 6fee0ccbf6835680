"""Read what stands before the tensor data of a GGUF file, fast and without trusting it.

Arrays of strings (a vocabulary has 150,000 tokens and as many merges) are walked, not decoded. Nothing is allocated by a number that the
file claims: every count is first held against the bytes that are really there. The file is read, not mapped, because a mapped file that
shrinks under the reader kills the process.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Sequence
from dataclasses import replace
from operator import length_hint
from pathlib import Path
from typing import BinaryIO

from engine.errors import ModelError
from engine.models.ggml_types import DROPPED_TYPES, GGML_TYPES
from engine.models.gguf_contents import GgufHeader, SkippedArray, TensorInfo, Value
from engine.text import file_name, printable

MAGIC = b"GGUF"
MAX_HEADER_BYTES = 256 * 1024 * 1024
"""No header in use comes near this; a longer one is a trick."""
MAX_STRINGS = 8_000_000
"""Most strings walked in one file, so that a gigabyte of empty strings can't hold the program up."""
MAX_KEY_BYTES = 65_535
MAX_NAME_BYTES = 63
"""llama.cpp takes no longer tensor names."""
MAX_DIMENSIONS = 4
SMALL_ARRAY = 4096
"""Number arrays up to this many elements are decoded (per-layer settings are such arrays)."""
SMALL_STRING_ARRAY = 256
"""String arrays up to this many elements are decoded (tags, languages, the names of chat templates)."""

_MOST_KNOWN_BYTES = 64 * 1024 * 1024
_FIRST_READ = 64 * 1024
_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")
_SCALARS = {
    0: struct.Struct("<B"),
    1: struct.Struct("<b"),
    2: struct.Struct("<H"),
    3: struct.Struct("<h"),
    4: struct.Struct("<I"),
    5: struct.Struct("<i"),
    6: struct.Struct("<f"),
    7: struct.Struct("<?"),
    10: struct.Struct("<Q"),
    11: struct.Struct("<q"),
    12: struct.Struct("<d"),
}
_STRING, _ARRAY = 8, 9
_TOKENS = "tokenizer.ggml.tokens"

_LOOKALIKES: tuple[tuple[bytes, str, str], ...] = (
    (b"version https://git-lfs", "a Git LFS pointer, not the model itself", "Fetch the file with git lfs pull, or with xchat models pull"),
    (b"<", "a web page", "Download the file itself, not its page; xchat models pull does it"),
    (b"\x89PNG", "a PNG image", ""),
    (b"\xff\xd8\xff", "a JPEG image", ""),
    (b"%PDF", "a PDF document", ""),
    (b"PK\x03\x04", "a ZIP archive or a PyTorch checkpoint", "Convert it to GGUF with llama.cpp's convert_hf_to_gguf.py"),
    (b"\x1f\x8b", "a gzip archive", "Unpack it first"),
    (b"lmgg", "a GGML file of before GGUF", "Download the model as GGUF"),
    (b"fmgg", "a GGML file of before GGUF", "Download the model as GGUF"),
    (b"tjgg", "a GGML file of before GGUF", "Download the model as GGUF"),
    (b"\x7fELF", "a program (a llamafile perhaps)", "Take the GGUF file that it was made from"),
    (b"MZ", "a program (a llamafile perhaps)", "Take the GGUF file that it was made from"),
)
_PICK_ANOTHER = "Pick another file, or download it again"


def broken(path: Path, reason: str, hint: str = _PICK_ANOTHER) -> ModelError:
    """The error for a file that is damaged or not what its name says."""
    return ModelError(f"{file_name(path)} can't be used", reason, hint)


def open_model(path: Path) -> BinaryIO:
    """Open a model file; raises ModelError with the way out for a missing, unreadable or special one."""
    try:
        if path.is_dir():
            raise ModelError(f"{file_name(path)} is a folder", "A model is one GGUF file (or the first of its parts)", "Name a file in it")
        if path.exists() and not path.is_file():
            raise ModelError(f"{file_name(path)} is not a regular file", "", _PICK_ANOTHER)
        return path.open("rb", buffering=0)
    except FileNotFoundError as error:
        raise ModelError(f"{file_name(path)} is not there", f"No file at {printable(str(path), 500)}", "Check the path") from error
    except PermissionError as error:
        raise ModelError(f"{file_name(path)} can't be read", "No permission", f"Try: chmod u+r {printable(str(path), 500)}") from error
    except (OSError, ValueError) as error:
        raise ModelError(f"{file_name(path)} can't be opened", printable(str(error)), "Check the path and the disk") from error


class KnownArrays:
    """String arrays walked in other files: quants of one model carry the same vocabulary, and comparing is 20 times faster than walking."""

    def __init__(self) -> None:
        self._arrays: dict[tuple[str, int], list[bytes]] = {}
        self._bytes = 0

    def length_at(self, key: str, count: int, buffer: bytes, at: int) -> int:
        """Bytes of the array at `at` of `buffer` when it is one that is known, else 0."""
        known = self._arrays.get((key, count), ())
        return next((len(array) for array in known if buffer.startswith(array, at)), 0)

    def longest(self, key: str, count: int) -> int:
        """Bytes that the longest known array of that key and count has."""
        return max(map(len, self._arrays.get((key, count), ())), default=0)

    def remember(self, key: str, count: int, array: bytes) -> None:
        """Keep an array that was walked, as long as there is room."""
        if self._bytes + len(array) <= _MOST_KNOWN_BYTES:
            self._bytes += len(array)
            self._arrays.setdefault((key, count), []).append(array)


def read_header(path: Path, known: KnownArrays | None = None) -> GgufHeader:
    """Read and check the header of a GGUF file; `known` makes a run over many files faster.

    Raises:
        ModelError: It names the file and the reason.
    """
    with open_model(path) as file:
        try:
            return _Reader(path, file, known).header()
        except OSError as error:
            raise ModelError(f"{file_name(path)} can't be read", printable(str(error)), "Check the disk") from error


def join_headers(parts: Sequence[GgufHeader]) -> GgufHeader:
    """The header of a split model from those of its parts, in order; the first part has the metadata."""
    return replace(
        parts[0],
        file_bytes=sum(part.file_bytes for part in parts),
        tensors=tuple(tensor for part in parts for tensor in part.tensors),
        missing_bytes=sum(part.missing_bytes for part in parts),
    )


class _Reader:
    """One pass over a header. `_buffer` holds the file's first bytes and grows as the pass goes on; `_at` is where the pass stands."""

    def __init__(self, path: Path, file: BinaryIO, known: KnownArrays | None) -> None:
        self._path = path
        self._known = known
        self._file = file
        self._file_bytes = file.seek(0, 2)
        file.seek(0)
        self._buffer = b""
        self._at = 0
        self._strings_left = MAX_STRINGS
        self._vocabulary_digest = ""

    def header(self) -> GgufHeader:
        version, n_tensors, n_metadata = self._preamble()
        metadata = self._metadata(n_metadata)
        alignment = metadata.get("general.alignment", 32)
        if not isinstance(alignment, int) or alignment <= 0 or alignment & (alignment - 1) or alignment > 1 << 20:
            raise broken(self._path, f"Its alignment of {alignment!r:.40} is not a power of two")
        tensors = self._tensors(n_tensors, alignment)
        data_offset = (self._at + alignment - 1) // alignment * alignment
        end = max((data_offset + tensor.offset + tensor.n_bytes for tensor in tensors), default=0)
        return GgufHeader(
            path=self._path,
            file_bytes=self._file_bytes,
            version=version,
            metadata=metadata,
            tensors=tensors,
            data_offset=data_offset,
            missing_bytes=max(0, end - self._file_bytes),
            vocabulary_digest=self._vocabulary_digest,
        )

    def _preamble(self) -> tuple[int, int, int]:
        """Magic, version and the two counts."""
        if self._file_bytes == 0:
            raise broken(self._path, "It is empty", "Download it again")
        self._fill(min(64, self._file_bytes))
        if self._buffer[:4] != MAGIC:
            raise self._not_gguf()
        self._need(24)
        version = _U32.unpack_from(self._buffer, 4)[0]
        if version & 0xFFFF == 0 and version:
            raise broken(self._path, "It is a big-endian GGUF file, made for another kind of machine", "Download the little-endian one")
        if version == 1:
            raise broken(self._path, "It is GGUF version 1, which llama.cpp no longer reads", "Download a newer conversion")
        if version not in {2, 3}:
            raise broken(self._path, f"It is GGUF version {version}; this build reads 2 and 3", "Update xchat, or pick another file")
        n_tensors, n_metadata = _U64.unpack_from(self._buffer, 8)[0], _U64.unpack_from(self._buffer, 16)[0]
        self._at = 24
        self._claims(n_metadata, 13, "metadata entries")
        self._claims(n_tensors, 24, "tensors")
        return version, n_tensors, n_metadata

    def _metadata(self, count: int) -> dict[str, Value]:
        metadata: dict[str, Value] = {}
        for _ in range(count):
            key = self._string(MAX_KEY_BYTES, "metadata key")
            if key in metadata:
                raise broken(self._path, f"Its metadata names {printable(key, 80)} twice")
            metadata[key] = self._value(key, self._u32())
        return metadata

    def _value(self, key: str, type_id: int) -> Value:
        scalar = _SCALARS.get(type_id)
        if scalar is not None:
            self._need(scalar.size)
            value: int | float | bool = scalar.unpack_from(self._buffer, self._at)[0]
            self._at += scalar.size
            return value
        if type_id == _STRING:
            return self._string(MAX_HEADER_BYTES, key)
        if type_id == _ARRAY:
            return self._array(key, self._u32())
        raise broken(self._path, f"Its metadata entry {printable(key, 80)} has the unknown type {type_id}")

    def _array(self, key: str, type_id: int) -> Value:
        count = self._u64()
        if type_id == _STRING:
            self._claims(count, 8, f"strings in {printable(key, 80)}")
            if count <= SMALL_STRING_ARRAY and key != _TOKENS:
                return tuple(self._string(MAX_HEADER_BYTES, key) for _ in range(count))
            begin = self._at
            if not self._skip_known(key, count):
                self._skip_strings(count)
                if self._known is not None:
                    self._known.remember(key, count, self._buffer[begin : self._at])
            if key == _TOKENS:
                with memoryview(self._buffer) as whole:
                    self._vocabulary_digest = hashlib.sha256(whole[begin : self._at]).hexdigest()[:32]
            return SkippedArray(type_id, count)
        scalar = _SCALARS.get(type_id)
        if scalar is None:
            raise broken(self._path, f"Its metadata array {printable(key, 80)} has the unknown type {type_id}")
        self._claims(count, scalar.size, f"values in {printable(key, 80)}")
        begin = self._at
        self._at += count * scalar.size
        if count > SMALL_ARRAY:
            return SkippedArray(type_id, count)
        self._fill(self._at)
        return struct.unpack_from(f"<{count}{scalar.format[-1]}", self._buffer, begin)

    def _skip_known(self, key: str, count: int) -> bool:
        """Step over an array that another file had, too; False when it is another one."""
        if self._known is None:
            return False
        self._fill(min(self._at + self._known.longest(key, count), self._file_bytes, MAX_HEADER_BYTES))
        length = self._known.length_at(key, count, self._buffer, self._at)
        self._at += length
        return length > 0

    def _skip_strings(self, count: int) -> None:
        self._strings_left -= count
        if self._strings_left < 0:
            raise broken(self._path, f"It has more than {MAX_STRINGS:,} strings")
        unpack, at, left = _U64.unpack_from, self._at, count
        while left:
            walk, buffer = iter(range(left)), self._buffer
            try:
                for _ in walk:
                    at += 8 + unpack(buffer, at)[0]
                left = 0
            except (struct.error, OverflowError):
                left = 1 + length_hint(walk)
                self._fill(at + 8)
        self._at = at
        self._fill(at)

    def _tensors(self, count: int, alignment: int) -> tuple[TensorInfo, ...]:
        tensors: list[TensorInfo] = []
        names: set[str] = set()
        for _ in range(count):
            tensor = self._tensor(alignment)
            if tensor.name in names:
                raise broken(self._path, f"It has the tensor {printable(tensor.name, 80)} twice")
            names.add(tensor.name)
            tensors.append(tensor)
        return tuple(tensors)

    def _tensor(self, alignment: int) -> TensorInfo:
        name = self._string(MAX_NAME_BYTES, "tensor name")
        n_dimensions = self._u32()
        if n_dimensions > MAX_DIMENSIONS:
            raise broken(self._path, f"Its tensor {printable(name, 80)} has {n_dimensions} dimensions; {MAX_DIMENSIONS} are possible")
        size = 8 * n_dimensions + 12
        self._need(size)
        *shape, type_id, offset = struct.unpack_from(f"<{n_dimensions}QIQ", self._buffer, self._at)
        self._at += size
        kind = GGML_TYPES.get(type_id)
        if type_id in DROPPED_TYPES:
            dropped, instead = (name.upper() for name in DROPPED_TYPES[type_id])
            hint = f"Take its {instead}: it is as fast now" if instead else "Download a newer conversion"
            raise broken(self._path, f"Its weights are {dropped}, which llama.cpp no longer reads", hint)
        if kind is None:
            hint = "Update xchat, or pick another quant"
            raise broken(self._path, f"Its tensor {printable(name, 80)} has the type {type_id}, which this build does not know", hint)
        n_elements = math.prod(shape)
        row = shape[0] if shape else 1
        if n_elements >= 1 << 62 or row % kind.block:
            raise broken(self._path, f"Its tensor {printable(name, 80)} has the impossible shape {'x'.join(map(str, shape))}")
        if offset % alignment or offset >= 1 << 62:
            raise broken(self._path, f"Its tensor {printable(name, 80)} lies at the impossible offset {offset}")
        return TensorInfo(name, tuple(shape), type_id, offset, n_elements, kind.row_bytes(n_elements))

    def _u32(self) -> int:
        self._need(4)
        value: int = _U32.unpack_from(self._buffer, self._at)[0]
        self._at += 4
        return value

    def _u64(self) -> int:
        self._need(8)
        value: int = _U64.unpack_from(self._buffer, self._at)[0]
        self._at += 8
        return value

    def _string(self, limit: int, what: str) -> str:
        length = self._u64()
        if length > limit:
            raise self._short() if length > self._file_bytes else broken(self._path, f"It has a {printable(what, 80)} of {length:,} bytes")
        self._need(length)
        self._at += length
        return self._buffer[self._at - length : self._at].decode("utf-8", "replace")

    def _claims(self, count: int, least_bytes: int, what: str) -> None:
        """Refuse a count that the rest of the file has no room for."""
        if count * least_bytes > self._file_bytes - self._at:
            raise broken(self._path, f"It claims {count:,} {what}, more than fit into its {self._file_bytes:,} bytes", "Download it again")

    def _need(self, size: int) -> None:
        if self._at + size > len(self._buffer):
            self._fill(self._at + size)

    def _fill(self, end: int) -> None:
        """Have the first `end` bytes of the file in the buffer."""
        if end <= len(self._buffer):
            return
        if end > self._file_bytes:
            raise self._short()
        if end > MAX_HEADER_BYTES:
            raise broken(self._path, f"Its header is longer than {MAX_HEADER_BYTES >> 20} MiB")
        wanted = min(max(end, 4 * len(self._buffer), _FIRST_READ), MAX_HEADER_BYTES, self._file_bytes)
        parts = [self._buffer]
        have = len(self._buffer)
        while have < wanted:
            part = self._file.read(wanted - have)
            if not part:
                raise self._short()
            parts.append(part)
            have += len(part)
        self._buffer = b"".join(parts)

    def _short(self) -> ModelError:
        reason = f"It ends after {self._file_bytes:,} bytes, in the middle of its header"
        return broken(self._path, reason, "Download it again; the download was cut")

    def _not_gguf(self) -> ModelError:
        head = self._buffer
        for magic, what, hint in _LOOKALIKES:
            if head.lstrip().startswith(magic):
                return ModelError(f"{file_name(self._path)} is not a GGUF file", f"It is {what}", hint or _PICK_ANOTHER)
        if head[8:9] == b"{" and _U64.unpack_from(head.ljust(8, b"\0"))[0] < self._file_bytes:
            hint = "Convert it to GGUF with llama.cpp's convert_hf_to_gguf.py, or download the model as GGUF"
            return ModelError(f"{file_name(self._path)} is not a GGUF file", "It is a safetensors file", hint)
        if not head.strip(b"\0"):
            return broken(
                self._path, "It begins with zeros: space was reserved for it, but the download never finished", "Download it again"
            )
        return ModelError(f"{file_name(self._path)} is not a GGUF file", "It does not begin with the letters GGUF", _PICK_ANOTHER)
