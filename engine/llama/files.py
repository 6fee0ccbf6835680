"""A GGUF file, or the shards of one, before the native library sees it: is it there, is it whole, can it be read, what is it."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.errors import ModelError
from engine.models.untrusted import file_name

MAGIC: Final = b"GGUF"
_SHARD = re.compile(r"(?P<stem>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")

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

    path: Path
    """The file the native library is given: the first shard of several."""
    shards: tuple[Path, ...]
    size: int
    mtime_ns: int
    """Of the shard that changed last."""

    @property
    def identity(self) -> str:
        """The same as long as the file on disk is the same."""
        return f"{self.path}|{self.size}|{self.mtime_ns}"


def examine(path: Path) -> ModelFile:
    """Look at a model file without loading it.

    Raises:
        ModelError: when it is missing, a folder, unreadable, empty, not a GGUF, or a shard of an incomplete set.
    """
    name = file_name(path)
    path = path.expanduser().absolute()
    first = _first_shard(path)
    shards = _shards(first)
    size, newest = 0, 0
    for shard in shards:
        try:
            if shard.is_dir():
                raise ModelError(f"{name} is a folder", hint="Name a .gguf file in it.")
            with shard.open("rb") as file:
                magic = file.read(len(MAGIC))
                stat = os.fstat(file.fileno())
        except FileNotFoundError:
            if len(shards) > 1:
                raise ModelError(
                    f"{name} is incomplete",
                    f"it comes in {len(shards)} parts, and {file_name(shard)} is missing",
                    "Put all parts into one folder.",
                ) from None
            raise ModelError(f"{name} does not exist", f"looked for {_printable_path(path)}", "Check the path.") from None
        except PermissionError:
            raise ModelError(f"{name} can't be read", "no permission", "Make the file readable for your user.") from None
        except OSError as error:
            raise ModelError(f"{name} can't be read", error.strerror or str(error), "Check the disk, or take another copy.") from error
        if not stat.st_size:
            raise ModelError(f"{file_name(shard)} is empty", hint="Download it again.")
        if magic != MAGIC:
            raise ModelError(f"{file_name(shard)} is not a GGUF file", "it begins with other bytes", "Choose a .gguf model file.")
        size += stat.st_size
        newest = max(newest, stat.st_mtime_ns)
    return ModelFile(first, shards, size, newest)


def _printable_path(path: Path) -> str:
    return "/".join(file_name(Path(part)) if part != "/" else "" for part in path.parts) or "/"


def _first_shard(path: Path) -> Path:
    match = _SHARD.fullmatch(path.name)
    return path.with_name(f"{match['stem']}-00001-of-{match['count']}.gguf") if match and int(match["count"]) > 1 else path


def _shards(first: Path) -> tuple[Path, ...]:
    match = _SHARD.fullmatch(first.name)
    if match is None:
        return (first,)
    count = int(match["count"])
    return tuple(first.with_name(f"{match['stem']}-{number:05d}-of-{count:05d}.gguf") for number in range(1, count + 1))


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
