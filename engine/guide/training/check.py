"""Checks an exported guide against what it was made from: token by token and logit by logit.

Development only.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from pathlib import Path
from random import Random

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from engine.guide.training.batches import encode
from engine.guide.training.corpus.dialogues import Writer
from engine.guide.training.corpus.outside import FOREIGN, gibberish, number, symbols
from engine.guide.training.network import Network
from engine.llama.native import lib

LOGITS_TOLERANCE = 2e-2
"""F16 keeps 11 bits of each weight; logits reach 30."""
_MODEL_WIDE = 512


def strings(writer: Writer, amount: int) -> Iterator[str]:
    """Texts of all kinds: dialogue, digits, code, emoji, accents, runs of spaces and newlines."""
    rng = Random("strings")
    code = (
        "def f(x):\n    return x[1:]\n",
        "for (int i=0;i<10;++i) {\n\tsum += a[i];\n}",
        "SELECT * FROM t WHERE a='b';",
        "```toml\nn_ctx = 4096\n```",
        '{"a": [1, 2.5, null]}',
    )
    accents = (
        "naïve café",
        "Ångström",
        "żółć",
        "ÄÖÜß",
        "e\u0301 combining",
        "ﬁ ligature",
        "你好，世界",
        "привет",
        "مرحبا",
        "👩‍👩‍👧‍👦 family",
        "🎉🎉",
        "\u200b",
        "½ ⅓ ²",
        "I'LL you'Ve don't it'S",
    )
    for index in range(amount):
        parts = []
        for _ in range(rng.randint(1, 4)):
            kind = rng.randrange(8)
            parts.append(
                (
                    lambda: rng.choice(writer.dialogue(7, rng.randrange(100_000)).turns)[rng.randrange(2)][:200],
                    lambda: number(rng),
                    lambda: rng.choice(code),
                    lambda: rng.choice(accents),
                    lambda: " " * rng.randint(1, 9) + rng.choice(("", "\t", "\n", "\r\n", "\n\n")),
                    lambda: symbols(rng),
                    lambda: gibberish(rng).title(),
                    lambda: rng.choice(FOREIGN),
                )[kind]()
            )
        yield rng.choice(("", " ", "\n")).join(parts) if index % 3 else "".join(parts)


class Native:
    """The exported file in llama.cpp, with everything in as many bits as it can have."""

    def __init__(self, path: Path) -> None:
        params = lib.llama_model_default_params()
        self._model = lib.llama_model_load_from_file(str(path).encode(), params)
        self._vocab = lib.llama_model_get_vocab(self._model)
        self._n_vocab = lib.llama_vocab_n_tokens(self._vocab)
        context = lib.llama_context_default_params()
        context.n_ctx, context.n_batch, context.n_ubatch = 4096, _MODEL_WIDE, _MODEL_WIDE
        context.n_threads = context.n_threads_batch = 1
        context.type_k = context.type_v = lib.GGML_TYPE_F32
        context.flash_attn_type = lib.LLAMA_FLASH_ATTN_TYPE_DISABLED
        self._context = lib.llama_init_from_model(self._model, context)

    def tokenize(self, text: str) -> list[int]:
        """The ids of a plain text, control tokens not recognised."""
        raw = text.encode()
        buffer = (lib.llama_token * (len(raw) + 8))()
        count = lib.llama_tokenize(self._vocab, raw, len(raw), buffer, len(buffer), False, False)
        return list(buffer[:count])

    def logits(self, ids: list[int]) -> NDArray[np.float32]:
        """The scores after the last id."""
        lib.llama_memory_clear(lib.llama_get_memory(self._context), True)
        for start in range(0, len(ids), _MODEL_WIDE):
            part = ids[start : start + _MODEL_WIDE]
            tokens = (lib.llama_token * len(part))(*part)
            lib.llama_decode(self._context, lib.llama_batch_get_one(tokens, len(part)))
        pointer = lib.llama_get_logits_ith(self._context, -1)
        return np.ctypeslib.as_array(ctypes.cast(pointer, ctypes.POINTER(ctypes.c_float)), (self._n_vocab,)).copy()


def different_tokenizations(native: Native, tokenizer: Tokenizer, writer: Writer, amount: int = 10_000) -> list[str]:
    """The texts that llama.cpp cuts differently from the tokenizer that was trained."""
    plain = Tokenizer.from_str(tokenizer.to_str())
    plain.encode_special_tokens = True
    return [text for text in strings(writer, amount) if native.tokenize(text) != plain.encode(text).ids]


@torch.no_grad()
def largest_logit_difference(native: Native, network: Network, tokenizer: Tokenizer, writer: Writer, prompts: int = 100) -> float:
    """The largest difference of any logit between PyTorch, on the weights as exported, and llama.cpp."""
    exact = Network(network.shape).eval()
    exact.load_state_dict({name: weight.half().float() if weight.ndim == 2 else weight for name, weight in network.state_dict().items()})
    worst = 0.0
    for index in range(prompts):
        ids = encode(writer.dialogue(11, index), tokenizer, 700).ids[: 8 + index * 7]
        ours = exact.logits(exact.hidden(torch.tensor([ids]))[0, -1]).numpy()
        worst = max(worst, float(np.abs(ours - native.logits(ids)).max()))
    return worst
