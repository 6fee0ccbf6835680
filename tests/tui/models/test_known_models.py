"""The list of the models screen: what is here, what it needs, and what is wrong with the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.guide import builtin
from engine.host.topology import Room, read_room
from engine.model_ref import BuiltInModel
from engine.models.recommended import recommended
from engine.paths import database_path, models_dir
from tests.engine.models import raw_gguf
from tests.tui.host import wait_until
from tests.tui.program import program
from tests.tui.saved import save_session
from tui.choices import BuiltInQuant, Fetch, KnownModel, OtherQuant
from tui.cli.main import main
from tui.models.known_models import known_models
from tui.models.models import ModelsScreen, row


def found() -> list[KnownModel]:
    """What is on this machine besides the built-in model, without what is worth fetching."""
    return [known for known in known_models([]) if known.name != "xchat guide" and not isinstance(known.instead, Fetch)]


def test_the_built_in_model_comes_first_in_all_its_quants() -> None:
    builtin.quant_path("Q8_0")
    guide = [known for known in known_models([]) if known.name == "xchat guide"]
    assert guide[0] == KnownModel(BuiltInModel("F16"), "xchat guide", "F16  comes with xchat")
    assert guide[1] == KnownModel(BuiltInModel("Q8_0"), "xchat guide", "Q8_0  made here")
    assert [known.choice for known in guide[2:]] == [BuiltInQuant(quant) for quant in ("Q6_K", "Q5_K_M", "Q4_K_M", "Q2_K")]


def test_then_families_with_their_quants_then_what_is_broken() -> None:
    path = raw_gguf.write(models_dir() / "tiny-Q8_0.gguf")
    (models_dir() / "bad.gguf").write_bytes(b"GGUF")
    tiny, another, bad = found()
    assert (tiny.name, tiny.fits, tiny.problem) == ("tiny", True, "")
    assert tiny.detail.startswith("Q8_0  ")
    assert "needs " in tiny.detail
    assert tiny.detail.endswith("xchat")
    assert another.choice == OtherQuant(path, frozenset({"Q8_0"}))
    assert bad.problem


@pytest.mark.parametrize(
    ("name", "changes", "kind"),
    [
        ("minilm.gguf", {"general__architecture": "bert"}, "embedding model"),
        ("flan.gguf", {"general__architecture": "t5"}, "encoder-decoder"),
        ("llava.gguf", {"tensors": [*raw_gguf.TENSORS, ("v.blk.0.attn_q.weight", (64, 64), raw_gguf.Q8_0)]}, "merged vision model"),
        ("mmproj-tiny.gguf", {}, "mmproj"),
    ],
)
def test_what_is_not_a_chat_model_is_named_as_what_it_is_as_on_the_command_line(
    name: str, changes: dict[str, Any], kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = raw_gguf.write(models_dir() / name, **changes)
    assert found() == [KnownModel(path, name, problem=f"not a chat model ({kind})")]
    assert main(["models", "list"]) == 0
    assert f"not a chat model ({kind}): {path}" in capsys.readouterr().out


async def test_the_speed_measured_here_stands_beside_a_file() -> None:
    path = raw_gguf.write(models_dir() / "tiny-Q8_0.gguf")
    assert "tokens/s" not in found()[0].detail
    await save_session(database_path(), "Hi", at_ms=path.stat().st_mtime_ns // 1_000_000 + 1, model_path=str(path))
    assert "tokens/s here" in found()[0].detail


def test_models_that_suit_this_machine_come_last_unless_they_are_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    offered = [known.choice for known in known_models([]) if isinstance(known.instead, Fetch)]
    assert offered == [Fetch(model.reference) for model in recommended(read_room())]
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    raw_gguf.write(tmp_path / recommended(read_room())[0].cache_folder / "snapshots" / "1" / "m.gguf")
    assert [known.choice for known in known_models([]) if isinstance(known.instead, Fetch)] == offered[1:]


def test_what_does_not_fit_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    raw_gguf.write(models_dir() / "tiny-Q8_0.gguf")
    monkeypatch.setattr("engine.host.topology.read_room", lambda: Room(available=1000, total=1000, limited=False))
    tiny, _ = found()
    assert not tiny.fits
    assert ", does not fit" in tiny.detail


def test_a_row_stays_one_line_whatever_a_file_calls_itself() -> None:
    shown = row(KnownModel(None, "evil\n\x1b[31mname", problem="bad\nheader"), None)
    assert "\n" not in shown.plain
    assert "\x1b" not in shown.plain


@pytest.mark.slow
async def test_a_model_that_is_not_there_is_not_loaded() -> None:
    async with program(known_models=lambda: [KnownModel(None, "xchat guide", problem="It is missing")]) as run:
        loads = len(run.backend.loads)
        await run.pilot.press("f3")
        await run.until("It is missing")
        await run.pilot.press("enter", "enter")
        await wait_until(run.pilot, lambda: isinstance(run.app.screen, ModelsScreen))
        assert len(run.backend.loads) == loads
