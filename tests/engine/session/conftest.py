"""A session on a backend that says a script, and files of one model in three quants."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from engine.config import Config
from engine.paths import models_dir
from engine.presets.preset import Preset
from engine.session import journal
from engine.session.open import open_session
from engine.session.session import Session
from engine.store.reader import Reader
from engine.store.sqlite.pragmas import Profile
from engine.store.writer import Store
from tests.engine.models import raw_gguf
from tests.engine.session.logged_chat import Chat
from tests.engine.session.watched import MODEL, Watched
from tests.fake_backend import FakeBackend


@pytest.fixture
async def watched() -> AsyncIterator[Watched]:
    backend = FakeBackend()
    session = await open_session(Preset(), Config(), backend=backend)
    await session.load(MODEL)
    yield Watched(session, backend)
    await session.close()


@pytest.fixture
def quants() -> dict[str, Path]:
    files = {}
    for quant, (file_type, kind) in {"F16": (1, raw_gguf.F16), "Q8_0": (7, raw_gguf.Q8_0), "Q4_0": (2, 2)}.items():
        tensors = [(name, shape, kind if len(shape) > 1 else raw_gguf.F32) for name, shape, _ in raw_gguf.TENSORS]
        files[quant] = raw_gguf.write(models_dir() / f"tiny-{quant}.gguf", tensors=tensors, general__file_type=file_type)
    return files


@pytest.fixture
async def chat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Chat]:
    monkeypatch.setattr(journal, "RETRY_S", 0.02)
    path = tmp_path / "x.db"
    store = await Store.open(path, Profile.of("balanced", {"busy_timeout": 50}))
    backend = FakeBackend()
    session = Session(backend, preset=Preset(), store=store, reader=await Reader.open(path))
    await session.load(MODEL)
    yield Chat(session, backend, path)
    await session.close()
