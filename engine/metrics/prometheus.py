"""Figures for Prometheus, on the loopback interface and only when asked for. Names are llama-server's where they mean the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from engine.errors import UsageError
from engine.host.value import known
from engine.metrics.snapshot import Phase, Snapshot

if TYPE_CHECKING:
    from threading import Thread
    from wsgiref.simple_server import WSGIServer

    from prometheus_client.core import Metric

HOST = "127.0.0.1"


class PrometheusEndpoint:
    """Serves `/metrics` from a thread of its own; it only ever reads a frozen snapshot."""

    def __init__(self, newest: Callable[[], Snapshot | None]) -> None:
        """`newest` is called on the serving thread."""
        self._newest = newest
        self._server: WSGIServer | None = None
        self._thread: Thread | None = None

    def start(self, port: int) -> int:
        """Begin to serve; returns the port, which was chosen by the system when `port` is 0.

        Raises:
            UsageError: The port is taken.

        """
        from prometheus_client import CollectorRegistry, start_http_server

        registry = CollectorRegistry()
        registry.register(self)
        try:
            self._server, self._thread = start_http_server(port, addr=HOST, registry=registry)
        except OSError as error:
            raise UsageError(
                f"Port {port} can't be used for Prometheus", str(error), "Choose another `prometheus_port` under [metrics] in config.toml."
            ) from error
        return self._server.server_port

    def stop(self) -> None:
        """End serving; safe to call twice."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
            self._server = self._thread = None

    def collect(self) -> Iterator[Metric]:
        """All figures of the newest snapshot; what can't be known is left out."""
        now = self._newest()
        if now is not None:
            yield from _as_llama_server(now)
            yield from _own(now)


def _as_llama_server(now: Snapshot) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    totals = now.totals
    counters = {
        "prompt_tokens": ("Prompt tokens evaluated", totals.prompt_n),
        "prompt_tokens_cached": ("Prompt tokens reused from the KV cache", totals.cache_n),
        "prompt_seconds": ("Time spent on prefill", totals.prompt_ms / 1e3),
        "tokens_predicted": ("Tokens generated", totals.predicted_n),
        "tokens_predicted_seconds": ("Time spent on decoding", totals.predicted_ms / 1e3),
    }
    for name, (help_text, value) in counters.items():
        yield CounterMetricFamily(f"llamacpp:{name}", help_text, value=value)
    gauges = {
        "n_tokens_max": ("Most tokens that the context held", totals.most_context),
        "prompt_tokens_seconds": ("Mean prefill speed in tokens per second", _rate(totals.prompt_n, totals.prompt_ms)),
        "predicted_tokens_seconds": ("Mean decode speed in tokens per second", _rate(totals.predicted_n, totals.predicted_ms)),
        "requests_processing": ("Turns under way", float(now.phase in (Phase.PREFILL, Phase.THINKING, Phase.DECODE))),
        "requests_deferred": ("Turns that wait", float(now.phase is Phase.WAITING)),
    }
    for name, (help_text, value) in gauges.items():
        yield GaugeMetricFamily(f"llamacpp:{name}", help_text, value=value)


def _rate(count: int, elapsed_ms: float) -> float:
    return count / elapsed_ms * 1e3 if elapsed_ms > 0 else 0.0


def _own(now: Snapshot) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    yield CounterMetricFamily("xchat_turns", "Turns finished", value=now.totals.turns)
    yield CounterMetricFamily("xchat_turns_failed", "Turns that failed", value=now.totals.failed)
    yield CounterMetricFamily("xchat_stalls", "Gaps between tokens over four medians", value=now.totals.stalls)
    host = now.host
    gauges: dict[str, tuple[str, float | None]] = {
        "xchat_tokens_per_second": ("Decode speed over the last second", now.speed.now),
        "xchat_context_used_tokens": ("Tokens in the context window", float(now.context.used)),
        "xchat_context_size_tokens": ("Size of the context window", now.context.n_ctx),
        "xchat_ttft_seconds": ("Time to first token of the last turn", _seconds(now.waterfall.ttft_ms if now.waterfall else None)),
        "xchat_resident_memory_bytes": ("Resident memory of xchat", known(host.memory.rss) if host else None),
        "xchat_available_memory_bytes": ("Memory that can be had without swapping", known(host.memory.available) if host else None),
        "xchat_cpu_ratio": ("Cores that xchat keeps busy", _share(known(host.cpu.process_pct)) if host else None),
        "xchat_bandwidth_bytes_per_second": ("Memory read by decoding", now.roofline.bandwidth_gb_s * 1e9 if now.roofline else None),
        "xchat_loop_lag_p99_seconds": ("Event-loop lag of the last minute", _seconds(now.price.lag_p99_ms)),
    }
    for name, (help_text, value) in gauges.items():
        if value is not None:
            yield GaugeMetricFamily(name, help_text, value=value)
    latency = GaugeMetricFamily("xchat_inter_token_latency_seconds", "Gaps between tokens of the turn", labels=["quantile"])
    for quantile, gap_ms in (("0.5", now.gaps.p50_ms), ("0.95", now.gaps.p95_ms), ("0.99", now.gaps.p99_ms), ("1", now.gaps.max_ms)):
        if gap_ms is not None:
            latency.add_metric([quantile], gap_ms / 1e3)
    yield latency


def _seconds(value_ms: float | None) -> float | None:
    return None if value_ms is None else value_ms / 1e3


def _share(percent: float | None) -> float | None:
    return None if percent is None else percent / 100
