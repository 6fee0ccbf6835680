"""A model's file or its shards: checked, read ahead into the page cache, and fingerprinted."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.errors import ModelError
from engine.models.check import check_model, parts_of
from engine.models.facts import ModelFacts
from engine.text import file_name, printable

_CHUNK: Final = 4 << 20
"""Bytes read between two checks of the cancel flag."""
_SAMPLE: Final = 256 << 10
"""Distance of the bytes that are read to test whether a chunk is in the page cache."""

_FINGERPRINT_HEAD: Final = 16 << 20
"""Bytes hashed from the beginning; they include the metadata and the tokenizer of all known models."""
_FINGERPRINT_SAMPLES: Final = 256
_FINGERPRINT_SAMPLE_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model on disk at one moment."""

    shards: tuple[Path, ...]
    size: int
    identity: str
    """Changes when the files on disk change."""
    facts: ModelFacts

    @property
    def path(self) -> Path:
        """The path for the native library: the first shard."""
        return self.shards[0]


def examine(path: Path) -> ModelFile:
    """Check a model file without loading it.

    Raises ModelError when it is missing, unreadable, not a GGUF, not a chat model, truncated, or a shard of an incomplete set.
    """
    checked = check_model(path.expanduser().absolute())
    size, identity = _identity(checked.parts)
    return ModelFile(checked.parts, size, identity, checked.facts)


def identity_of(path: Path) -> str:
    """Return the `ModelFile.identity` of a file, without reading it. Raises ModelError when it can't be found."""
    return _identity(parts_of(path.expanduser().absolute()))[1]


def _identity(shards: tuple[Path, ...]) -> tuple[int, str]:
    try:
        stats = [shard.stat() for shard in shards]
    except OSError as error:
        reason = f"{error.strerror or 'It is not there'}: {printable(str(error.filename or shards[0]), 300)}"
        raise ModelError(f"{file_name(shards[0])} can't be read", reason, "Check the path.") from error
    size = sum(stat.st_size for stat in stats)
    return size, f"{shards[0]}|{size}|{max(stat.st_mtime_ns for stat in stats)}"


Stamp = tuple[int, int, int, int]
"""Device, inode, size and time of the last change of a file."""


def stamps_of(shards: Sequence[Path]) -> tuple[Stamp | None, ...]:
    """Stamps to detect later changes of these files; None for one that can't be read."""
    return tuple(map(_stamp, shards))


def overwritten(shards: Sequence[Path], before: Sequence[Stamp | None]) -> bool:
    """Return whether one of the files was changed in place since; another file under the same name does not count."""
    pairs = ((old, _stamp(shard)) for shard, old in zip(shards, before, strict=False))
    return any(old is not None and now is not None and old[:2] == now[:2] and old != now for old, now in pairs)


def _stamp(path: Path) -> Stamp | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def read_ahead(file: ModelFile, progressed: Callable[[float], bool]) -> bool:
    """Read a model into the page cache, so that the native load, which can't be interrupted, is short.

    `progressed` gets the fraction done and returns whether to continue. Cached chunks are not read again. Returns False when stopped.
    """
    buffer = bytearray(_CHUNK)
    done = 0
    for shard in file.shards:
        with shard.open("rb", buffering=0) as source:
            descriptor, length = source.fileno(), os.fstat(source.fileno()).st_size
            for start in range(0, length, _CHUNK):
                size = min(_CHUNK, length - start)
                if not _resident(descriptor, start, size) and not os.preadv(descriptor, [memoryview(buffer)[:size]], start):
                    break
                done += size
                if not progressed(done / file.size):
                    return False
    return True


def _resident(descriptor: int, start: int, size: int) -> bool:
    """Return whether sampled bytes of a chunk can be read without waiting for the disk."""
    if not sys.platform.startswith("linux"):
        return False
    byte = bytearray(1)
    try:
        return all(os.preadv(descriptor, [byte], at, os.RWF_NOWAIT) for at in range(start, start + size, _SAMPLE))
    except OSError:
        return False


def fingerprint(file: ModelFile) -> str:
    """Return a hash of the metadata and samples of the weights: equal for a copy, different for other weights or tokenizers."""
    digest = hashlib.blake2b(digest_size=16)
    for shard in file.shards:
        with shard.open("rb", buffering=0) as source:
            descriptor, length = source.fileno(), os.fstat(source.fileno()).st_size
            digest.update(length.to_bytes(8, "little"))
            digest.update(os.pread(descriptor, min(length, _FINGERPRINT_HEAD), 0))
            step = max(_FINGERPRINT_SAMPLE_BYTES, length // _FINGERPRINT_SAMPLES)
            for start in range(_FINGERPRINT_HEAD, length, step):
                digest.update(os.pread(descriptor, _FINGERPRINT_SAMPLE_BYTES, start))
    return digest.hexdigest()
