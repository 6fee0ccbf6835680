"""GGUF files put together byte by byte: small, quick, and wrong wherever a test wants them to be."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

MODEL: Mapping[str, object] = {
    "general.architecture": "llama",
    "general.type": "model",
    "general.name": "Tiny Test",
    "general.file_type": 7,
    "llama.context_length": 2048,
    "llama.embedding_length": 64,
    "llama.block_count": 2,
    "llama.feed_forward_length": 128,
    "llama.attention.head_count": 4,
    "llama.attention.head_count_kv": 2,
    "tokenizer.ggml.tokens": [f"t{i}" for i in range(300)],
    "tokenizer.chat_template": "{{ messages }}",
}
"""Metadata of a plausible model."""

F32, F16, Q8_0 = 0, 1, 8
Tensor = tuple[str, tuple[int, ...], int]

TENSORS: Sequence[Tensor] = (
    ("token_embd.weight", (64, 300), Q8_0),
    ("output_norm.weight", (64,), F32),
    *(
        (f"blk.{layer}.{name}.weight", shape, Q8_0)
        for layer in range(2)
        for name, shape in (
            ("attn_q", (64, 64)),
            ("attn_k", (64, 32)),
            ("attn_v", (64, 32)),
            ("attn_output", (64, 64)),
            ("ffn_gate", (64, 128)),
            ("ffn_up", (64, 128)),
            ("ffn_down", (128, 64)),
        )
    ),
)

_SIZES = {F32: (1, 4), F16: (1, 2), Q8_0: (32, 34), 2: (32, 18), 12: (256, 144), 14: (256, 210)}


def string(text: str | bytes) -> bytes:
    """A length and the bytes."""
    data = text if isinstance(text, bytes) else text.encode()
    return struct.pack("<Q", len(data)) + data


def value(item: object) -> bytes:
    """A value with its type in front."""
    if isinstance(item, bool):
        return struct.pack("<I?", 7, item)
    if isinstance(item, int):
        return struct.pack("<Iq", 11, item) if item < 0 else struct.pack("<II", 4, item)
    if isinstance(item, float):
        return struct.pack("<If", 6, item)
    if isinstance(item, (str, bytes)):
        return struct.pack("<I", 8) + string(item)
    assert isinstance(item, list)
    if item and isinstance(item[0], str):
        return struct.pack("<IIQ", 9, 8, len(item)) + b"".join(map(string, item))
    return struct.pack("<IIQ", 9, 5, len(item)) + b"".join(struct.pack("<i", number) for number in item)


def header(metadata: Mapping[str, object], tensors: Sequence[Tensor], *, version: int = 3) -> tuple[bytes, int]:
    """The header with its padding, and the size of the data section that goes with it."""
    out = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(metadata))
    out += b"".join(string(key) + value(item) for key, item in metadata.items())
    offset = 0
    for name, shape, kind in tensors:
        block, size = _SIZES[kind]
        out += string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)
        elements = 1
        for dimension in shape:
            elements *= dimension
        offset += -(-elements // block * size // 32) * 32
    return out + bytes(-len(out) % 32), offset


def write(path: Path, metadata: Mapping[str, object] = MODEL, tensors: Sequence[Tensor] = TENSORS, **changes: object) -> Path:
    """A whole file (its data a hole full of zeros); `changes` are metadata with dots written as double underscores, None removes one."""
    merged = dict(metadata)
    for key, item in changes.items():
        merged[key.replace("__", ".")] = item
    head, data = header({key: item for key, item in merged.items() if item is not None}, tensors)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(head)
        file.truncate(len(head) + data)
    return path
