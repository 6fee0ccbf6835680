"""Sampling of the next token from the logits."""

from __future__ import annotations

import ctypes
import math
import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.errors import EngineError
from engine.llama.constraints.form import Form
from engine.llama.context import Context
from engine.llama.native import dry_sampler, lib
from engine.logprobs import Likely, TokenLogprobs
from engine.presets.preset import Sampling

_SEEDS: Final = 4_294_967_295
"""Seeds are below this value, which means a random seed to the native library."""
_NEVER: Final = float("-inf")
_CANDIDATE: Final = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])
"""`llama_token_data`."""
_MIROSTAT_M: Final = 100
"""Tokens from which Mirostat estimates the distribution; llama.cpp's value."""


class Sampler:
    """The sampler chain of one turn. For the compute thread only; `close` it.

    The order is llama.cpp's. Where the result is the same, top-k comes first, so that the rest processes a few dozen candidates instead of
    the whole vocabulary.
    """

    def __init__(self, context: Context, settings: Sampling, recent: Sequence[int]) -> None:
        """Build a chain; `recent` are the tokens of the prompt, for the penalties.

        Raises EngineError when `logit_bias` has a token that the model does not know.
        """
        self._context = context
        self._settings = settings
        self.seed = secrets.randbelow(_SEEDS) if settings.seed is None else settings.seed
        biases = self._biases()
        self._chain: lib.llama_sampler_p | None = None
        greedy = settings.temperature <= 0.0
        penalties, most_penalised = self._penalties(recent)
        if greedy and not penalties and not biases:
            return
        self._chain = chain = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
        try:
            for sampler in self._samplers(biases, penalties, most_penalised, greedy=greedy):
                if not sampler:
                    raise EngineError("The sampler can't be made", hint="Take the default sampling settings.")
                lib.llama_sampler_chain_add(chain, sampler)
        except EngineError:
            self.close()
            raise

    def _biases(self) -> dict[int, float]:
        """Return the logit biases by token."""
        vocabulary = self._context.model.vocabulary
        biases = self._settings.biases
        unknown = [token for token in biases if token >= vocabulary.n_vocab]
        if unknown:
            raise EngineError(
                f"logit_bias names token {unknown[0]}, which the model does not have",
                f"It has {vocabulary.n_vocab:,} tokens",
                "Correct it.",
            )
        never = [*vocabulary.suppressed, *(vocabulary.eog if self._settings.ignore_eos else ())]
        return biases | dict.fromkeys(never, _NEVER)

    def _penalties(self, recent: Sequence[int]) -> tuple[list[lib.llama_sampler_p | None], int]:
        """Return samplers that change the logits of earlier tokens, and the number of tokens they can change."""
        settings, n_ctx, n_vocab = self._settings, self._context.n_ctx, self._context.model.vocabulary.n_vocab
        samplers: list[lib.llama_sampler_p | None] = []
        most = 0
        factors = (settings.repeat_penalty, settings.frequency_penalty, settings.presence_penalty)
        if factors != (1.0, 0.0, 0.0) and settings.repeat_last_n > 0:
            last_n = min(settings.repeat_last_n, n_ctx)
            samplers.append(lib.llama_sampler_init_penalties(n_vocab, last_n, *factors))
            most += last_n
        if settings.dry_multiplier > 0.0 and settings.dry_penalty_last_n != 0:
            last_n = n_ctx if settings.dry_penalty_last_n < 0 else min(settings.dry_penalty_last_n, n_ctx)
            vocab = lib.llama_model_get_vocab(self._context.model.pointer)
            samplers.append(dry_sampler(vocab, settings.dry_multiplier, settings.dry_base, settings.dry_allowed_length, last_n))
            most += last_n
        for sampler in filter(None, samplers):
            for token in recent[-most:]:
                lib.llama_sampler_accept(sampler, token)
        return samplers, most

    def _samplers(
        self, biases: Mapping[int, float], penalties: Sequence[lib.llama_sampler_p | None], most_penalised: int, *, greedy: bool
    ) -> Iterable[lib.llama_sampler_p | None]:
        settings, n_vocab = self._settings, self._context.model.vocabulary.n_vocab
        if biases:
            entries = (lib.llama_logit_bias * len(biases))(*(lib.llama_logit_bias(token, bias) for token, bias in biases.items()))
            yield lib.llama_sampler_init_logit_bias(n_vocab, len(biases), entries)
        # The best k after the penalties are among the best k + n before, when these lower at most n logits and raise none.
        lowers_only = settings.repeat_penalty >= 1.0 and settings.frequency_penalty >= 0.0 and settings.presence_penalty >= 0.0
        k = min(settings.top_k, n_vocab) if settings.top_k and not settings.mirostat else 0
        first = min(k + most_penalised, n_vocab) if k and lowers_only and settings.top_n_sigma <= 0.0 else 0
        if first:
            yield lib.llama_sampler_init_top_k(first)
        yield from penalties
        if greedy:
            yield lib.llama_sampler_init_greedy()
            return
        if settings.mirostat:
            yield lib.llama_sampler_init_temp(settings.temperature)
            tau, eta = settings.mirostat_tau, settings.mirostat_eta
            yield (
                lib.llama_sampler_init_mirostat(n_vocab, self.seed, tau, eta, _MIROSTAT_M)
                if settings.mirostat == 1
                else lib.llama_sampler_init_mirostat_v2(self.seed, tau, eta)
            )
            return
        if settings.top_n_sigma > 0.0:
            yield lib.llama_sampler_init_top_n_sigma(settings.top_n_sigma)
        if k and k != first:
            yield lib.llama_sampler_init_top_k(k)
        yield from self._choosing()

    def _choosing(self) -> Iterable[lib.llama_sampler_p]:
        """Yield the samplers that choose among the remaining candidates."""
        settings = self._settings
        if settings.typical_p < 1.0:
            yield lib.llama_sampler_init_typical(settings.typical_p, 1)
        if settings.top_p < 1.0:
            yield lib.llama_sampler_init_top_p(settings.top_p, 1)
        if settings.min_p > 0.0:
            yield lib.llama_sampler_init_min_p(settings.min_p, 1)
        if settings.xtc_probability > 0.0:
            yield lib.llama_sampler_init_xtc(settings.xtc_probability, settings.xtc_threshold, 1, self.seed)
        if settings.dynatemp_range > 0.0:
            yield lib.llama_sampler_init_temp_ext(settings.temperature, settings.dynatemp_range, settings.dynatemp_exponent)
        else:
            yield lib.llama_sampler_init_temp(settings.temperature)
        if settings.adaptive_target >= 0.0:
            yield lib.llama_sampler_init_adaptive_p(settings.adaptive_target, settings.adaptive_decay, self.seed)
        else:
            yield lib.llama_sampler_init_dist(self.seed)

    def sample(self, row: int, form: Form | None = None) -> int:
        """Return the next token after batch index `row` of the last decode call, which must have succeeded; one allowed by `form`.

        A rejected token is sampled again from the allowed ones. Raises EngineError when there are none.
        """
        if form is not None:
            logits = self._context.logits(row)
            token = self._choose(logits)
            if not form.allows(token):
                token = self._choose(logits, form.allowed())
            if self._chain is not None:
                lib.llama_sampler_accept(self._chain, token)
            form.accept(token)
            return token
        if self._chain is None:
            return int(self._context.logits(row).argmax())
        return int(lib.llama_sampler_sample(self._chain, self._context.pointer, row))

    def _choose(self, logits: NDArray[np.float32], among: NDArray[np.int64] | None = None) -> int:
        """Return a token of `among`, drawn by its logit and not yet accepted."""
        if self._chain is None:
            return int(logits.argmax()) if among is None else int(among[logits[among].argmax()])
        candidates = np.empty(len(logits) if among is None else len(among), _CANDIDATE)
        candidates["id"] = np.arange(len(logits)) if among is None else among
        candidates["logit"] = logits if among is None else logits[among]
        candidates["p"] = 0.0
        data = candidates.ctypes.data_as(ctypes.POINTER(lib.llama_token_data))
        array = lib.llama_token_data_array(data=data, size=len(candidates), selected=-1, sorted=False)
        lib.llama_sampler_apply(self._chain, ctypes.byref(array))
        return int(array.data[max(array.selected, 0)].id)

    def logprobs(self, row: int, token: int, most: int) -> TokenLogprobs:
        """Return the log-probability of `token` after batch index `row`, and the `most` likeliest tokens."""
        logits, piece = self._context.logits(row), self._context.model.vocabulary.piece
        highest = float(logits.max())
        total = highest + math.log(float(np.exp(logits - highest).sum()))
        most = min(most, len(logits))
        best = np.argpartition(logits, -most)[-most:] if most else np.empty(0, np.int64)
        tokens = (token, *best[np.argsort(-logits[best], kind="stable")].tolist())
        chosen, *top = (Likely(each, piece(each), float(logits[each]) - total) for each in tokens)
        return TokenLogprobs(chosen, tuple(top))

    def close(self) -> None:
        """Free the chain; safe to call twice."""
        chain, self._chain = self._chain, None
        if chain is not None:
            lib.llama_sampler_free(chain)
