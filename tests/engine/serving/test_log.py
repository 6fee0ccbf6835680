"""Every answer is a logged turn; its texts only if asked for."""

from __future__ import annotations

import json
import sqlite3
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest

from engine.llama.backend import LlamaBackend
from engine.serving.guard import Guard
from engine.serving.server import Address, LogTo, Server
from engine.store.sqlite.pragmas import BALANCED
from engine.store.writer import Store
from tests import ggufs
from tests.engine.serving.conftest import PATIENCE_S, PRESET, ask

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("texts", [False, True])
def test_each_answer_is_a_turn_with_its_figures(tmp_path: Path, texts: bool) -> None:
    path, reports = tmp_path / "xchat.db", list[Any]()
    backend = LlamaBackend(trusted=lambda _path: True, log_path=tmp_path / "native.log")
    backend.load(ggufs.dense(tmp_path / "tiny.gguf"), PRESET, lambda _event: None).result(PATIENCE_S)
    log = LogTo(partial(Store.open, path, BALANCED), texts, lambda *report: reports.append(report))
    server = Server(backend, PRESET, Guard(), Address(port=0), log=log)
    said = httpx2.post(f"{server.url}/v1/chat/completions", json=ask("Secret words", n=2), timeout=PATIENCE_S).json()
    httpx2.post(f"{server.url}/v1/completions", json={"prompt": "Once", "max_tokens": 3, "top_k": 7}, timeout=PATIENCE_S)
    server.stop(0.0)
    server.join(PATIENCE_S)
    backend.close()
    assert [error for _, error in reports if error is not None] == []
    with sqlite3.connect(path) as db:
        turns = db.execute("SELECT predicted_n, stop_reason, session_id, ttft_ms FROM turns").fetchall()
        logged = [json.loads(preset)["sampling"]["top_k"] for (preset,) in db.execute("SELECT preset_json FROM turns")]
        messages = db.execute("SELECT role, text FROM messages").fetchall()
    assert [(n, reason) for n, reason, *_ in turns] == [(4, "length"), (4, "length"), (3, "length")]
    assert logged == [PRESET.sampling.top_k] * 2 + [7]
    assert len({session for _, _, session, _ in turns}) == 1
    assert all(ttft > 0 for *_, ttft in turns)
    assert [role for role, _ in messages].count("user") == 2
    assert any("Secret" in text for _, text in messages) is texts
    assert any(said["choices"][0]["message"]["content"] == text for _, text in messages) is texts
