"""A model's file, or the shards of one: seen, brought into the page cache, and told apart from others."""

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
"""Bytes read between two looks at the cancel flag."""
_SAMPLE: Final = 256 << 10
"""Distance of the single bytes that tell whether a chunk is in the page cache."""

_FINGERPRINT_HEAD: Final = 16 << 20
"""Bytes hashed from the beginning: the metadata and the tokenizer of every model known."""
_FINGERPRINT_SAMPLES: Final = 256
_FINGERPRINT_SAMPLE_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model on disk, seen at one moment."""

    shards: tuple[Path, ...]
    size: int
    identity: str
    """The same as long as the files on disk are the same."""
    facts: ModelFacts

    @property
    def path(self) -> Path:
        """What the native library is given: the first shard."""
        return self.shards[0]


def examine(path: Path) -> ModelFile:
    """Look at a model file without loading it.

    Raises:
        ModelError: when it is missing, unreadable, no GGUF, no chat model, cut, or a shard of an incomplete set.

    """
    checked = check_model(path.expanduser().absolute())
    size, identity = _identity(checked.parts)
    return ModelFile(checked.parts, size, identity, checked.facts)


def identity_of(path: Path) -> str:
    """The `ModelFile.identity` that `examine` would find, without reading the file.

    Raises:
        ModelError: when it can't be found.

    """
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
    """What tells whether these files are changed later; None for one that can't be seen."""
    return tuple(map(_stamp, shards))


def overwritten(shards: Sequence[Path], before: Sequence[Stamp | None]) -> bool:
    """Whether one of the files was changed in place since; another file under the same name is no change of the one before."""
    pairs = ((old, _stamp(shard)) for shard, old in zip(shards, before, strict=False))
    return any(old is not None and now is not None and old[:2] == now[:2] and old != now for old, now in pairs)


def _stamp(path: Path) -> Stamp | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def read_ahead(file: ModelFile, progressed: Callable[[float], bool]) -> bool:
    """Bring a model into the page cache, so that the load after it, which can't be interrupted there, is short.

    `progressed` is told the fraction done and says whether to go on. Chunks that are in memory already are not read again.
    Returns False when it was told to stop.
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
    """Whether single bytes all over a chunk can be read without waiting for the disk."""
    if not sys.platform.startswith("linux"):
        return False
    byte = bytearray(1)
    try:
        return all(os.preadv(descriptor, [byte], at, os.RWF_NOWAIT) for at in range(start, start + size, _SAMPLE))
    except OSError:
        return False


def fingerprint(file: ModelFile) -> str:
    """A hash over the metadata and samples of the weights: the same for a copy, another one for other weights or another tokenizer."""
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
