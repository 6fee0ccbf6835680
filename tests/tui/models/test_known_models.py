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
from tui.models.known_models import known_models, with_file
from tui.models.models import ModelsScreen, row
from tui.models.table import Section, Sort, in_sections, model_table


def found() -> list[KnownModel]:
    """What is on this machine besides the built-in model, without what is worth fetching."""
    return [known for known in known_models([]) if known.name != "xchat guide" and not isinstance(known.instead, Fetch)]


def test_the_built_in_model_comes_first_in_all_its_quants() -> None:
    builtin.quant_path("Q8_0")
    guide = [known for known in known_models([]) if known.name == "xchat guide"]
    assert [(known.ref, known.quant, known.place) for known in guide[:2]] == [
        (BuiltInModel("F16"), "F16", "built in"),
        (BuiltInModel("Q8_0"), "Q8_0", "made here"),
    ]
    assert guide[0].size_bytes == builtin.path().stat().st_size
    assert [known.choice for known in guide[2:]] == [BuiltInQuant(quant) for quant in ("Q6_K", "Q5_K_M", "Q4_K_M", "Q2_K")]


def test_then_families_with_their_quants_then_what_is_broken() -> None:
    path = raw_gguf.write(models_dir() / "tiny-Q8_0.gguf")
    (models_dir() / "bad.gguf").write_bytes(b"GGUF")
    tiny, another, bad = found()
    assert (tiny.name, tiny.fits, tiny.problem) == ("tiny", True, "")
    assert (tiny.quant, tiny.size_bytes, tiny.place) == ("Q8_0", path.stat().st_size, "xchat")
    assert tiny.needed_bytes
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
    listed = capsys.readouterr().out
    assert listed.index(Section.UNUSABLE) < listed.index(f"not a chat model ({kind})") < listed.index(Section.ELSEWHERE)


async def test_the_speed_measured_here_stands_beside_a_file() -> None:
    path = raw_gguf.write(models_dir() / "tiny-Q8_0.gguf")
    assert found()[0].speed is None
    await save_session(database_path(), "Hi", at_ms=path.stat().st_mtime_ns // 1_000_000 + 1, model_path=str(path))
    assert found()[0].speed == pytest.approx(62.5, rel=0.1)


def test_the_loaded_file_is_listed_wherever_it_is(tmp_path: Path) -> None:
    outside, inside = raw_gguf.write(tmp_path / "elsewhere" / "mine-Q8_0.gguf"), raw_gguf.write(models_dir() / "tiny-Q8_0.gguf")
    known = known_models([])
    first, *rest = with_file(known, outside)
    assert (first.ref, first.name, first.quant, first.place) == (outside, "mine", "Q8_0", "folder")
    assert rest == known
    assert with_file(known, inside) == known
    assert with_file(known, tmp_path / "gone.gguf") == known


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
    assert " no " in model_table(80).row(tiny)


def test_a_row_stays_one_line_whatever_a_file_calls_itself() -> None:
    shown = row(KnownModel(None, "evil\n\x1b[31mname", problem="bad\nheader"), None, model_table(80))
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


MODELS = [
    KnownModel(Path("/a.gguf"), "Alpha", quant="Q8_0", size_bytes=3 << 30, needed_bytes=4 << 30, fits=False, speed=9.0, place="ollama"),
    KnownModel(
        Path("/b.gguf"), "Beta", quant="Q4_K_M", size_bytes=1 << 30, needed_bytes=2 << 30, speed=104.2, disturbed=True, place="xchat"
    ),
    KnownModel(Path("/c.gguf"), "Gamma", quant="F16", size_bytes=2 << 30, needed_bytes=1 << 30, place="hugging face"),
    KnownModel(Path("/d.gguf"), "delta.gguf", problem="broken"),
    KnownModel(None, "Epsilon", "good prose", quant="Q4_K_M", size_bytes=5 << 30, instead=Fetch("hf:a/b:Q4_K_M")),
]


@pytest.mark.parametrize("width", [70, 80, 94, 140])
def test_a_table_has_a_heading_above_every_value_and_fills_its_width(width: int) -> None:
    table = model_table(width)
    heading, row_of_alpha, row_of_beta = table.heading(), table.row(MODELS[0]), table.row(MODELS[1])
    for title, value in (
        ("quant", "Q8_0"),
        ("size", "3.22 GB"),
        ("needs", "4.29 GB"),
        ("fits", "no"),
        ("tokens/s", "9.0"),
        ("from", "ollama"),
    ):
        place = heading.index(title)
        assert place - 4 <= row_of_alpha.index(value) < place + len(title), (title, value)
    assert "~104" in row_of_beta
    assert all(len(table.row(model)) <= width for model in MODELS)


def test_a_narrow_table_keeps_what_matters_most() -> None:
    assert [column.title for column in model_table(50).columns] == ["quant", "size", "fits", "tokens/s"]
    assert model_table(10).row(MODELS[0])


def test_models_are_sorted_within_what_is_here_and_what_can_be_fetched() -> None:
    def names(sort: Sort) -> list[str]:
        return [model.name for _, models in in_sections(reversed(MODELS), sort) for model in models]

    assert names(Sort.SPEED) == ["Beta", "Alpha", "Gamma", "delta.gguf", "Epsilon"]
    assert names(Sort.SIZE) == ["Beta", "Gamma", "Alpha", "delta.gguf", "Epsilon"]
    assert names(Sort.NEEDS) == ["Gamma", "Beta", "Alpha", "delta.gguf", "Epsilon"]


@pytest.mark.slow
async def test_the_screen_shows_the_table_of_the_command_line_and_a_key_sorts_it() -> None:
    async with program(known_models=lambda: MODELS, size=(120, 40)) as run:
        await run.pilot.press("f3")
        await run.until("Alpha")
        screen = run.app.screen
        assert isinstance(screen, ModelsScreen)
        table = model_table(screen.row_cells)

        def shown() -> list[str]:
            return [str(option.prompt).rstrip() for option in screen.options.options]

        def expected(sort: Sort) -> list[str]:
            parts = in_sections(MODELS, sort)
            return [
                line
                for section, models in parts
                for line in ([table.rule(section)] * (section is not Section.HERE) + [table.row(model) for model in models])
            ]

        assert shown() == expected(Sort.FOUND)
        await run.until(table.heading())
        await run.pilot.press("alt+o")
        await run.until("tokens/s↓")
        assert shown() == expected(Sort.SPEED)
        await run.pilot.press(*"eps")
        await wait_until(run.pilot, lambda: len(shown()) == 2)
        assert screen.chosen_id == "4"
