"""Reuse of earlier answers from the result cache."""

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
        """Sentences on why the cache is not used."""
        try:
            limits = load_config().result_cache
            self._cache = ResultCache(results_path(), most_bytes=limits.size_mb << 20, most_hours=limits.ttl_hours)
        except XchatError as error:
            self.problems = (f"{error.title}: {error.detail}. {error.hint}",)

    def again(self, made_by: str) -> Again:
        """Return the access of one turn; `made_by` names the model with its settings, and the library."""
        return Again(self._cache, made_by, self.problems)

    def close(self) -> None:
        """Close the cache's file."""
        if self._cache is not None:
            self._cache.close()


class Again:
    """One turn's access to the result cache: finds a stored answer, or stores the new one. For the compute thread only."""

    def __init__(self, cache: ResultCache | None, made_by: str, problems: tuple[str, ...]) -> None:
        self._cache = cache
        self._made_by = made_by
        self._key: bytes | None = None
        self.problems = problems
        self.given = False
        """Whether a stored answer was found."""

    def find(self, request: GenerateRequest, prompt: Sequence[int], stop: Sequence[str], n_ctx: int) -> Stored | None:
        """Return the stored answer to a request with this prompt, if any."""
        self._key = key_of(request, prompt, stop, f"{self._made_by} {n_ctx}")
        stored = self._cache.get(self._key) if self._cache is not None and self._key is not None else None
        self.given = stored is not None
        return stored

    def keep(self, tokens: Sequence[int], reason: StopReason) -> None:
        """Store the answer, if it ended by itself or at its limit."""
        if self._cache is not None and self._key is not None and not self.given and reason in _WHOLE:
            self._cache.put(self._key, tokens, reason)


def key_of(request: GenerateRequest, prompt: Sequence[int], stop: Sequence[str], made_by: str) -> bytes | None:
    """Return a digest of everything that an answer depends on; None where the answer can't be cached.

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
