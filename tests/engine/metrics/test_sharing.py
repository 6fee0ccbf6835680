"""The running program's numbers reach other programs of the same person, and nobody else."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import urllib.request
from pathlib import Path

import pytest

from engine.errors import UsageError, XchatError
from engine.metrics import live_socket
from engine.metrics.bounded_server import MOST_CONNECTIONS, BoundedServer
from engine.metrics.live_socket import SnapshotServer, running
from engine.metrics.prometheus import HOST, PrometheusEndpoint
from engine.metrics.report import report, sample_of
from engine.metrics.snapshot import EMPTY, Snapshot
from tests.engine.metrics.scripted import ScriptedSession, moments

linux_or_mac = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs Unix sockets")


@pytest.fixture(scope="module")
def busy() -> Snapshot:
    return moments(60)[-1]


def test_a_report_has_llama_servers_names_and_says_what_is_unavailable(busy: Snapshot) -> None:
    found = report(busy)
    assert found["predicted_per_second"] == pytest.approx(busy.speed.mean)
    assert found["context"]["cache_n"] == busy.context.cache_n
    assert found["host"]["rss_bytes"] == 0.7e9
    assert found["host"]["freq_mhz"] == {"unavailable": "no such sensor here"}
    assert found["host"]["weights_resident_bytes"] == 380_000_000
    assert [step for step, length in found["waterfall_ms"].items() if length is not None] == ["prefill"], "the turn runs"


def test_the_steps_of_a_finished_turn_add_up_to_its_time_to_first_token() -> None:
    finished = next(now for now in moments(60) if now.waterfall is not None and now.waterfall.queue_ms is not None)
    found = report(finished)
    assert sum(found["waterfall_ms"].values()) == pytest.approx(found["ttft_ms"])


def test_a_report_before_anything_was_measured_is_whole() -> None:
    assert report(EMPTY).keys() == report(ScriptedSession().step()).keys()


def test_a_sample_for_the_log_has_the_snapshots_figures(busy: Snapshot) -> None:
    sample = sample_of(busy, session_id=3, turn_id=4)
    assert (sample.session_id, sample.turn_id) == (3, 4)
    assert sample.figures["rss_bytes"] == 700_000_000
    assert sample.figures["tokens_per_second"] == busy.speed.now
    assert sample.figures["freq_mhz"] is None
    assert set(sample_of(EMPTY, session_id=None, turn_id=None).figures.values()) <= {None, 0}


@linux_or_mac
async def test_another_program_reads_the_newest_numbers_through_a_private_socket(tmp_path: Path, busy: Snapshot) -> None:
    server = SnapshotServer(lambda: busy, tmp_path)
    await server.start()
    path = tmp_path / f"{os.getpid()}.sock"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    (found,) = await asyncio.to_thread(running, tmp_path)
    assert found["tokens_per_second"] == pytest.approx(busy.speed.now)
    await server.close()
    await server.close()
    assert not path.exists()


@linux_or_mac
async def test_a_program_that_measured_nothing_yet_is_not_listed(tmp_path: Path) -> None:
    server = SnapshotServer(lambda: None, tmp_path)
    await server.start()
    assert await asyncio.to_thread(running, tmp_path) == []
    await server.close()


@linux_or_mac
def test_the_socket_of_a_program_that_was_killed_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "4711.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as left_behind:
        left_behind.bind(str(path))
    assert running(tmp_path) == []
    assert not path.exists()


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="only Linux has a way around the limit")
async def test_a_folder_with_a_long_path_works_all_the_same(tmp_path: Path, busy: Snapshot) -> None:
    folder = tmp_path / ("deep" * 20) / ("er" * 20)
    folder.mkdir(parents=True)
    server = SnapshotServer(lambda: busy, folder)
    await server.start()
    assert len(await asyncio.to_thread(running, folder)) == 1
    await server.close()


async def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(XchatError, match="can't be read"):
        await SnapshotServer(lambda: None, tmp_path / "missing").start()


def test_the_folder_of_sockets_is_its_owners_alone() -> None:
    assert stat.S_IMODE(live_socket.live_dir().stat().st_mode) == 0o700


async def scrape(port: int, request: bytes = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n") -> tuple[int, str]:
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(request)
    head, _, body = (await asyncio.wait_for(reader.read(), 5)).decode().partition("\r\n\r\n")
    writer.close()
    return int(head.split()[1]), body


async def test_prometheus_reads_llama_servers_names_on_the_loopback_interface(busy: Snapshot) -> None:
    endpoint = PrometheusEndpoint(lambda: busy)
    port = await endpoint.start(0)
    url = f"http://{HOST}:{port}/metrics"
    text = await asyncio.to_thread(lambda: urllib.request.urlopen(url, timeout=5).read().decode())
    await endpoint.stop()
    await endpoint.stop()
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert float(lines["llamacpp:tokens_predicted_total"]) == busy.totals.predicted_n
    assert float(lines["llamacpp:prompt_tokens_cached_total"]) == busy.totals.cache_n
    assert float(lines["xchat_resident_memory_bytes"]) == 0.7e9
    assert 'xchat_inter_token_latency_seconds{quantile="0.99"}' in lines
    assert not any(line.startswith("python_") for line in lines)
    with pytest.raises(ConnectionRefusedError):
        await scrape(port)


async def test_before_anything_was_measured_prometheus_gets_an_empty_page() -> None:
    endpoint = PrometheusEndpoint(lambda: None)
    assert await scrape(await endpoint.start(0)) == (200, "")
    await endpoint.stop()


async def test_a_port_that_is_taken_is_said() -> None:
    with socket.socket() as holder:
        holder.bind((HOST, 0))
        holder.listen()
        with pytest.raises(UsageError, match="prometheus_port"):
            await PrometheusEndpoint(lambda: None).start(holder.getsockname()[1])


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n", 200),
        (b"GET /metrics HTTP/1.1\r\nHost: rebound.example:80\r\n\r\n", 421),
        (b"GET /metrics HTTP/1.1\r\nHost: localhost.example\r\n\r\n", 421),
        (b"GET /metrics HTTP/1.0\r\n\r\n", 421),
        (b"GET /metrics HTTP/1.1\r\n\r\n", 400),
        (b"POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\n", 405),
        (b"GET /other HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"GET /" + b"a" * 40_000, 431),
        (b"\x16\x03\x01\x02\x00\r\n\r\n", 400),
    ],
)
async def test_a_request_is_answered_only_when_it_is_for_this_host(busy: Snapshot, request_bytes: bytes, status: int) -> None:
    endpoint = PrometheusEndpoint(lambda: busy)
    port = await endpoint.start(0)
    assert (await scrape(port, request_bytes))[0] == status
    await endpoint.stop()


async def open_ones(connections: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]) -> int:
    """How many the server did not end."""

    async def ended(reader: asyncio.StreamReader) -> bool:
        try:
            return await asyncio.wait_for(reader.read(1), 0.01) == b""
        except ConnectionError:
            return True
        except TimeoutError:
            return False

    return sum([not await ended(reader) for reader, _ in connections])


@linux_or_mac
@pytest.mark.parametrize("kind", ["tcp", "unix"])
@pytest.mark.slow
async def test_idle_connections_neither_pile_up_nor_keep_others_out(tmp_path: Path, busy: Snapshot, kind: str) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.readline() == b"hello\n":
            writer.write(b"good day")

    server = BoundedServer(answer, answer_s=1.0)
    if kind == "tcp":
        port = await server.listen_tcp(HOST, 0)
    else:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(tmp_path / "s"))
        await server.listen_unix(listener)

    async def connect() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await (asyncio.open_connection(HOST, port) if kind == "tcp" else asyncio.open_unix_connection(tmp_path / "s"))

    idle = [await connect() for _ in range(200)]
    assert await open_ones(idle) <= MOST_CONNECTIONS
    reader, writer = await connect()
    writer.write(b"hello\n")
    assert await asyncio.wait_for(reader.read(), 5) == b"good day"
    async with asyncio.timeout(10):
        while await open_ones(idle):
            await asyncio.sleep(0.05)
    writer.close()
    for _, unused in idle:
        unused.close()
    await server.close()


async def test_a_client_that_reads_nothing_is_ended(busy: Snapshot) -> None:
    done = asyncio.Event()

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                writer.write(bytes(1 << 20))
                await writer.drain()
        finally:
            done.set()

    server = BoundedServer(answer, answer_s=0.2)
    port = await server.listen_tcp(HOST, 0)
    with socket.create_connection((HOST, port)):
        await asyncio.wait_for(done.wait(), 5)
    await server.close()
