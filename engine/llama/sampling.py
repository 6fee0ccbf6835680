"""Sampling: the next token from the logits."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from typing import Final

from engine.errors import EngineError
from engine.llama.context import Context
from engine.llama.native import lib
from engine.presets.preset import Sampling

_SEEDS: Final = 4_294_967_295
"""Seeds are below this; the native library takes this one for a random seed."""
_NEVER: Final = float("-inf")


class Sampler:
    """The sampler chain of one turn. For the compute thread only; `close` it.

    The chain begins with top-k, so that the rest works on a few dozen candidates instead of the whole vocabulary.
    """

    def __init__(self, context: Context, settings: Sampling, recent: Sequence[int]) -> None:
        """Build a chain; `recent` are the last tokens of the prompt, for a repeat penalty."""
        self._context = context
        self.seed = secrets.randbelow(_SEEDS) if settings.seed is None else settings.seed
        suppressed = context.model.vocabulary.suppressed
        penalised = settings.repeat_penalty != 1.0 and settings.repeat_last_n > 0
        greedy = settings.temperature <= 0.0
        self._chain: lib.llama_sampler_p | None = None
        if greedy and not penalised and not suppressed:
            return
        self._chain = chain = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
        try:
            for sampler in self._samplers(settings, suppressed, penalised=penalised, greedy=greedy):
                if not sampler:
                    raise EngineError("The sampler can't be made", hint="Take the default sampling settings.")
                lib.llama_sampler_chain_add(chain, sampler)
        except EngineError:
            self.close()
            raise
        if penalised:
            for token in recent[-settings.repeat_last_n :]:
                lib.llama_sampler_accept(chain, token)

    def _samplers(self, settings: Sampling, suppressed: Sequence[int], *, penalised: bool, greedy: bool) -> Iterable[lib.llama_sampler_p]:
        n_vocab = self._context.model.vocabulary.n_vocab
        if suppressed:
            biases = (lib.llama_logit_bias * len(suppressed))(*(lib.llama_logit_bias(token, _NEVER) for token in suppressed))
            yield lib.llama_sampler_init_logit_bias(n_vocab, len(suppressed), biases)
        if settings.top_k > 0:
            yield lib.llama_sampler_init_top_k(min(settings.top_k, n_vocab))
        if penalised:
            last_n = min(settings.repeat_last_n, self._context.n_ctx)
            yield lib.llama_sampler_init_penalties(n_vocab, last_n, settings.repeat_penalty, 0.0, 0.0)
        if greedy:
            yield lib.llama_sampler_init_greedy()
            return
        if settings.top_p < 1.0:
            yield lib.llama_sampler_init_top_p(settings.top_p, 1)
        if settings.min_p > 0.0:
            yield lib.llama_sampler_init_min_p(settings.min_p, 1)
        yield lib.llama_sampler_init_temp(settings.temperature)
        yield lib.llama_sampler_init_dist(self.seed)

    def sample(self, row: int) -> int:
        """The next token after batch index `row` of the last decode call, which must have succeeded."""
        if self._chain is None:
            return int(self._context.logits(row).argmax())
        return int(lib.llama_sampler_sample(self._chain, self._context.pointer, row))

    def close(self) -> None:
        """Free the chain; safe to call twice."""
        chain, self._chain = self._chain, None
        if chain is not None:
            lib.llama_sampler_free(chain)
