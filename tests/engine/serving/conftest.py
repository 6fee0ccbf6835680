"""A server on the real engine with a tiny model, and clients."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from engine.llama.backend import LlamaBackend
from engine.presets.preset import Preset, Sampling
from engine.serving.guard import Guard
from engine.serving.protocol import Patience
from engine.serving.server import Address, Server
from tests import ggufs

PRESET = Preset(n_ctx=1024, threads=1, threads_batch=1, parallel=4, stream_batch=1, sampling=Sampling(temperature=0.0))
PATIENCE_S = 60.0


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serves a tiny model, which does not end its answers by itself, on a free port."""
    folder = tmp_path_factory.mktemp("served")
    backend = LlamaBackend(trusted=lambda _path: True, log_path=folder / "native.log")
    served = Server(backend, PRESET, Guard(), Address(port=0), patience=Patience(header_s=0.3))
    backend.load(ggufs.dense(folder / "tiny.gguf"), PRESET, lambda _event: None).result(PATIENCE_S)
    yield served
    served.stop(0.0)
    served.join(PATIENCE_S)
    assert served.ended
    backend.close()


@pytest.fixture
def http(server: Server) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=server.url, timeout=PATIENCE_S) as client:
        yield client


def ask(text: str = "Hello", **more: Any) -> dict[str, Any]:
    """The body of a chat completion."""
    return {"messages": [{"role": "user", "content": text}], "max_tokens": 4, **more}


def events(text: str) -> list[tuple[str, Any]]:
    """The events of a stream: names and objects."""
    out = []
    for block in text.replace("\r\n", "\n").split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if line and not line.startswith(":"))
        if "data" in fields:
            data = fields["data"]
            out.append((fields.get("event", ""), data if data == "[DONE]" else json.loads(data)))
    return out


def golden(name: str) -> str:
    """What llama-server answered."""
    return (Path(__file__).parent / "golden" / name).read_text("utf-8")
