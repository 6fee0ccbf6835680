"""A session that is not logged, whose answers wait for their gates."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from engine.presets.preset import Preset
from engine.session.session import Session
from tests.engine.session.watched import MODEL
from tests.fake_backend import FakeBackend


@pytest.fixture
async def watched_unlogged() -> AsyncIterator[Session]:
    session = Session(FakeBackend(gated=True), preset=Preset())
    await session.load(MODEL)
    yield session
    await session.close()
