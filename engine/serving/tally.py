"""Counters of the server, under llama-server's names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from engine.backend import GenerationFinished, PoolNow


@dataclass(slots=True)
class Tally:
    """The sums over all answers since the start."""

    prompt_n: int = 0
    cache_n: int = 0
    prompt_ms: float = 0.0
    predicted_n: int = 0
    predicted_ms: float = 0.0
    n_tokens_max: int = 0

    def add(self, end: GenerationFinished) -> None:
        """Count an ended answer."""
        timings = end.timings
        self.prompt_n += timings.prompt_n
        self.cache_n += timings.cache_n
        self.prompt_ms += timings.prompt_ms
        self.predicted_n += timings.predicted_n
        self.predicted_ms += timings.predicted_ms
        self.n_tokens_max = max(self.n_tokens_max, timings.context_used)

    def page(self, processing: int, pool: PoolNow | None) -> str:
        """Return the metrics page for Prometheus."""
        return "".join(
            f"# HELP llamacpp:{name} {meaning}\n# TYPE llamacpp:{name} {kind}\nllamacpp:{name} {value:.10g}\n"
            for name, kind, meaning, value in self._rows(processing, pool)
        )

    def _rows(self, processing: int, pool: PoolNow | None) -> Iterator[tuple[str, str, str, float]]:
        waiting = pool.waiting if pool is not None else max(0, processing - 1)
        yield "prompt_tokens_total", "counter", "Number of prompt tokens processed, excluding cached tokens", self.prompt_n
        yield "prompt_tokens_cached_total", "counter", "Number of prompt tokens reused from the cache", self.cache_n
        yield "prompt_seconds_total", "counter", "Total time spent processing prompts", self.prompt_ms / 1e3
        yield "tokens_predicted_total", "counter", "Number of generation tokens processed", self.predicted_n
        yield "tokens_predicted_seconds_total", "counter", "Total time spent generating tokens", self.predicted_ms / 1e3
        yield "n_tokens_max", "counter", "Largest observed sequence length (prompt + generation)", self.n_tokens_max
        steps, parts = (pool.steps, pool.step_answers) if pool is not None else (0, 0)
        yield "n_decode_total", "counter", "Total number of llama_decode() calls", steps
        for what in ("draft_tokens", "accepted_tokens", "drafts"):
            yield f"spec_decode_num_{what}_total", "counter", "Speculative decoding: there is none", 0
        yield "n_busy_slots_per_decode", "gauge", "Average number of busy slots per llama_decode() call", parts / steps if steps else 0.0
        yield "prompt_tokens_seconds", "gauge", "Average prompt throughput in tokens/s", _rate(self.prompt_n, self.prompt_ms)
        yield "predicted_tokens_seconds", "gauge", "Average generation throughput in tokens/s", _rate(self.predicted_n, self.predicted_ms)
        yield "requests_processing", "gauge", "Number of requests processing", processing - waiting
        yield "requests_deferred", "gauge", "Number of requests deferred", waiting


def _rate(tokens: int, ms: float) -> float:
    return tokens / ms * 1e3 if ms > 0 else 0.0
