"""Vocabularies of tiny GGUF files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import gguf

CONTROL_TEXTS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
PLAIN_CONTROL_TEXTS = ("<|endoftext|>", "<|end|>")
"""Of a model without a chat template: they belong to no known format."""
THINK_TEXTS = ("<think>", "</think>")
SPECIAL = range(258, 258 + len(CONTROL_TEXTS) + len(THINK_TEXTS))
"""Their ids in the BPE vocabulary: after 256 bytes and two merges."""


@dataclass(frozen=True)
class Vocab:
    """Token texts as a GGUF stores them, with their types and the ids that have a meaning."""

    texts: list[str]
    types: list[gguf.TokenType]
    merges: list[str]
    bos: int
    eos: int


def byte_alphabet() -> list[str]:
    """The printable character that stands for each byte in a GPT-2 vocabulary."""
    plain = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    stand_ins = iter(range(256, 512))
    return [chr(byte) if byte in plain else chr(next(stand_ins)) for byte in range(256)]


def bpe_vocab(
    pieces: Sequence[str | bytes] = (),
    *,
    unused: int = 0,
    think: bool = True,
    controls: Sequence[str] = CONTROL_TEXTS,
    user_defined: Sequence[str] = (),
) -> Vocab:
    """Bytes, two merges, the control and user-defined tokens, a token of its own for each of `pieces`, and `unused` fillers."""
    alphabet = byte_alphabet()
    texts = [*alphabet, "th", "the"]
    types = [gguf.TokenType.NORMAL] * len(texts)
    bos, eos = len(texts), len(texts) + len(controls) - 1
    texts += controls
    types += [gguf.TokenType.CONTROL] * len(controls)
    if think:
        user_defined = (*THINK_TEXTS, *user_defined)
    texts += user_defined
    types += [gguf.TokenType.USER_DEFINED] * len(user_defined)
    for piece in pieces:
        texts.append("".join(alphabet[byte] for byte in (piece if isinstance(piece, bytes) else piece.encode())))
        types.append(gguf.TokenType.NORMAL)
    texts += [f"[unused {i}]" for i in range(unused)]
    types += [gguf.TokenType.UNUSED] * unused
    return Vocab(texts, types, ["t h", "th e"], bos=bos, eos=eos)
