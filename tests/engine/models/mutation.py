"""Wrong GGUF files made from right ones: one to three fields of the header get a value that no model has."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

_SIZES: Final = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_STRING: Final = 8
_ARRAY: Final = 9
_INTEGERS: Final = (0, 1, 2, 3, 7, 8, 31, 32, 33, 255, 256, 512, 513, 65_535, 65_536, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1)
_WIDE: Final = (*_INTEGERS, 2**32, 2**53, 2**62, 2**63 - 1, 2**63, 2**64 - 1)
_FLOATS: Final = (0.0, -1.0, 1e-45, 1e30, float("inf"), float("-inf"), float("nan"))
_TYPES: Final = (0, 1, 2, 3, 6, 8, 10, 12, 14, 16, 20, 24, 30, 34, 39, 255)


@dataclass(frozen=True)
class Tensor:
    """One entry of the list of tensors."""

    name: bytes
    shape: tuple[int, ...]
    kind: int
    offset: int


@dataclass(frozen=True)
class Gguf:
    """A file in its parts; metadata values are their bytes."""

    metadata: tuple[tuple[bytes, int, bytes], ...]
    tensors: tuple[Tensor, ...]
    data: bytes

    def dump(self) -> bytes:
        """The file."""
        out = b"GGUF" + struct.pack("<IQQ", 3, len(self.tensors), len(self.metadata))
        out += b"".join(_string(key) + struct.pack("<I", kind) + value for key, kind, value in self.metadata)
        for tensor in self.tensors:
            dims = len(tensor.shape)
            out += _string(tensor.name) + struct.pack(f"<I{dims}QIQ", dims, *tensor.shape, tensor.kind, tensor.offset)
        return out + bytes(-len(out) % 32) + self.data


def parse(whole: bytes) -> Gguf:
    """A right file, taken apart."""
    _, n_tensors, n_metadata = struct.unpack_from("<IQQ", whole, 4)
    at = 24
    metadata = []
    for _ in range(n_metadata):
        key, at = _text(whole, at)
        (kind,) = struct.unpack_from("<I", whole, at)
        end = _end(whole, at + 4, kind)
        metadata.append((key, kind, whole[at + 4 : end]))
        at = end
    tensors = []
    for _ in range(n_tensors):
        name, at = _text(whole, at)
        (dims,) = struct.unpack_from("<I", whole, at)
        *shape, kind, offset = struct.unpack_from(f"<{dims}QIQ", whole, at + 4)
        at += 16 + 8 * dims
        tensors.append(Tensor(name, tuple(shape), kind, offset))
    return Gguf(tuple(metadata), tuple(tensors), whole[-(-at // 32) * 32 :])


def mutated(base: Gguf, seed: int) -> bytes:
    """A file with one to three faults, always the same ones for a seed."""
    chance = random.Random(seed)
    changed = base
    for _ in range(chance.randint(1, 3)):
        changed = chance.choice(_CHANGES)(changed, chance)
    whole = changed.dump()
    if chance.random() < 0.1:
        at = chance.randrange(len(whole) - len(changed.data))
        whole = whole[:at] + bytes([chance.randrange(256)]) + whole[at + 1 :]
    return whole[: chance.randrange(len(whole))] if chance.random() < 0.05 else whole


def with_value(base: Gguf, key: str, number: int) -> bytes:
    """A file whose entry `key` is that number of 32 bits."""
    kept = tuple(entry for entry in base.metadata if entry[0] != key.encode())
    return replace(base, metadata=(*kept, (key.encode(), 4, struct.pack("<I", number)))).dump()


def _value(base: Gguf, chance: random.Random) -> Gguf:
    at = chance.randrange(len(base.metadata))
    key, kind, value = base.metadata[at]
    if kind in (6, 12):
        value = struct.pack("<f" if kind == 6 else "<d", chance.choice(_FLOATS))
    elif kind in (_STRING, _ARRAY):
        value = _string(chance.choice((b"", b"\xff\xfe", b"llama", b"x" * 70_000))) if kind == _STRING else value
    else:
        number = chance.choice(_WIDE if chance.random() < 0.2 else _INTEGERS)
        kind, size = (10, 8) if number >= 2**32 else (kind, _SIZES[kind])
        value = (number % 256**size).to_bytes(size, "little") if kind != 7 else bytes([number % 2])
    return replace(base, metadata=(*base.metadata[:at], (key, kind, value), *base.metadata[at + 1 :]))


def _array(base: Gguf, chance: random.Random) -> Gguf:
    arrays = [at for at, (_, kind, _) in enumerate(base.metadata) if kind == _ARRAY]
    at = chance.choice(arrays)
    key, kind, value = base.metadata[at]
    element, count = struct.unpack_from("<IQ", value)
    if element in _SIZES and count:
        size, spot = _SIZES[element], 12 + chance.randrange(count) * _SIZES[element]
        value = value[:spot] + (chance.choice(_INTEGERS) % 256**size).to_bytes(size, "little") + value[spot + size :]
    elif chance.random() < 0.5:
        value = struct.pack("<IQ", element, chance.choice(_WIDE)) + value[12:]
    else:
        value = struct.pack("<IQ", 8, 3) + _string(b"a") + _string(b"") + _string(b"\xff")
    return replace(base, metadata=(*base.metadata[:at], (key, kind, value), *base.metadata[at + 1 :]))


def _removed(base: Gguf, chance: random.Random) -> Gguf:
    at = chance.randrange(len(base.metadata))
    return replace(base, metadata=(*base.metadata[:at], *base.metadata[at + 1 :]))


def _claimed(base: Gguf, chance: random.Random) -> Gguf:
    """An entry that real models have and this one does not."""
    arch = next((value[8:] for key, _, value in base.metadata if key == b"general.architecture"), b"llama")
    names = (
        "rope.dimension_count",
        "rope.scaling.factor",
        "attention.key_length",
        "attention.value_length",
        "attention.sliding_window",
        "attention.head_count_kv",
        "expert_count",
        "expert_used_count",
        "nextn_predict_layers",
        "vocab_size",
        "ssm.conv_kernel",
        "ssm.inner_size",
        "attention.shared_kv_layers",
    )
    key = arch + b"." + chance.choice(names).encode()
    kept = tuple(entry for entry in base.metadata if entry[0] != key)
    return replace(base, metadata=(*kept, (key, 4, struct.pack("<I", chance.choice(_INTEGERS)))))


def _tensor(base: Gguf, chance: random.Random) -> Gguf:
    at = chance.randrange(len(base.tensors))
    tensor = base.tensors[at]
    match chance.randrange(4):
        case 0:
            shape = list(tensor.shape)
            shape[chance.randrange(len(shape))] = chance.choice(_WIDE)
            tensor = replace(tensor, shape=tuple(shape))
        case 1:
            tensor = replace(tensor, kind=chance.choice(_TYPES))
        case 2:
            tensor = replace(tensor, offset=chance.choice((0, 8, 32, 2**40, 2**63, len(base.data))))
        case _:
            return replace(base, tensors=(*base.tensors[:at], *base.tensors[at + 1 :]))
    return replace(base, tensors=(*base.tensors[:at], tensor, *base.tensors[at + 1 :]))


_CHANGES: Final[tuple[Callable[[Gguf, random.Random], Gguf], ...]] = (_value, _value, _value, _claimed, _array, _removed, _tensor)


def written(path: Path, content: bytes) -> Path:
    """The file, at `path`."""
    path.write_bytes(content)
    return path


def _string(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text


def _text(whole: bytes, at: int) -> tuple[bytes, int]:
    (length,) = struct.unpack_from("<Q", whole, at)
    return whole[at + 8 : at + 8 + length], at + 8 + length


def _end(whole: bytes, at: int, kind: int) -> int:
    if kind in _SIZES:
        return at + _SIZES[kind]
    if kind == _STRING:
        return _text(whole, at)[1]
    element, count = struct.unpack_from("<IQ", whole, at)
    at += 12
    if element in _SIZES:
        return int(at + _SIZES[element] * count)
    for _ in range(count):
        at = _text(whole, at)[1]
    return at
