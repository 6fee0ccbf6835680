"""Presets as files, as KEY=VALUE words and as other programs' settings; what is said of those that can't be."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import UsageError
from engine.host.topology import Room, Topology
from engine.presets.folder import PresetFolder, read_preset, to_toml
from engine.presets.foreign import from_variables
from engine.presets.preset import Cost, Preset, Sampling, kv_layout
from engine.presets.price import PriceHistory, price_of
from engine.presets.settings import difference, key_named, parse_assignments, with_text
from engine.presets.sharing import read
from engine.presets.shipped import NAMES, shipped_presets

GIB = 1 << 30
SMALL = Topology(usable=2, cores=2, fast_cores=2, quota=None)
LARGE = Topology(usable=32, cores=16, fast_cores=16, quota=None)


def room(total: int) -> Room:
    return Room(total // 2, total, limited=False)


def refused(call: object, *args: object) -> UsageError:
    with pytest.raises(UsageError) as caught:
        call(*args)  # type: ignore[operator]
    return caught.value


def file(tmp_path: Path, text: str, name: str = "mine.toml") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def test_a_saved_preset_is_read_back(tmp_path: Path) -> None:
    folder = PresetFolder(tmp_path / "presets")
    preset = Preset(
        name="mine", threads=3, n_ctx=4096, type_k="q8_0", system="Be brief.\nPlease.", sampling=Sampling(temperature=0.0, seed=7)
    )
    path = folder.save(preset)
    assert folder.load().get("mine") == preset
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert folder.load().own == {"mine"}


presets = st.builds(
    Preset,
    name=st.just("mine"),
    threads=st.one_of(st.just("auto"), st.integers(1, 1024)),
    n_ctx=st.one_of(st.just("auto"), st.integers(256, 1 << 20)),
    system=st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"]), max_size=50)),
    mmap=st.booleans(),
    max_tokens=st.one_of(st.none(), st.integers(1, 10_000)),
    sampling=st.builds(Sampling, temperature=st.floats(0, 10), seed=st.one_of(st.none(), st.integers(0, 2**32 - 2))),
)


@given(preset=presets)
def test_any_preset_survives_being_written(tmp_path_factory: pytest.TempPathFactory, preset: Preset) -> None:
    path = tmp_path_factory.mktemp("presets") / "mine.toml"
    path.write_text(to_toml(preset), "utf-8", newline="")
    assert read_preset(path) == preset


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("threads = 2\nthreds_batch = 2\n", ["mine.toml, line 2", "threds_batch", "threads_batch"]),
        ("[sampling]\ntemprature = 1\n", ["mine.toml, line 2", "sampling.temperature"]),
        ("temp = 1.0\n", ["line 1", "sampling.temperature"]),
        ("\n\nthreads = 0\n", ["mine.toml, line 3", "threads", "from 1 to 1,024"]),
        ("threads = 10000\n", ["threads", "10000", "1,024"]),
        ("threads = 2.5\n", ["threads", "2.5", "whole number"]),
        ("mmap = 'maybe'\n", ["mmap", "maybe", "true or false"]),
        ("type_k = 'q3_k'\n", ["type_k", "q8_0"]),
        ("sampling = 3\n", ["sampling"]),
        ("[sampling]\ntop_p = 2\n", ["line 2", "sampling.top_p", "to 1.0"]),
        ("type_v = 'q8_0'\nflash_attn = 'off'\n", ["type_v", "flash_attn"]),
        ("n_batch = 64\nn_ubatch = 128\n", ["n_ubatch", "64"]),
        ("threads = \n", ["mine.toml", "TOML", "line 1"]),
        ("a = 1\na = 2\n", ["TOML"]),
        ("x = " + "[" * 5000, ["TOML"]),
    ],
)
def test_a_wrong_file_names_file_line_key_and_the_way_out(tmp_path: Path, text: str, words: list[str]) -> None:
    error = refused(read_preset, file(tmp_path, text))
    assert all(word in f"{error}" for word in words), str(error)
    assert error.hint


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_bytes(b"\xff\xfe\x00")
    assert "mine.toml" in str(refused(read_preset, tmp_path / "mine.toml"))


def test_broken_files_do_not_hide_the_others(tmp_path: Path) -> None:
    file(tmp_path, "threads = 0\n", "broken.toml")
    file(tmp_path, "threads = 2\n", "good.toml")
    file(tmp_path, "n_ctx = 512\n", "daily.toml")
    shelf = PresetFolder(tmp_path, shipped_presets(SMALL, room(8 * GIB))).load()
    assert shelf.get("good").threads == 2
    assert shelf.get("daily").n_ctx == 512, "an own file counts more than the shipped preset of its name"
    assert list(shelf.presets)[: len(NAMES)] == list(NAMES)
    assert ["broken.toml" in str(problem) for problem in shelf.problems] == [True]
    assert "Did you mean daily?" in str(refused(shelf.get, "dayli"))


def test_deleting_needs_a_file(tmp_path: Path) -> None:
    folder = PresetFolder(tmp_path)
    folder.save(Preset(name="daily", threads=1))
    folder.delete("daily")
    assert folder.load().get("daily").threads == "auto"
    assert "comes with xchat" in str(refused(folder.delete, "daily"))
    assert refused(folder.delete, "nothing").exit_code == 2


@pytest.mark.parametrize("name", ["", "..", "a/b", "../x", "x\n", "-x", "a" * 65, "é"])
def test_a_name_that_is_no_file_name_is_refused(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "presets"
    assert "can't be called" in str(refused(PresetFolder(folder).save, Preset(name=name)))
    assert not folder.exists()


def test_a_folder_that_is_a_file_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "presets").write_text("")
    assert "can't be saved" in str(refused(PresetFolder(tmp_path / "presets").save, Preset(name="x")))


@pytest.mark.parametrize(
    ("word", "key", "value"),
    [
        ("threads=auto", "threads", "auto"),
        ("n-threads=3", "threads", 3),
        ("ctx=8k", "n_ctx", 8192),
        ("n_ctx=16,384", "n_ctx", 16_384),
        ("temp=0", "sampling.temperature", 0.0),
        ("top_k=0", "sampling.top_k", 0),
        ("sampling.seed=none", "sampling.seed", None),
        ("mmap=off", "mmap", False),
        ("flash-attn=ON", "flash_attn", "on"),
        ("system=You are  brief", "system", "You are  brief"),
        ("quant=none", "quant", None),
        ("model=/a=b.gguf", "model", "/a=b.gguf"),
    ],
)
def test_words_are_understood(word: str, key: str, value: object) -> None:
    changed = with_text(Preset(), parse_assignments([word]))
    table, _, field = key.rpartition(".")
    assert getattr(changed.sampling if table else changed, field) == value


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("threads", "KEY=VALUE"),
        ("thread=2", "Did you mean threads?"),
        ("zzz=1", "Known settings"),
        ("threads=0", "threads can't be 0"),
        ("threads=-1", "threads can't be -1"),
        ("threads=lots", "threads can't be lots"),
        ("temperature=hot", "sampling.temperature can't be hot"),
        ("temperature=nan", "can't be nan"),
        ("n_ctx=99999999999999999999", "n_ctx"),
    ],
)
def test_wrong_words_say_what_may_be(word: str, text: str) -> None:
    with pytest.raises(UsageError) as caught:
        with_text(Preset(), parse_assignments([word]))
    assert text in str(caught.value)


def test_names_of_other_programs_are_known() -> None:
    assert key_named("--ctx-size") == "n_ctx"
    assert key_named("num_predict") == "max_tokens"


def test_a_difference_lists_keys_with_their_cost() -> None:
    changes = difference(Preset(), Preset(name="other", description="x", threads=2, n_ctx=512, sampling=Sampling(top_k=1)))
    assert [(change.key, change.cost) for change in changes] == [
        ("threads", Cost.HOT),
        ("n_ctx", Cost.REBUILD),
        ("sampling.top_k", Cost.HOT),
    ]
    assert str(changes[0]) == "threads: auto -> 2 (hot)"


@pytest.mark.parametrize("topology", [SMALL, LARGE])
@pytest.mark.parametrize("total", [1, 2, 4, 8, 24, 64, 512])
def test_shipped_presets_are_valid_on_any_machine(topology: Topology, total: int) -> None:
    shipped = shipped_presets(topology, room(total * GIB))
    assert tuple(shipped) == NAMES
    for name, preset in shipped.items():
        assert preset.name == name
        assert preset.description
        assert with_text(preset, {"threads": "auto"}) == preset
    window = shipped["long-context"].n_ctx
    assert isinstance(window, int)
    assert window >= 8192
    assert shipped_presets(topology, room(2 * total * GIB))["long-context"].n_ctx >= window  # type: ignore[operator]


def test_variables_of_llama_cpp_become_a_preset() -> None:
    environ = {
        "LLAMA_ARG_THREADS": "3",
        "LLAMA_ARG_CTX_SIZE": "0",
        "LLAMA_ARG_CACHE_TYPE_K": "q8_0",
        "LLAMA_ARG_FLASH_ATTN": "1",
        "LLAMA_ARG_N_PREDICT": "-1",
        "LLAMA_ARG_NO_MMAP": "1",
        "LLAMA_ARG_N_GPU_LAYERS": "99",
        "LLAMA_ARG_LORA": "x.gguf",
        "OTHER": "x",
    }
    imported = from_variables(environ)
    preset = imported.preset
    assert (preset.threads, preset.n_ctx, preset.type_k, preset.flash_attn, preset.max_tokens, preset.mmap) == (
        3,
        "auto",
        "q8_0",
        "on",
        None,
        False,
    )
    assert preset.n_gpu_layers == 99
    assert imported.left_out == ("LLAMA_ARG_LORA",)
    assert "threads can't be many" in str(refused(from_variables, {"LLAMA_ARG_THREADS": "many"}))


def test_an_ini_file_of_llama_server_becomes_presets(tmp_path: Path) -> None:
    path = file(
        tmp_path,
        "version = 1\n[*]\nc = 4096\nload-on-startup = false\n\n[org/repo:Q8_0]\ntemp = 0.5\n\n"
        "[my model]\nLLAMA_ARG_MODEL = /m.gguf\ncache-type-v = q8_0\nflash-attn = on\nno-mmap\n",
        "models.ini",
    )
    first, second = read(path)
    assert (first.preset.name, first.preset.model, first.preset.n_ctx) == ("org-repo-Q8_0", "hf:org/repo:Q8_0", 4096)
    assert first.preset.sampling.temperature == 0.5
    assert (second.preset.name, second.preset.model, second.preset.mmap) == ("my-model", "/m.gguf", False)
    assert "load-on-startup" in second.left_out


@pytest.mark.parametrize("text", ["[a\nx", "[a]\nthreads = none of them\n", "[a]\n= 3\n"])
def test_a_wrong_ini_file_is_refused(tmp_path: Path, text: str) -> None:
    assert "models.ini" in str(refused(read, file(tmp_path, text, "models.ini")))


async def test_prices_are_known_from_the_last_time(tmp_path: Path) -> None:
    history = PriceHistory(tmp_path / "prices.json")
    history.record(Cost.RELOAD, "/m.gguf", 9.0)
    history.record(Cost.RELOAD, "/m.gguf", 1.25)
    history.record_prefill("/m.gguf", 200.0)
    await history.save()
    history = await read_history(tmp_path)
    before = Preset()
    reload = price_of(before, Preset(quant="Q8_0"), history, model="/m.gguf", context_used=1000, carried_over=True)
    assert (reload.cost, reload.seconds, reload.tokens, reload.prefill_seconds) == (Cost.RELOAD, 1.25, 1000, 5.0)
    assert "1.2 s last time" in reload.sentence
    assert "1,000 tokens" in reload.sentence
    again = price_of(before, Preset(repack=False), history, model="/m.gguf", context_used=0, carried_over=True)
    assert again.sentence == "Loads the file again: 1.2 s last time"
    rebuild = price_of(before, Preset(n_ctx=512), history, model="/m.gguf", context_used=1000, carried_over=True)
    assert (rebuild.cost, rebuild.tokens) == (Cost.REBUILD, 0)
    assert "not timed" in rebuild.sentence
    hot = price_of(before, Preset(threads=1), history, model="/m.gguf", context_used=1000, carried_over=False)
    assert (hot.cost, hot.tokens, hot.sentence) == (Cost.HOT, 0, "Applies to the next token")
    assert price_of(before, before, history, model="", context_used=9, carried_over=False).sentence == "Nothing changes"


async def test_a_damaged_history_is_only_forgotten(tmp_path: Path) -> None:
    (tmp_path / "prices.json").write_text('{"seconds": {"a": "b"}}')
    assert (await read_history(tmp_path)).seconds(Cost.HOT, "x") is None


async def test_what_was_recorded_before_the_history_was_read_is_newer(tmp_path: Path) -> None:
    (tmp_path / "prices.json").write_text('{"prefill": {"a": 1, "b": 2}}')
    history = PriceHistory(tmp_path / "prices.json")
    history.record_prefill("a", 3.0)
    await history.read()
    assert (history.prefill_speed("a"), history.prefill_speed("b")) == (3.0, 2.0)


async def read_history(folder: Path) -> PriceHistory:
    history = PriceHistory(folder / "prices.json")
    await history.read()
    return history


def test_a_state_is_carried_over_only_between_equal_caches() -> None:
    assert kv_layout(Preset()) == kv_layout(Preset(n_ctx=512, flash_attn="on"))
    assert kv_layout(Preset()) != kv_layout(Preset(type_k="q8_0"))
    assert kv_layout(Preset()) != kv_layout(Preset(flash_attn="off"))
