"""Serves figures to Prometheus, on the loopback interface and only on request. Names are llama-server's where they mean the same."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from typing import TYPE_CHECKING

from engine.errors import UsageError
from engine.metrics.bounded_server import ANSWER_S, BoundedServer
from engine.metrics.figures import FIGURES
from engine.metrics.figures.figure import Figure, number_in
from engine.metrics.snapshot import Snapshot

if TYPE_CHECKING:
    import h11
    from prometheus_client.core import Metric

HOST = "127.0.0.1"
_OWN_NAMES = frozenset({HOST, "localhost"})
"""Accepted host names of requests, as a guard against DNS rebinding."""
_REQUEST_BYTES = 16 << 10


class PrometheusEndpoint:
    """Answers `GET /metrics` with the newest snapshot. Lives on the event loop."""

    def __init__(self, newest: Callable[[], Snapshot | None], answer_s: float = ANSWER_S) -> None:
        """`newest` is called on a thread; `answer_s` is the time of a connection in seconds."""
        self._newest = newest
        self._server = BoundedServer(self._answer, answer_s)

    async def start(self, port: int) -> int:
        """Start serving; return the port, which the system chooses when `port` is 0. Raises UsageError when the port is taken."""
        try:
            return await self._server.listen_tcp(HOST, port)
        except OSError as error:
            raise UsageError(
                f"Port {port} can't be used for Prometheus", str(error), "Choose another `prometheus_port` under [metrics] in config.toml."
            ) from error

    async def stop(self) -> None:
        """Stop serving; safe to call twice."""
        await self._server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        import h11

        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=_REQUEST_BYTES)
        kind, body = "text/plain; charset=utf-8", b""
        try:
            while (request := connection.next_event()) is h11.NEED_DATA:
                connection.receive_data(await reader.read(_REQUEST_BYTES))
            if not isinstance(request, h11.Request):
                return
            status = _refusal(request)
            if status is HTTPStatus.OK:
                kind, body = await asyncio.to_thread(self._page, _header(request, b"accept"))
        except h11.RemoteProtocolError as error:
            status = HTTPStatus(error.error_status_hint)
        headers = [("Content-Type", kind), ("Content-Length", str(len(body))), ("Connection", "close")]
        response = h11.Response(status_code=status, headers=headers, reason=status.phrase.encode())
        writer.write((connection.send(response) or b"") + (connection.send(h11.Data(body)) or b""))

    def _page(self, accept: str) -> tuple[str, bytes]:
        """Return the content type and the text of all figures."""
        from prometheus_client import CollectorRegistry
        from prometheus_client.exposition import choose_encoder

        registry = CollectorRegistry()
        registry.register(self)
        encode, kind = choose_encoder(accept)
        return kind, encode(registry)

    def collect(self) -> Iterator[Metric]:
        """Yield the figures of the newest snapshot, except unknown ones."""
        now = self._newest()
        return iter(()) if now is None else metrics_of(now)


def _refusal(request: h11.Request) -> HTTPStatus:
    """Return OK, or the status with which the request is refused."""
    if _header(request, b"host").rpartition(":")[0] not in _OWN_NAMES and _header(request, b"host") not in _OWN_NAMES:
        return HTTPStatus.MISDIRECTED_REQUEST
    if request.method != b"GET":
        return HTTPStatus.METHOD_NOT_ALLOWED
    return HTTPStatus.OK if request.target.split(b"?")[0] in {b"/metrics", b"/"} else HTTPStatus.NOT_FOUND


def _header(request: h11.Request, name: bytes) -> str:
    return next((value.decode("latin-1") for header, value in request.headers if header == name), "")


def metrics_of(now: Snapshot, figures: Iterable[Figure] = FIGURES) -> Iterator[Metric]:
    """Yield every figure with a metric, grouped by name."""
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
    """Return the factor from a figure's unit to Prometheus' base unit."""
    return 0.01 if unit.startswith("%") else {"ms": 1e-3, "GB/s": 1e9}.get(unit, 1.0)
