"""Which file a preset, a family or a quant means."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import ModelError
from engine.guide import builtin
from engine.model_ref import BuiltInModel
from engine.models.catalog import list_models
from engine.models.check import check_model
from engine.presets.preset import Preset
from engine.session.model_finder import ModelFinder


class TestFinder:
    def test_a_path_is_taken_as_it_is(self, tmp_path: Path) -> None:
        assert ModelFinder().find(Preset(model=str(tmp_path / "x.gguf")), None) == tmp_path / "x.gguf"
        assert ModelFinder().find(Preset(), None) is None
        assert ModelFinder().find(Preset(), tmp_path) == tmp_path

    def test_a_family_means_the_file_in_use_when_that_is_one_of_it(self, quants: dict[str, Path]) -> None:
        finder = ModelFinder()
        assert finder.find(Preset(model="tiny"), quants["Q4_0"]) == quants["Q4_0"]
        assert finder.find(Preset(model="Tiny Test"), None) == quants["F16"], "the largest that fits"

    def test_a_path_with_a_quant_is_another_file_of_its_family(self, quants: dict[str, Path]) -> None:
        assert ModelFinder().find(Preset(model=str(quants["F16"]), quant="q4_0"), None) == quants["Q4_0"]

    def test_a_quant_that_is_here_twice_is_one_place_in_the_row(self, quants: dict[str, Path], tmp_path: Path) -> None:
        copy = tmp_path / "copies" / "tiny-copy.gguf"
        copy.parent.mkdir()
        copy.write_bytes(quants["Q8_0"].read_bytes())
        finder = ModelFinder(lambda: list_models([copy.parent]))
        for path in (quants["Q8_0"], copy):
            assert [choice.quant for choice in finder.quants(path)] == ["F16", "Q8_0", "Q4_0"]
            assert finder.neighbour(path, 1) == ("Q4_0", quants["Q4_0"])
        with pytest.raises(ModelError) as failed:
            finder.quant(copy, "Q2_K")
        assert failed.value.detail == "Local quants: F16, Q8_0, Q4_0"

    def test_the_built_in_model_has_all_its_quants_before_they_are_made(self) -> None:
        finder = ModelFinder()
        shipped = BuiltInModel("F16")
        assert [choice.quant for choice in finder.quants(shipped)] == ["F16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q2_K"]
        assert [choice.ref for choice in finder.quants(shipped)] == [shipped, None, None, None, None, None]
        assert finder.find(Preset(model="builtin"), None) == shipped

    def test_the_next_quant_of_the_built_in_model_is_made_when_asked_for(self) -> None:
        finder = ModelFinder()
        quant, ref = finder.neighbour(BuiltInModel("F16"), 1)
        assert (quant, ref) == ("Q8_0", BuiltInModel("Q8_0"))
        made = builtin.file_of(ref)
        assert made is not None
        assert check_model(made).facts.quant == "Q8_0"
        assert finder.find(Preset(model="builtin"), ref) == finder.find(Preset(model=str(ref)), None) == ref
        assert finder.find(Preset(model=str(made)), None) == ref, "its file is no other model"
        with pytest.raises(ModelError, match="no larger quant"):
            finder.neighbour(BuiltInModel("F16"), -1)
