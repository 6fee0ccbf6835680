"""Presets out of whatever file they come in: xchat's own, llama-server's INI, variables, command lines."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.errors import UsageError
from engine.presets.folder import PresetFolder
from engine.presets.foreign import Imported, from_command
from engine.presets.preset import Preset, Sampling
from engine.presets.settings import with_text
from engine.presets.sharing import export, from_text, left_out, read, to_text
from tests.hostile import HOSTILE


def only(text: str) -> Imported:
    (one,) = from_text(text, "file", "given")
    return one


@pytest.mark.parametrize(
    ("line", "changes", "unknown"),
    [
        ("llama-server -m /m.gguf -c 8192 -t 4 -tb 8", {"model": "/m.gguf", "n_ctx": 8192, "threads": 4, "threads_batch": 8}, ()),
        (
            "./build/bin/llama-cli --model m.gguf --no-mmap -fa -ctk q8_0",
            {"model": "m.gguf", "mmap": False, "flash_attn": "on", "type_k": "q8_0"},
            (),
        ),
        (
            "llama-server -hf org/repo:Q8_0 --flash-attn off --mlock --port 8080",
            {"model": "hf:org/repo:Q8_0", "flash_attn": "off"},
            ("--mlock", "--port"),
        ),
        ("llama-server --ctx-size=4096 -n -1 --threads -1 -C 0xff", {"n_ctx": 4096}, ("-C",)),
        ("llama-server -fa -c 1024", {"flash_attn": "on", "n_ctx": 1024}, ()),
        ("LLAMA_ARG_THREADS=2 OTHER=1 llama-server.exe -b 256 > log.txt 2>&1", {"threads": 2, "n_batch": 256}, ()),
        ("llama-server -sys 'Be brief; > all' -c 512 && rm -rf /", {"system": "Be brief; > all", "n_ctx": 512}, ()),
        ("ExecStart=/usr/bin/llama-server -m /m.gguf --repack", {"model": "/m.gguf"}, ()),
        ("llama-server \\\n  -m /m.gguf \\\n  --repack -c 2048\necho -c 1", {"model": "/m.gguf", "n_ctx": 2048}, ()),
    ],
)
def test_a_command_line_becomes_a_preset(line: str, changes: dict[str, object], unknown: tuple[str, ...]) -> None:
    imported = only(line)
    assert imported.preset == Preset(name="given", description="Imported from llama.cpp's settings", **changes)  # type: ignore[arg-type]
    assert imported.left_out == unknown


def test_a_script_with_two_servers_becomes_two_presets() -> None:
    script = "#!/bin/sh\n# llama-server -m comment.gguf\nllama-server -m a.gguf &\nllama-server -m b.gguf\n"
    assert [(one.preset.name, one.preset.model) for one in from_text(script, "run.sh", "run")] == [("run", "a.gguf"), ("run-2", "b.gguf")]


def test_lines_of_variables_become_one_preset() -> None:
    text = (
        '# LLAMA_ARG_THREADS=9\nexport LLAMA_ARG_THREADS=3\nLLAMA_ARG_MODEL="/my models/m.gguf"\n- LLAMA_ARG_NO_MMAP: 1\nLLAMA_ARG_HOST=::'
    )
    imported = only(text)
    assert (imported.preset.threads, imported.preset.model, imported.preset.mmap) == (3, "/my models/m.gguf", False)
    assert imported.left_out == ("LLAMA_ARG_HOST",)


def test_what_is_exported_is_imported_whole(tmp_path: Path) -> None:
    presets = [Preset(name="a", system='Say "hi".\n', sampling=Sampling(seed=1)), Preset(name="sampling", threads=2)]
    export(presets, tmp_path / "all.toml")
    assert [one.preset for one in read(tmp_path / "all.toml")] == presets
    with pytest.raises(UsageError, match="exists already"):
        export(presets, tmp_path / "all.toml")


def test_a_preset_of_its_own_file_has_the_name_of_the_file_and_unknown_settings_are_counted_and_named(tmp_path: Path) -> None:
    (tmp_path / "my preset.toml").write_text("threads = 2\nfrom_the_future = 1\n[sampling]\ntop_k = 3\nnew = 1\n")
    (one,) = read(tmp_path / "my preset.toml")
    assert (one.preset.name, one.preset.threads, one.preset.sampling.top_k) == ("my-preset", 2, 3)
    assert left_out([one, one]) == "4 unknown settings were left out: from_the_future (2 times), sampling.new (2 times)"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("llama-server -t many", "command line of llama-server: threads can't be many"),
        ("[presets.a]\nthreads = 0", "preset 'a': threads can't be 0"),
        ("presets = {a = 1}", "is not a table"),
        ("", "has no presets"),
        ("just some words", "has no presets"),
    ],
)
def test_what_can_not_be_is_refused_with_its_place(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        from_text(text, "file", "given")
    assert said in str(caught.value)


@example(["-c", "half \ud83d of a pair \udc80"])
@given(
    st.lists(
        st.one_of(
            st.sampled_from(["-c", "-t", "--no-mmap", "-fa", "9", "-1", "=", "--", "-", ";", "llama-cli", *HOSTILE]), st.text(max_size=9)
        ),
        max_size=9,
    )
)
def test_any_words_after_a_program_are_a_preset_or_a_usage_error(words: list[str]) -> None:
    try:
        imported = from_command(["llama-server", *words])
    except UsageError:
        return
    assert from_text(to_text([imported.preset]), "file", "given")[0].preset == imported.preset


def test_half_a_surrogate_pair_from_the_command_line_is_refused_or_replaced_in_any_setting() -> None:
    with pytest.raises(UsageError, match="n_ctx can't be"):
        with_text(Preset(), {"n_ctx": "half \ud83d"})
    assert with_text(Preset(), {"system": "\udc80"}).system == "\ufffd"


def test_a_model_whose_file_name_is_not_text_can_be_set_but_not_kept(tmp_path: Path) -> None:
    preset = with_text(Preset(name="odd"), {"model": "caf\udce9.gguf", "description": "\udce9"})
    assert (preset.model, preset.description) == ("caf\udce9.gguf", "\ufffd")
    with pytest.raises(UsageError, match="is not text"):
        PresetFolder(tmp_path).save(preset)
