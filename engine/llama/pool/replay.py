"""Answers that were made before, given again from the result cache."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Sequence

import msgspec

from engine.backend import GenerateRequest, StopReason
from engine.config import load_config
from engine.errors import XchatError
from engine.store.results import ResultCache, Stored, results_path

_WHOLE = frozenset({StopReason.EOG, StopReason.STOP_STRING, StopReason.LENGTH})


class Replay:
    """The result cache for the turns of one engine. For the compute thread only."""

    def __init__(self) -> None:
        self._cache: ResultCache | None = None
        self.problems: tuple[str, ...] = ()
        """Why the cache is not used, in a sentence."""
        try:
            limits = load_config().result_cache
            self._cache = ResultCache(results_path(), most_bytes=limits.size_mb << 20, most_hours=limits.ttl_hours)
        except XchatError as error:
            self.problems = (f"{error.title}: {error.detail}. {error.hint}",)

    def again(self, made_by: str) -> Again:
        """What one turn needs of it; `made_by` names the model with its settings, and the library."""
        return Again(self._cache, made_by, self.problems)

    def close(self) -> None:
        """Close the cache's file."""
        if self._cache is not None:
            self._cache.close()


class Again:
    """One turn and the result cache: looks its answer up, and stores the one that is made. For the compute thread only."""

    def __init__(self, cache: ResultCache | None, made_by: str, problems: tuple[str, ...]) -> None:
        self._cache = cache
        self._made_by = made_by
        self._key: bytes | None = None
        self.problems = problems
        self.given = False
        """Whether a stored answer was found."""

    def find(self, request: GenerateRequest, prompt: Sequence[int], stop: Sequence[str], n_ctx: int) -> Stored | None:
        """The stored answer to a request with this prompt."""
        self._key = key_of(request, prompt, stop, f"{self._made_by} {n_ctx}")
        stored = self._cache.get(self._key) if self._cache is not None and self._key is not None else None
        self.given = stored is not None
        return stored

    def keep(self, tokens: Sequence[int], reason: StopReason) -> None:
        """Store the answer, if it ended by itself or at its limit."""
        if self._cache is not None and self._key is not None and not self.given and reason in _WHOLE:
            self._cache.put(self._key, tokens, reason)


def key_of(request: GenerateRequest, prompt: Sequence[int], stop: Sequence[str], made_by: str) -> bytes | None:
    """A digest of all that an answer depends on; None where the same request may be answered in another way.

    `made_by` names the model with its settings, and the library.
    """
    sampling = request.sampling
    greedy = sampling.temperature == 0
    certain = greedy or sampling.seed is not None
    if not certain or request.logprobs is not None or request.prompt_logprobs or min(prompt) < 0:  # pictures have negative ids
        return None
    settings = msgspec.structs.replace(sampling, seed=None) if greedy else sampling
    head = msgspec.json.encode([made_by, settings, tuple(stop), request.max_tokens, request.constraint, len(prompt)])
    return hashlib.sha256(head + array("q", prompt).tobytes()).digest()
