"""Which model comes first."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.config import Config, EngineConfig, ModelsConfig
from engine.errors import ModelError
from engine.last_used import remember
from engine.model_ref import BuiltInModel, RemoteModel
from engine.paths import models_dir
from engine.presets.folder import PresetFolder
from engine.presets.preset import Preset
from engine.session.open import first_model
from tests.engine.models import raw_gguf

OFFICE = Config(engines=[EngineConfig(name="office", base_url="http://x", model="usual"), EngineConfig(name="lab", base_url="http://y")])


def test_the_built_in_model_when_nothing_is_known() -> None:
    assert first_model(None, Config()) == BuiltInModel("F16")
    assert first_model("builtin", Config()) == BuiltInModel("F16")


def test_a_quant_of_the_built_in_model_can_be_asked_for() -> None:
    assert first_model("builtin", Config(), Preset(quant="Q8_0")) == BuiltInModel("Q8_0")


def test_the_last_model_unless_it_is_gone() -> None:
    own = raw_gguf.write(models_dir() / "tiny-Q8_0.gguf")
    remember(model=str(own))
    assert first_model(None, Config()) == own
    assert first_model(None, Config(), Preset(name="fast")) == own
    own.unlink()
    assert first_model(None, Config()) == BuiltInModel("F16")


def test_the_built_in_model_is_remembered_by_its_quant_and_not_by_where_it_lay() -> None:
    remember(model="builtin:Q8_0")
    assert first_model(None, Config()) == BuiltInModel("Q8_0")
    remember(model="builtin:Q1")
    assert first_model(None, Config()) == BuiltInModel("F16"), "a quant that there is no more"


def test_the_last_model_of_another_engine_while_that_is_configured() -> None:
    remember(model="remote:office/big")
    assert first_model(None, OFFICE) == RemoteModel("office", "big")
    assert first_model(None, Config()) == BuiltInModel("F16")


@pytest.mark.parametrize(
    ("asked", "model"),
    [
        ("office", "usual"),
        ("office/", "usual"),
        ("office/org/big.gguf", "org/big.gguf"),
        ("remote:office/big", "big"),
        ("remote:office/", "usual"),
    ],
)
def test_a_model_of_another_engine_is_named_by_the_engine(asked: str, model: str) -> None:
    assert first_model(asked, OFFICE) == RemoteModel("office", model)


def test_an_engine_without_a_default_model_takes_the_first_of_its_list() -> None:
    assert first_model("lab", OFFICE) == RemoteModel("lab", "")


def test_an_unknown_engine_is_refused_in_words() -> None:
    with pytest.raises(ModelError, match="no model 'elsewhere/big'"):
        first_model("elsewhere/big", OFFICE)


def test_what_is_asked_for_is_stronger_than_the_preset_and_that_than_the_config(tmp_path: Path) -> None:
    config = Config(model="/config.gguf")
    assert first_model("/asked.gguf", config, Preset(model="/preset.gguf")) == Path("/asked.gguf")
    assert first_model(None, config, Preset(model="/preset.gguf")) == Path("/preset.gguf")
    assert first_model(None, config, Preset()) == Path("/config.gguf")


def test_a_family_in_a_folder_of_the_config(tmp_path: Path) -> None:
    file = raw_gguf.write(tmp_path / "mine" / "tiny-Q8_0.gguf")
    assert first_model("tiny", Config(models=ModelsConfig(folders=[str(tmp_path / "mine")]))) == file
    with pytest.raises(ModelError, match="no model 'huge'"):
        first_model("huge", Config())


def test_a_file_without_the_usual_ending_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw_gguf.write(tmp_path / "blob")
    monkeypatch.chdir(tmp_path)
    assert first_model("blob", Config()) == Path("blob")


def test_a_model_of_the_hub_is_found_by_its_name_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    file = raw_gguf.write(tmp_path / "models--org--tiny-GGUF" / "snapshots" / "1" / "tiny-Q8_0.gguf")
    assert first_model("hf:org/tiny-GGUF", Config()) == file
    assert first_model("hf:org/tiny-GGUF:q8_0", Config()) == file
    assert first_model("hf:org/tiny-GGUF:tiny-Q8_0.gguf", Config()) == file
    with pytest.raises(ModelError, match="hf:org/tiny-GGUF:Q4_K_M is not on this machine") as failed:
        first_model("hf:org/tiny-GGUF:Q4_K_M", Config())
    assert "xchat models pull hf:org/tiny-GGUF:Q4_K_M" in failed.value.hint


def test_a_missing_model_is_said_to_come_from_the_preset_that_names_it() -> None:
    PresetFolder().save(Preset(name="mine", model="nowhere"))
    with pytest.raises(ModelError) as failed:
        first_model(None, Config(), Preset(name="mine", model="nowhere"))
    assert failed.value.detail == "Preset 'mine' names it"
    with pytest.raises(ModelError) as failed:
        first_model("elsewhere", Config(), Preset(name="mine", model="nowhere"))
    assert "mine" not in str(failed.value)
