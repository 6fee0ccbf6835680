"""The folder of pictures: each stored once under the digest of its content, which messages refer to."""

from __future__ import annotations

import hashlib
import re
import subprocess
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from engine import child
from engine.atomic_write import write_atomically
from engine.errors import UsageError
from engine.paths import data_dir
from engine.pictures.png import decoded, size_of
from engine.text import one_line

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SUFFIXES: Final = frozenset((".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff"))
LARGEST: Final = 50_000_000
"""Bytes of a picture's file."""
NEW_S: Final = 86_400
"""Age up to which a picture may belong to an unsent message."""
CONVERT_S: Final = 60.0
"""Longest time to decode a picture."""
_MISSING: Final = 3
_DIGEST: Final = 24
"""Hexadecimal digits."""
_NAME: Final = 120
_REFERENCE: Final = re.compile(rf"\[picture ([^\[\]\n]{{1,{_NAME + 40}}}), (\d{{1,4}})×(\d{{1,4}}), ([0-9a-f]{{{_DIGEST}}})\]")


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of the folder, as a message names it."""

    name: str
    width: int
    height: int
    digest: str

    def __str__(self) -> str:
        """Return the picture's reference in a message: readable wherever messages are shown, and found again by `pictures_in`."""
        return f"[picture {self.name}, {self.width}×{self.height}, {self.digest}]"


def pictures_in(text: str) -> Iterator[tuple[int, int, Picture]]:
    """Yield the pictures that a message names, each with its position in the text, even those no longer in the folder."""
    for match in _REFERENCE.finditer(text):
        yield match.start(), match.end(), Picture(match[1], int(match[2]), int(match[3]), match[4])


def take(data: bytes, name: str) -> Picture:
    """Store a picture in the folder and return it; a limited child process decodes it, since decoders are native code.

    Raises UsageError when it can't be decoded, is too large, or Pillow is missing.
    """
    command = child.command("engine.pictures.convert")
    try:
        done = subprocess.run(command, input=data, capture_output=True, timeout=CONVERT_S, env=child.environment(), check=False)
    except subprocess.TimeoutExpired as error:
        raise UsageError(f"{name} can't be attached", f"It was not read within {CONVERT_S:.0f} s") from error
    said = done.stderr.decode("utf-8", "replace").strip()
    if done.returncode == _MISSING:
        hint = "Install it with xchat: `pip install 'xchat-llama[pictures]'`"
        raise UsageError(f"{name} can't be attached", "The library that reads pictures is missing (Pillow)", hint)
    if done.returncode < 0:
        raise UsageError(f"{name} can't be attached", "Reading it took too much time or memory")
    try:
        width, height = size_of(done.stdout)
    except ValueError:
        raise UsageError(f"{name} can't be attached", said.splitlines()[-1][:200] if said else "It can't be read") from None
    digest = hashlib.sha256(done.stdout).hexdigest()[:_DIGEST]
    path = file_of(digest)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomically(path, done.stdout)
    shown = re.sub(r"[\[\]]", "", one_line(name))[-_NAME:] or "picture"
    return Picture(shown if said in {"", "1"} else f"{shown} (first of {said[:9]} frames)", width, height, digest)


def file_of(digest: str) -> Path:
    """Return the path of a picture, which may not exist."""
    return data_dir() / "pictures" / f"{digest}.png"


def pixels_of(picture: Picture) -> NDArray[np.uint8] | None:
    """Return its pixels, of shape (height, width, 3); None when it is no longer in the folder or differs from its digest."""
    data = data_of(picture)
    with suppress(ValueError):
        return decoded(data) if data is not None else None
    return None


def data_of(picture: Picture) -> bytes | None:
    """Return its PNG; None when it is no longer in the folder or differs from its digest."""
    try:
        data = file_of(picture.digest).read_bytes()
    except OSError:
        return None
    return data if hashlib.sha256(data).hexdigest()[:_DIGEST] == picture.digest else None


def remove_unused(texts: Iterable[str]) -> int:
    """Remove the pictures that none of these messages names, except new ones (their message may be unsent); return the number removed."""
    used = {picture.digest for text in texts for _, _, picture in pictures_in(text)}
    removed = 0
    for path in file_of("").parent.glob("*.png"):
        with suppress(OSError):
            if path.stem not in used and time.time() - path.stat().st_mtime > NEW_S:
                path.unlink()
                removed += 1
    return removed
