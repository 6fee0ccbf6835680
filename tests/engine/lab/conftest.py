"""One backend with a tiny model for the laboratory's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.lab.engine import LabEngine
from engine.llama.backend import LlamaBackend
from tests import ggufs


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ggufs.MAKERS["dense"](tmp_path_factory.mktemp("models") / "tiny.gguf")


@pytest.fixture(scope="session")
def engine() -> Iterator[LabEngine]:
    backend = LlamaBackend(trusted=lambda _path: True)
    yield LabEngine(backend)
    backend.close()
