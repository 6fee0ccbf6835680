"""Writes files atomically, so that a full disk or a killed program never leaves a partial one."""

from __future__ import annotations

import os
import re
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield an empty file, readable by its owner only, that replaces `path` when the block ends.

    When the block raises, the file is removed and `path` is unchanged. Where the system supports it, the file has no name, so that even a
    killed program leaves nothing; its path is then below `/proc`.

    Raises OSError when the folder is missing, or writing fails.
    """
    beside = path.with_name(f".{path.name[:40]}.{secrets.token_hex(8)}")
    handle = _nameless(path.parent)
    try:
        if handle is None:
            handle, name = tempfile.mkstemp(prefix=f".{path.name[:40]}.", dir=path.parent)
            beside = temporary = Path(name)
        else:
            temporary = Path(f"/proc/self/fd/{handle}")
        try:
            yield temporary
            os.fsync(handle)
            if temporary != beside:
                _link(temporary, beside)
        finally:
            os.close(handle)
        beside.replace(path)
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise


def _nameless(folder: Path) -> int | None:
    """Open a file without a name in a folder; None where that is not supported."""
    try:
        return os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600) if os.path.isdir("/proc/self/fd") else None
    except (AttributeError, OSError):
        return None


def _link(nameless: Path, name: Path) -> None:
    folder = os.open(name.parent, os.O_PATH | os.O_CLOEXEC)
    try:
        os.link(
            nameless, name.name, src_dir_fd=folder, dst_dir_fd=folder
        )  # without the folders, link(2) would not follow the one below /proc
    finally:
        os.close(folder)


def remove_left(folder: Path, before: str, after: str) -> None:
    """Remove files of ended processes in a folder: those named by `before`, the process id, and `after`.

    `after` is a regular expression.
    """
    import psutil

    named = re.compile(rf"{re.escape(before)}([0-9]{{1,10}}){after}")
    with suppress(OSError):
        for path in folder.iterdir():
            owner = named.fullmatch(path.name)
            if owner is not None and not psutil.pid_exists(int(owner[1])):
                with suppress(OSError):
                    path.unlink()


def write_atomically(path: Path, data: bytes) -> None:
    """Replace `path` by `data`, readable by its owner only; on OSError the old file is unchanged."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with replacing(path) as temporary:
        temporary.write_bytes(data)
