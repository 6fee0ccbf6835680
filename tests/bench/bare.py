"""llama.cpp as it is: its own defaults, decode calls and greedy sampling, nothing of the engine."""

from __future__ import annotations

import time
from pathlib import Path

from engine.llama.log import NativeLog
from engine.llama.native import lib

PROMPT = tuple(range(1000, 1050))
"""50 tokens, the length of a first question with its template."""


class BareLlama:
    """One model with one context."""

    def __init__(self, model: Path, *, threads: int) -> None:
        """Load it, with that many threads for everything."""
        NativeLog(None).listen()
        lib.llama_backend_init()
        self._model = lib.llama_model_load_from_file(str(model).encode(), lib.llama_model_default_params())
        params = lib.llama_context_default_params()
        params.n_ctx = 1024
        params.n_threads = params.n_threads_batch = threads
        self._context = lib.llama_init_from_model(self._model, params)
        self._n_vocab = lib.llama_vocab_n_tokens(lib.llama_model_get_vocab(self._model))

    def measure(self, tokens: int = 32, most_s: float = 60.0) -> tuple[float, float]:
        """Seconds to the first token of a fresh prompt of 50, and decode tokens/s of the next ones, cut off after `most_s`."""
        lib.llama_memory_clear(lib.llama_get_memory(self._context), True)
        begin = time.perf_counter()
        token = self._decode(PROMPT)
        first = time.perf_counter()
        made = 0
        while made < tokens and (made == 0 or time.perf_counter() - first < most_s):
            token = self._decode((token,))
            made += 1
        return first - begin, made / (time.perf_counter() - first)

    def _decode(self, tokens: tuple[int, ...]) -> int:
        cells = (lib.llama_token * len(tokens))(*tokens)
        if lib.llama_decode(self._context, lib.llama_batch_get_one(cells, len(tokens))):
            raise RuntimeError("llama_decode failed")
        logits = lib.llama_get_logits_ith(self._context, -1)
        return max(range(0, self._n_vocab, 97), key=lambda index: logits[index])
