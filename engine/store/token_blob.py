"""Packs the timestamps and ids of a turn's tokens into compact blobs.

Layout: one version byte, then one number per token as a zigzag varint (7 bits per byte, least significant first, high bit set on all but
the last). Version 1 has timestamps: the first value, the first gap, then the difference of each gap from the one before. Version 2 has
token ids, each as its difference from the one before. Lossless; a steady 60 tokens/s costs 3 bytes per timestamp instead of 8. The view
`v_itl` decodes version 1 in SQL.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise

from engine.errors import StoreError

TIMES = 1
IDS = 2


def pack_times(token_ns: Sequence[int]) -> bytes:
    """Pack timestamps in nanoseconds of one clock, below 2**62."""
    gaps = [late - early for early, late in pairwise(token_ns)]
    return _pack(TIMES, [*token_ns[:1], *_differences(gaps)])


def unpack_times(blob: bytes) -> tuple[int, ...]:
    """Unpack the timestamps of `pack_times`; raises StoreError for another blob."""
    first, *changes = _unpack(TIMES, blob) or (0,)
    if len(blob) <= 1:
        return ()
    return tuple(accumulate(accumulate(changes), initial=first))


def pack_ids(tokens: Sequence[int]) -> bytes:
    """Pack token ids."""
    return _pack(IDS, _differences(tokens))


def unpack_ids(blob: bytes) -> tuple[int, ...]:
    """Unpack the ids of `pack_ids`; raises StoreError for another blob."""
    return tuple(accumulate(_unpack(IDS, blob)))


def _differences(values: Sequence[int]) -> list[int]:
    return [*values[:1], *(late - early for early, late in pairwise(values))]


def _pack(version: int, values: Iterable[int]) -> bytes:
    out = bytearray([version])
    for value in values:
        rest = value << 1 if value >= 0 else ~(value << 1)
        while rest > 0x7F:
            out.append(rest & 0x7F | 0x80)
            rest >>= 7
        out.append(rest)
    return bytes(out)


def _unpack(version: int, blob: bytes) -> list[int]:
    if not blob or blob[0] != version or (len(blob) > 1 and blob[-1] & 0x80):
        raise StoreError(
            "The tokens of a turn can't be read", "Their blob is damaged or of a newer version.", "`xchat db check` looks for damage."
        )
    values = []
    rest = shift = 0
    for byte in memoryview(blob)[1:]:
        rest |= (byte & 0x7F) << shift
        if byte & 0x80:
            shift += 7
            continue
        values.append(~(rest >> 1) if rest & 1 else rest >> 1)
        rest = shift = 0
    return values
