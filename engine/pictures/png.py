"""PNG files of the folder of pictures: RGB, in one fixed encoding; no other PNG is read."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LONGEST_SIDE: Final = 2048
"""Pixels of a side; larger pictures are scaled down."""
_MAGIC: Final = b"\x89PNG\r\n\x1a\n"
_HEADER: Final = struct.Struct(">IIBBBBB")
_RGB: Final = (8, 2, 0, 0, 0)
"""Eight bits, RGB, the usual compression and filters, not interlaced."""
_UP: Final = 2
"""The filter of every row: the difference from the row above."""


def encoded(pixels: NDArray[np.uint8]) -> bytes:
    """Return the PNG of pixels of shape (height, width, 3)."""
    import numpy as np

    height, width, _ = pixels.shape
    rows = pixels.reshape(height, width * 3)
    filtered = np.full((height, 1 + width * 3), _UP, np.uint8)
    filtered[0, 1:] = rows[0]
    filtered[1:, 1:] = rows[1:] - rows[:-1]
    return b"".join(
        (
            _MAGIC,
            _chunk(b"IHDR", _HEADER.pack(width, height, *_RGB)),
            _chunk(b"IDAT", zlib.compress(filtered.tobytes())),
            _chunk(b"IEND", b""),
        )
    )


def size_of(data: bytes) -> tuple[int, int]:
    """Return width and height of such a PNG.

    Raises ValueError for any other file.
    """
    start = len(_MAGIC) + 8
    if len(data) < start + _HEADER.size or not data.startswith(_MAGIC):
        raise ValueError("It is not a PNG of xchat")
    width, height, *rest = _HEADER.unpack_from(data, start)
    if tuple(rest) != _RGB or not 0 < width <= LONGEST_SIDE or not 0 < height <= LONGEST_SIDE:
        raise ValueError("It is not a PNG of xchat")
    return width, height


def decoded(data: bytes) -> NDArray[np.uint8]:
    """Return the pixels of such a PNG, of shape (height, width, 3).

    Raises ValueError for any other or a damaged file.
    """
    import numpy as np

    width, height = size_of(data)
    start = len(_MAGIC) + 12 + _HEADER.size
    length = int.from_bytes(data[start : start + 4])
    body = data[start + 4 : start + 8 + length]
    if body[:4] != b"IDAT" or data[start + 8 + length : start + 12 + length] != zlib.crc32(body).to_bytes(4):
        raise ValueError("The PNG is damaged")
    row = 1 + width * 3
    try:
        raw = zlib.decompressobj().decompress(body[4:], height * row + 1)
    except zlib.error as error:
        raise ValueError("The PNG is damaged") from error
    if len(raw) != height * row:
        raise ValueError("The PNG is damaged")
    filtered = np.frombuffer(raw, np.uint8).reshape(height, row)
    if (filtered[:, 0] != _UP).any():
        raise ValueError("It is not a PNG of xchat")
    return np.cumsum(filtered[:, 1:], axis=0, dtype=np.uint8).reshape(height, width, 3)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return b"".join((len(data).to_bytes(4), kind, data, zlib.crc32(kind + data).to_bytes(4)))
