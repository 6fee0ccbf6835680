"""Figures for Prometheus, on the loopback interface and only when asked for. Names are llama-server's where they mean the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from engine.errors import UsageError
from engine.metrics.figures import FIGURES
from engine.metrics.figures.figure import Figure, number_in
from engine.metrics.snapshot import Snapshot

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
        return iter(()) if now is None else metrics_of(now)


def metrics_of(now: Snapshot, figures: Iterable[Figure] = FIGURES) -> Iterator[Metric]:
    """Every figure with a metric, those of one name together."""
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
    for figure in figures:
        metric, value = figure.metric, number_in(figure.read(now))
        if metric is None or value is None:
            continue
        family = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
        if metric.name not in families:
            families[metric.name] = family(metric.name, figure.name, labels=list(metric.labels))
        families[metric.name].add_metric(list(metric.labels.values()), value * _scale(figure.unit))
    yield from families.values()


def _scale(unit: str) -> float:
    """From the unit of a figure to Prometheus' base unit."""
    return 0.01 if unit.startswith("%") else {"ms": 1e-3, "GB/s": 1e9}.get(unit, 1.0)
