"""`--preset` and the flags over it."""

from __future__ import annotations

import argparse

import pytest

from engine.config import Config
from engine.errors import UsageError
from engine.last_used import remember
from engine.presets.folder import PresetFolder
from engine.presets.preset import Preset, Sampling
from tui.cli.main import parse
from tui.cli.preset_flags import preset_of


def options(*words: str) -> argparse.Namespace:
    return parse(["ask", "hello", *words])


def test_flags_go_over_the_preset_and_the_model_asked_for_over_both() -> None:
    PresetFolder().save(Preset(name="mine", model="qwen3", threads=2, n_ctx=512))
    preset = preset_of(options("--preset", "mine", "--threads", "auto", "--temp", "0", "-m", "/x.gguf", "--quant", "Q8_0"), Config())
    assert preset == Preset(name="mine", model="/x.gguf", quant="Q8_0", n_ctx=512, sampling=Sampling(temperature=0))


def test_the_screen_takes_the_same_flags() -> None:
    parsed = parse(["/x.gguf", "--preset", "fast", "--ctx", "1k", "--force"])
    assert parsed.force
    preset = preset_of(parsed, Config())
    assert (preset.name, preset.model, preset.n_ctx) == ("fast", "/x.gguf", 1024)


def test_the_preset_used_last_is_used_again_unless_it_is_gone() -> None:
    remember(preset="quality")
    assert preset_of(options(), Config()).name == "quality"
    assert preset_of(options(), Config(preset="fast")).name == "fast"
    remember(preset="deleted")
    assert preset_of(options(), Config()).name == "daily"


def test_a_value_that_can_not_be_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="threads can't be 0"):
        preset_of(options("--threads", "0"), Config())
