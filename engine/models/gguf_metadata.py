"""Reads the numbers, strings and metadata at the start of a GGUF file, fast and without trusting them.

Arrays of strings (a vocabulary has 150,000 tokens and as many merges) are skipped, not decoded. Every count is compared with the size of
the file before memory is allocated for it. The file is read, not mapped, because a mapped file that shrinks meanwhile kills the process.
"""

from __future__ import annotations

import hashlib
import struct
from operator import length_hint
from pathlib import Path
from typing import BinaryIO

from engine.errors import ModelError
from engine.models.gguf_contents import PICK_ANOTHER, SkippedArray, Value, broken
from engine.numbers import byte_size
from engine.text import file_name, printable

MAX_HEADER_BYTES = 256 * 1024 * 1024
"""Longest header accepted; real ones are far smaller."""
MAX_STRINGS = 8_000_000
"""Most strings skipped in one file, so that a gigabyte of empty strings can't block the program."""
MAX_KEY_BYTES = 65_535
MAX_ENTRIES = 65_536
"""Most metadata entries; real files have fewer than a hundred."""
MAX_TEXT_BYTES = 1 << 20
"""Longest string that is decoded; longer ones are cut."""
MAX_DECODED = 1_000_000
"""Most elements of arrays that are decoded in one file."""
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


def open_model(path: Path) -> BinaryIO:
    """Open a model file; raises ModelError with a hint for a missing, unreadable or special one."""
    try:
        if path.is_dir():
            raise ModelError(f"{file_name(path)} is a folder", "A model is one GGUF file (or the first of its parts)", "Name a file in it")
        if path.exists() and not path.is_file():
            raise ModelError(f"{file_name(path)} is not a regular file", "", PICK_ANOTHER)
        return path.open("rb", buffering=0)
    except FileNotFoundError as error:
        raise ModelError(f"{file_name(path)} does not exist", f"No file at {printable(str(path), 500)}", "Check the path") from error
    except PermissionError as error:
        raise ModelError(f"{file_name(path)} can't be read", "No permission", f"Try: chmod u+r {printable(str(path), 500)}") from error
    except (OSError, ValueError) as error:
        raise ModelError(f"{file_name(path)} can't be opened", printable(str(error)), "Check the path and the disk") from error


class KnownArrays:
    """String arrays of other files: quants of a model have the same vocabulary, and comparing is 20 times faster than walking."""

    def __init__(self) -> None:
        self._arrays: dict[tuple[str, int], list[bytes]] = {}
        self._bytes = 0

    def length_at(self, key: str, count: int, buffer: bytes, at: int) -> int:
        """Return the length in bytes of the array at `at` of `buffer` if it is a known one, else 0."""
        known = self._arrays.get((key, count), ())
        return next((len(array) for array in known if buffer.startswith(array, at)), 0)

    def longest(self, key: str, count: int) -> int:
        """Return the length in bytes of the longest known array of that key and count."""
        return max(map(len, self._arrays.get((key, count), ())), default=0)

    def remember(self, key: str, count: int, array: bytes) -> None:
        """Add an array, if there is room."""
        if self._bytes + len(array) <= _MOST_KNOWN_BYTES:
            self._bytes += len(array)
            self._arrays.setdefault((key, count), []).append(array)


