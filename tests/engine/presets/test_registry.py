"""The registry of settings: every key has every property, and what is derived from it says the same."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import pytest

from engine.errors import UsageError
from engine.presets.foreign import from_variables
from engine.presets.preset import SAMPLING, SETTINGS, TYPES, Cost, Preset, Sampling, cost_of_change, kv_layout, value_of
from engine.presets.settings import KEYS, NAMES, allowed, difference, key_named, with_values
from engine.store.export.llama_bench import BENCH_KEYS, settings_of
from tests.engine.presets.values import OTHER
from tui.cli.ask import add_parser
from tui.cli.main import Parser
from tui.cli.preset_flags import OWN_FLAGS, flags_of
from tui.cli.presets import markdown_table

ROOT = Path(__file__).parents[3]


def changed(key: str) -> Preset:
    return with_values(Preset(), {key: OTHER[key]})


def test_every_field_of_a_preset_is_a_setting() -> None:
    fields = {*Preset.__struct_fields__, *(f"{SAMPLING}.{field}" for field in Sampling.__struct_fields__)}
    assert set(SETTINGS) == set(TYPES) == set(OTHER) == fields - {"name", SAMPLING}


@pytest.mark.parametrize("key", KEYS)
class TestEveryKey:
    def test_says_what_it_means_and_may_be(self, key: str) -> None:
        meaning = SETTINGS[key].meaning
        assert meaning
        assert not meaning.endswith(".")
        assert len(meaning) <= 100
        assert "%" not in meaning, "the help of a flag is a format"
        assert allowed(key)
        with pytest.raises(UsageError, match=r"It may be") as caught:
            with_values(Preset(), {key: object()})
        assert allowed(key) in caught.value.hint

    def test_costs_what_the_registry_says(self, key: str) -> None:
        cost = SETTINGS[key].cost
        assert cost_of_change(Preset(), changed(key)) is cost
        assert [(change.key, change.cost) for change in difference(Preset(), changed(key))] == ([(key, cost)] if cost else [])
        assert (cost is None) == (key == "description")

    def test_keeps_the_kv_state_exactly_where_the_layout_stays(self, key: str) -> None:
        same = kv_layout(changed(key)) == kv_layout(Preset())
        assert SETTINGS[key].keeps_kv == (same and SETTINGS[key].cost is not Cost.RELOAD)
        assert SETTINGS[key].kv_layout is None or SETTINGS[key].cost is Cost.REBUILD

    def test_is_known_by_all_its_names(self, key: str) -> None:
        for name in (*SETTINGS[key].names, key, key.rpartition(".")[2]):
            assert key_named(f"--{name.replace('_', '-').upper()}") == key

    def test_has_the_flag_of_llama_cpp_where_it_samples(self, key: str) -> None:
        assert SETTINGS[key].llama or not key.startswith(SAMPLING)


def test_no_name_means_two_settings() -> None:
    spelled = Counter(name for key, setting in SETTINGS.items() for name in {*setting.names, key, key.rpartition(".")[2]})
    assert [name for name, times in spelled.items() if times > 1] == []
    assert set(NAMES) == set(spelled)


def test_the_help_of_a_command_has_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    parser: argparse.ArgumentParser = Parser(prog="xchat ask")
    subparsers = parser.add_subparsers()
    add_parser(subparsers)
    with pytest.raises(SystemExit):
        parser.parse_args(["ask", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    for key in set(KEYS) - OWN_FLAGS:
        assert all(f"{flag} X" in text for flag in flags_of(key)), key
        assert " ".join(f"{SETTINGS[key].meaning}: {allowed(key)}".split()).replace("-", "") in text.replace("-", "").replace("  ", " "), (
            key
        )


def test_the_docs_have_the_table_of_the_registry() -> None:
    text = (ROOT / "docs" / "settings.md").read_text("utf-8")
    assert markdown_table() in text, "run `xchat presets keys --markdown` and paste it into docs/settings.md"


def test_values_that_mean_llama_cpps_own_choice_are_the_default_here() -> None:
    for key, setting in SETTINGS.items():
        for word in setting.default_words.split():
            name = max(setting.llama.split(), key=len).lstrip("-").replace("-", "_").upper()
            assert value_of(from_variables({f"LLAMA_ARG_{name}": word}).preset, key) == value_of(Preset(), key)


def test_llama_bench_gets_the_settings_that_it_has_a_field_for() -> None:
    assert set(BENCH_KEYS) == {"n_batch", "n_ubatch", "type_k", "type_v", "flash_attn", "repack"}
    assert settings_of('{"n_ubatch": 64, "repack": false}') == {
        "n_batch": 512,
        "n_ubatch": 64,
        "type_k": "f16",
        "type_v": "f16",
        "flash_attn": -1,
        "repack": False,
        "load_mode": "mmap",
    }


@pytest.mark.parametrize(
    ("values", "words"),
    [({"type_v": "q8_0", "flash_attn": "off"}, "type_v and flash_attn"), ({"n_batch": 64, "n_ubatch": 128}, "n_ubatch is larger")]
    + [({"tensor_split": text}, "tensor_split can't be") for text in ("", "0,0", "3,-1", "a,b", "1,,1", "nan", "1e9")],
)
def test_a_preset_that_contradicts_itself_can_not_be_made(values: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Preset(**values)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=f"mine.toml: {words}"):
        with_values(Preset(), values, where="mine.toml")
