"""Reads the memory of this process by kind, the resident part of the model's file, and the available memory.

`rss = anon + file + shmem` as the kernel counts them. Pages of the model's file are `file`: they count for this process while mapped, but
the kernel can drop them, so they also count as available.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from engine.host.procfs import KernelFile
from engine.host.value import Reading, Unavailable

KIB = 1024

NOT_LINUX = Unavailable("only Linux reports this")
_OWNER_ONLY = Unavailable("the kernel reports this to the file's owner only")


@dataclass(frozen=True, slots=True)
class MemoryFigures:
    """Memory figures in bytes."""

    rss: Reading
    """Resident memory of this process."""
    anon: Reading = NOT_LINUX
    """Its private part: KV cache, compute buffers, repacked weights, Python."""
    file: Reading = NOT_LINUX
    """Its pages of mapped files: weights and libraries."""
    shmem: Reading = NOT_LINUX
    """Its shared memory."""
    swap: Reading = NOT_LINUX
    """Its swapped-out part."""
    total: Reading = NOT_LINUX
    """RAM of the machine."""
    available: Reading = NOT_LINUX
    """RAM available without swapping."""
    swap_used: Reading = NOT_LINUX
    """Swap in use by the whole machine."""
    limit: Reading = NOT_LINUX
    """The cgroup's limit, where it is below the machine's memory."""


def parse_fields(text: str) -> dict[str, int]:
    """Parse the `Name:   123 kB` lines of /proc/self/status and /proc/meminfo; returns bytes by name."""
    fields = {}
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if len(words) == 2 and words[1] == "kB" and words[0].isdigit():
            fields[name] = int(words[0]) * KIB
    return fields


class LinuxMemory:
    """Reads /proc/self/status and /proc/meminfo."""

    def __init__(self, proc: Path) -> None:
        self._status = KernelFile(proc / "self/status")
        self._meminfo = KernelFile(proc / "meminfo")

    def read(self, limit: Reading) -> MemoryFigures:
        """Return the current figures; `limit` is the cgroup's."""
        mine = _readings(self._status, "/proc/self/status")
        machine = _readings(self._meminfo, "/proc/meminfo")
        total, free = machine("SwapTotal"), machine("SwapFree")
        return MemoryFigures(
            rss=mine("VmRSS"),
            anon=mine("RssAnon"),
            file=mine("RssFile"),
            shmem=mine("RssShmem"),
            swap=mine("VmSwap"),
            total=machine("MemTotal"),
            available=machine("MemAvailable"),
            swap_used=total - free if isinstance(total, float) and isinstance(free, float) else Unavailable("/proc/meminfo can't be read"),
            limit=limit,
        )

    def close(self) -> None:
        """Close the files."""
        self._status.close()
        self._meminfo.close()


class _Fields:
    def __init__(self, fields: dict[str, int] | None, name: str) -> None:
        self._fields = fields
        self._name = name

    def __call__(self, field: str) -> Reading:
        if self._fields is None:
            return Unavailable(f"{self._name} can't be read")
        return float(self._fields[field]) if field in self._fields else Unavailable(f"this kernel's {self._name} has no {field}")


def _readings(file: KernelFile, name: str) -> _Fields:
    text = file.read()
    return _Fields(None if text is None else parse_fields(text), name)


@dataclass(frozen=True, slots=True)
class Residency:
    """A file mapped into this process. Bytes."""

    mapped: int
    resident: int
    """The part that is in RAM."""


def file_residency(path: Path, proc: Path = Path("/proc")) -> Residency | Unavailable:
    """Measure the resident part of a mapped file (mincore); takes 0.3 ms per GB of file."""
    if not hasattr(os, "getuid"):
        return NOT_LINUX
    try:
        owner = path.stat().st_uid
        maps = (proc / "self/maps").read_text("utf-8", "replace")
    except OSError:
        return NOT_LINUX
    if os.getuid() not in (0, owner) and not os.access(path, os.W_OK):
        return _OWNER_ONLY
    name = str(path.resolve())
    ranges = [line.split(maxsplit=1)[0] for line in maps.splitlines() if line.endswith(name)]
    if not ranges:
        return Unavailable("the file is read into private memory, not mapped")
    mapped = resident = 0
    for start, end in ((int(number, 16) for number in span.split("-")) for span in ranges):
        pages = _resident_pages(start, end - start)
        if pages is None:
            return Unavailable("the mapping changed while it was read")
        mapped += end - start
        resident += pages * mmap.PAGESIZE
    return Residency(mapped, resident)


def cached_bytes(path: Path) -> float | Unavailable:
    """Count the bytes of a file in the page cache; takes 0.3 ms per GB."""
    if not sys.platform.startswith("linux"):
        return NOT_LINUX
    import numpy as np  # imported here, since it would delay the first frame by 80 ms

    try:
        status = path.stat()
        if os.getuid() not in (0, status.st_uid) and not os.access(path, os.W_OK):
            return _OWNER_ONLY
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ, flags=mmap.MAP_SHARED) as mapped:
            view = np.frombuffer(mapped, np.uint8)
            pages = _resident_pages(view.ctypes.data, status.st_size)
            del view  # a map can't be closed while a view of it exists
    except (OSError, ValueError) as error:
        return Unavailable(f"the file can't be mapped: {error}")
    return Unavailable("the kernel does not report it") if pages is None else float(min(status.st_size, pages * mmap.PAGESIZE))


def _resident_pages(address: int, length: int) -> int | None:
    """Count the pages of a range of this process that are in RAM."""
    libc = ctypes.CDLL(None)
    libc.mincore.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p)
    count = -(-length // mmap.PAGESIZE)
    vector = ctypes.create_string_buffer(count)
    if libc.mincore(address, length, vector) != 0:
        return None
    return count - vector.raw.count(b"\0", 0, count)
