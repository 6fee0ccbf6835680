"""The model's disk: read speed, mount, and cached pages of a file."""

from __future__ import annotations

import mmap
import os
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_BLOCK = 4 << 20
MOST_READ = 64 << 20
"""Bytes read to measure a disk."""
LONGEST_S = 1.0
"""Time limit of the measurement on a slow disk."""


def read_speed(path: Path) -> float | None:
    """Measure a cold read in bytes per second; None where the file system can't bypass the page cache.

    O_DIRECT neither uses the page cache nor evicts anything from it.
    """
    direct = getattr(os, "O_DIRECT", None)
    if direct is None:
        return None
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | direct)
    except OSError:
        return None
    total, began = 0, time.perf_counter()
    try:
        with mmap.mmap(-1, _BLOCK) as buffer:  # O_DIRECT needs a buffer that is aligned to pages
            while total < MOST_READ and time.perf_counter() - began < LONGEST_S:
                got = os.preadv(descriptor, [buffer], total)
                total += got
                if got < _BLOCK:
                    break
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return total / max(time.perf_counter() - began, 1e-9) if total else None


@dataclass(frozen=True, slots=True)
class Mount:
    """The mounted file system of a file."""

    point: str
    kind: str
    """The type of the file system, such as `ext4`."""
    device: str


def mount_of(path: Path, mountinfo: str) -> Mount | None:
    """Find the mount of a file in the text of /proc/self/mountinfo; the last of equally long ones is on top."""
    best: Mount | None = None
    real = os.path.realpath(path)
    for line in mountinfo.splitlines():
        with suppress(ValueError, IndexError):
            left, right = line.split(" - ", 1)
            point = re.sub(r"\\(\d{3})", lambda match: chr(int(match[1], 8)), left.split()[4])
            kind, device = right.split()[:2]
            inside = real == point or real.startswith(point.rstrip("/") + "/")
            if inside and (best is None or len(point) >= len(best.point)):
                best = Mount(point, kind, device)
    return best


def let_go(path: Path) -> None:
    """Drop a file from the page cache, except pages that a program has mapped."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)
