"""Write a file whole or not at all, so that a full disk or a killed program never leaves half of one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give an empty file beside `path`, readable by its owner only, that takes the place of `path` when the block ends.

    When the block raises, the file is removed and `path` is untouched.

    Raises OSError when the folder is missing, or the disk refuses.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name[:40]}.", dir=path.parent)
    temporary = Path(name)
    try:
        try:
            yield temporary
            os.fsync(handle)
        finally:
            os.close(handle)
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def write_atomically(path: Path, data: bytes) -> None:
    """Replace `path` by `data`, readable by its owner only; raises OSError, and then the old file is untouched."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with replacing(path) as temporary:
        temporary.write_bytes(data)