class Source:
    """A reader of one file, front to back. `buffer` has the file's first bytes and grows as `at` advances."""

    def __init__(self, path: Path, file: BinaryIO, known: KnownArrays | None) -> None:
        self.path = path
        self._known = known
        self._file = file
        self.file_bytes = file.seek(0, 2)
        file.seek(0)
        self.buffer = b""
        self.at = 0
        self._strings_left = MAX_STRINGS
        self._decoded_left = MAX_DECODED
        self.vocabulary_digest = ""
        """Digest of the tokens' bytes, once they are read."""

    def metadata(self, count: int) -> dict[str, Value]:
        """Read the next `count` entries."""
        metadata: dict[str, Value] = {}
        for _ in range(count):
            key = self.string(MAX_KEY_BYTES, "metadata key")
            if key in metadata:
                raise broken(self.path, f"Its metadata has {printable(key, 80)} twice")
            metadata[key] = self._value(key, self.u32())
        return metadata

    def _value(self, key: str, type_id: int) -> Value:
        scalar = _SCALARS.get(type_id)
        if scalar is not None:
            self.need(scalar.size)
            value: int | float | bool = scalar.unpack_from(self.buffer, self.at)[0]
            self.at += scalar.size
            return value
        if type_id == _STRING:
            return self.string(MAX_HEADER_BYTES, key)
        if type_id == _ARRAY:
            return self._array(key, self.u32())
        raise broken(self.path, f"Its metadata entry {printable(key, 80)} has the unknown type {type_id}")

    def _array(self, key: str, type_id: int) -> Value:
        count = self.u64()
        if type_id == _STRING:
            self.claims(count, 8, f"strings in {printable(key, 80)}")
            if count <= SMALL_STRING_ARRAY and key != _TOKENS:
                self._decode(count)
                return tuple(self.string(MAX_HEADER_BYTES, key) for _ in range(count))
            begin = self.at
            if not self._skip_known(key, count):
                self._skip_strings(count)
                if self._known is not None:
                    self._known.remember(key, count, self.buffer[begin : self.at])
            if key == _TOKENS:
                with memoryview(self.buffer) as whole:
                    self.vocabulary_digest = hashlib.sha256(whole[begin : self.at]).hexdigest()[:32]
            return SkippedArray(type_id, count)
        scalar = _SCALARS.get(type_id)
        if scalar is None:
            raise broken(self.path, f"Its metadata array {printable(key, 80)} has the unknown type {type_id}")
        self.claims(count, scalar.size, f"values in {printable(key, 80)}")
        begin = self.at
        self.at += count * scalar.size
        if count > SMALL_ARRAY:
            return SkippedArray(type_id, count)
        self._decode(count)
        self.fill(self.at)
        return struct.unpack_from(f"<{count}{scalar.format[-1]}", self.buffer, begin)

    def _decode(self, count: int) -> None:
        """Count elements that are decoded to Python objects, and raise beyond the limit."""
        self._decoded_left -= count
        if self._decoded_left < 0:
            raise broken(self.path, f"Its metadata has more than {MAX_DECODED:,} numbers")

    def _skip_known(self, key: str, count: int) -> bool:
        """Skip an array that another file has too; False when it is a different one."""
        if self._known is None:
            return False
        self.fill(min(self.at + self._known.longest(key, count), self.file_bytes, MAX_HEADER_BYTES))
        length = self._known.length_at(key, count, self.buffer, self.at)
        self.at += length
        return length > 0

    def _skip_strings(self, count: int) -> None:
        self._strings_left -= count
        if self._strings_left < 0:
            raise broken(self.path, f"It has more than {MAX_STRINGS:,} strings")
        unpack, at, left = _U64.unpack_from, self.at, count
        while left:
            walk, buffer = iter(range(left)), self.buffer
            try:
                for _ in walk:
                    at += 8 + unpack(buffer, at)[0]
                left = 0
            except (struct.error, OverflowError):
                left = 1 + length_hint(walk)
                self.fill(at + 8)
        self.at = at
        self.fill(at)

    def u32(self) -> int:
        """Read the next four bytes."""
        self.need(4)
        value: int = _U32.unpack_from(self.buffer, self.at)[0]
        self.at += 4
        return value

    def u64(self) -> int:
        """Read the next eight bytes."""
        self.need(8)
        value: int = _U64.unpack_from(self.buffer, self.at)[0]
        self.at += 8
        return value

    def string(self, limit: int, what: str) -> str:
        """Read the next string, refused if longer than `limit` bytes, cut if longer than `MAX_TEXT_BYTES`."""
        length = self.u64()
        if length > limit:
            raise self._short() if length > self.file_bytes else broken(self.path, f"It has a {printable(what, 80)} of {length:,} bytes")
        self.need(length)
        begin = self.at
        self.at += length
        return self.buffer[begin : begin + min(length, MAX_TEXT_BYTES)].decode("utf-8", "replace")

    def claims(self, count: int, least_bytes: int, what: str) -> None:
        """Raise for a count that does not fit into the rest of the file."""
        if count * least_bytes > self.file_bytes - self.at:
            raise broken(self.path, f"It claims {count:,} {what}, more than fit into its {self.file_bytes:,} bytes", "Download it again")

    def need(self, size: int) -> None:
        """Read the next `size` bytes into the buffer."""
        if self.at + size > len(self.buffer):
            self.fill(self.at + size)

    def fill(self, end: int) -> None:
        """Read the first `end` bytes of the file into the buffer."""
        if end <= len(self.buffer):
            return
        if end > self.file_bytes:
            raise self._short()
        if end > MAX_HEADER_BYTES:
            raise broken(self.path, f"Its header is longer than {byte_size(MAX_HEADER_BYTES)}")
        wanted = min(max(end, 4 * len(self.buffer), _FIRST_READ), MAX_HEADER_BYTES, self.file_bytes)
        parts = [self.buffer]
        have = len(self.buffer)
        while have < wanted:
            part = self._file.read(wanted - have)
            if not part:
                raise self._short()
            parts.append(part)
            have += len(part)
        self.buffer = b"".join(parts)

    def _short(self) -> ModelError:
        reason = f"It ends after {self.file_bytes:,} bytes, in the middle of its header"
        return broken(self.path, reason, "Download it again; the download was cut")
