"""The list of the models screen: what is here, what it needs, and what is wrong with the rest."""

from __future__ import annotations

import pytest

from engine.demo import builtin
from engine.paths import models_dir
from engine.presets.topology import Room
from tests.engine.models import raw_gguf
from tests.tui.host import wait_until
from tests.tui.program import program
from tui.known_models import known_models
from tui.options import KnownModel
from tui.screens.models import ModelsScreen, row


def test_the_built_in_model_comes_first_then_families_then_what_is_broken() -> None:
    raw_gguf.write(models_dir() / "tiny-Q8_0.gguf")
    (models_dir() / "bad.gguf").write_bytes(b"GGUF")
    guide, tiny, bad = known_models([])
    assert guide == KnownModel(builtin.path(), "xchat guide", "F16  comes with xchat")
    assert (tiny.name, tiny.fits, tiny.problem) == ("Tiny Test", True, "")
    assert tiny.detail.startswith("Q8_0  ")
    assert "needs " in tiny.detail
    assert tiny.detail.endswith("xchat")
    assert bad.problem


def test_what_does_not_fit_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    raw_gguf.write(models_dir() / "tiny-Q8_0.gguf")
    monkeypatch.setattr("engine.presets.topology.read_room", lambda: Room(available=1000, total=1000, limited=False))
    _, tiny = known_models([])
    assert not tiny.fits
    assert ", does not fit" in tiny.detail


def test_a_row_stays_one_line_whatever_a_file_calls_itself() -> None:
    shown = row(KnownModel(None, "evil\n\x1b[31mname", problem="bad\nheader"), None)
    assert "\n" not in shown.plain
    assert "\x1b" not in shown.plain


async def test_a_model_that_is_not_there_is_not_loaded() -> None:
    async with program(known_models=lambda: [KnownModel(None, "xchat guide", problem="It is missing")]) as run:
        loads = len(run.backend.loads)
        await run.pilot.press("f3")
        await run.until("It is missing")
        await run.pilot.press("enter", "enter")
        await wait_until(run.pilot, lambda: isinstance(run.app.screen, ModelsScreen))
        assert len(run.backend.loads) == loads
