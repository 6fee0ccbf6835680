"""Tiny models, made once per test session, and one backend for all tests that do not kill theirs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.backend import EngineInfo
from engine.llama.backend import LlamaBackend
from engine.presets.preset import Preset
from tests import ggufs
from tests.engine.llama.driver import PATIENCE_S, SMALL, Driver

SCRIPT = ("Hello", " there", ", how", " are", " you", " today", " é", " 😀", " <b>", "bye")
"""What the scripted model says after a newline."""
PLAIN_SCRIPT = ("Hello", " there", "\nUser: more")
"""What the one without a chat template says: it goes on with the next message of the person."""


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The file of a tiny model by its name in `ggufs.MAKERS`, or by one of those here."""
    folder = tmp_path_factory.mktemp("models")
    made: dict[str, Path] = {}
    makers: dict[str, Callable[[Path], Path]] = {
        **ggufs.MAKERS,
        "scripted": lambda path: ggufs.scripted(path, SCRIPT),
        "plain": lambda path: ggufs.scripted(path, PLAIN_SCRIPT, template=None),
        "narrow": lambda path: ggufs.dense(path, head_size=16),
    }
    """`narrow` has heads too small for a quantized KV cache."""

    def path_of(name: str) -> Path:
        if name not in made:
            made[name] = makers[name](folder / f"{name}.gguf")
        return made[name]

    return path_of


@pytest.fixture(scope="session")
def backend() -> Iterator[LlamaBackend]:
    """The one backend of this process: a second compute thread would slow the first one down."""
    backend = LlamaBackend(trusted=lambda _path: True)
    yield backend
    backend.close()


@pytest.fixture
def load(backend: LlamaBackend, models: Callable[[str], Path]) -> Callable[..., EngineInfo]:
    """Load a tiny model by name; only what differs from the model of the test before is done anew."""

    def load(name: str, preset: Preset = SMALL) -> EngineInfo:
        return backend.load(models(name), preset, lambda _event: None).result(PATIENCE_S)

    return load


@pytest.fixture
def driver(backend: LlamaBackend) -> Iterator[Driver]:
    """Starts turns; those still running at the end of the test are stopped."""
    yield Driver(backend)
    backend.stop()
