"""Isolation for every test: nothing reads or writes the developer's own folders, and nothing depends on their environment."""

from __future__ import annotations

import os
from itertools import count
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("fast", max_examples=20)
"""What `just test-fast` takes."""

settings.register_profile("long", max_examples=500, deadline=None)
"""What `just fuzz` takes."""

XDG = {
    "XDG_CONFIG_HOME": "config",
    "XDG_DATA_HOME": "data",
    "XDG_STATE_HOME": "state",
    "XDG_CACHE_HOME": "cache",
}


NUMBERS = count()


@pytest.fixture(autouse=True)
def isolated_machine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Point HOME and the XDG folders to a place of this test's own and drop variables that would change behaviour."""
    if "tmp_path" in request.fixturenames:
        home: Path = request.getfixturevalue("tmp_path") / "home"
    else:
        # Without a `tmp_path` of its own, for whose number pytest reads the names of all others.
        home = tmp_path_factory.getbasetemp() / f"home{next(NUMBERS)}"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for variable, folder in XDG.items():
        monkeypatch.setenv(variable, str(home / folder))
    for variable in list(os.environ):
        if variable.startswith(("XCHAT_", "LLAMA_ARG_", "HF_", "OLLAMA_")) or variable in {
            "NO_COLOR",
            "COLORTERM",
            "TMUX",
            "SSH_CONNECTION",
        }:
            monkeypatch.delenv(variable)
    return home
