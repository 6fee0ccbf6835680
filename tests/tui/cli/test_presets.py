"""`xchat presets` as a person uses it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.last_used import recall
from engine.paths import config_dir
from engine.presets.folder import PresetFolder
from tests.tui.cli.conftest import Run
from tui.cli.presets import EXAMPLES


def own() -> set[str]:
    return set(PresetFolder().load().own)


def test_every_example_of_the_help_works(xchat: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models.ini").write_text("[small]\nthreads = 1\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LLAMA_ARG_THREADS", "2")
    for line in EXAMPLES.splitlines()[1:]:
        words = line.split("  ")[1].split()[1:]
        assert (words, xchat(*words).code) == (words, 0)
    assert own() == {"mine", "small", "imported", "big"}
    assert PresetFolder().load().get("big").type_k == "q8_0"
    assert recall().preset == "mine"
    assert PresetFolder().load().get("mine").n_ctx == 8192


def test_every_verb_answers_in_json(xchat: Run) -> None:
    (made,) = json.loads(xchat("presets", "new", "mine", "threads=2", "--json").out)
    assert (made["path"], made["preset"]["threads"]) == (str(config_dir() / "presets" / "mine.toml"), 2)
    (changed,) = json.loads(xchat("presets", "set", "mine", "threads=3", "--json").out)
    assert changed["preset"] == json.loads(xchat("presets", "show", "mine", "--json").out)
    assert json.loads(xchat("presets", "use", "mine", "--json").out)["threads"] == 3
    assert json.loads(xchat("presets", "delete", "mine", "--json").out) == {"deleted": "mine"}


def test_what_can_not_be_is_named_with_what_may(xchat: Run) -> None:
    assert "Did you mean threads?" in xchat("presets", "set", "daily", "threds=2").err
    assert "from 1 to 1,024, or auto" in xchat("presets", "set", "daily", "threads=0").err
    assert "Did you mean daily?" in xchat("presets", "use", "dayly").err
    assert xchat("presets", "new", "fast").code == 2
    assert xchat("presets", "new", "../evil").code == 2
    assert own() == set()


def test_a_preset_of_ones_own_is_deleted_and_the_shipped_one_comes_forth(xchat: Run) -> None:
    xchat("presets", "set", "fast", "threads=1")
    assert json.loads(xchat("presets", "diff", "daily", "fast", "--json").out)[0]["key"] == "threads"
    assert xchat("presets", "delete", "fast").code == 0
    assert "comes with xchat" in xchat("presets", "delete", "fast").err


class TestImport:
    def test_a_file_of_llama_server_is_imported_whole_or_not_at_all(self, xchat: Run, tmp_path: Path) -> None:
        file = tmp_path / "models.ini"
        file.write_text("version = 1\n[*]\nc = 4096\n[org/repo:Q8_0]\nlora = a.gguf\n[fast]\nt = 1\nlora = b.gguf\n")
        assert "'fast' already" in xchat("presets", "import", file).err
        assert own() == set()
        ran = xchat("presets", "import", file, "--replace")
        assert (ran.code, own()) == (0, {"org-repo-Q8_0", "fast"})
        assert ran.err == "xchat: 2 unknown settings were left out: lora (2 times)\n"
        assert PresetFolder().load().get("org-repo-Q8_0").model == "hf:org/repo:Q8_0"

    def test_a_file_with_a_name_that_can_not_be_a_files_is_imported_not_at_all(self, xchat: Run, tmp_path: Path) -> None:
        file = tmp_path / "all.toml"
        file.write_text('[presets.good]\nthreads = 1\n[presets."../bad"]\nthreads = 1\n')
        assert "can't be called '../bad'" in xchat("presets", "import", file).err
        assert own() == set()

    def test_two_sections_of_one_name_are_refused(self, xchat: Run, tmp_path: Path) -> None:
        file = tmp_path / "models.ini"
        file.write_text("[a b]\nt = 1\n[a/b]\nt = 2\n")
        assert "'a-b'" in xchat("presets", "import", file).err

    def test_variables_become_one_preset(self, xchat: Run, monkeypatch: pytest.MonkeyPatch) -> None:
        assert "no LLAMA_ARG_* variables" in xchat("presets", "import").err
        monkeypatch.setenv("LLAMA_ARG_CTX_SIZE", "2048")
        assert xchat("presets", "import", "--name", "shell").code == 0
        assert PresetFolder().load().get("shell").n_ctx == 2048

    def test_a_command_line_is_imported_as_words_or_as_one_text(self, xchat: Run) -> None:
        ran = xchat(
            "presets", "import", "--name", "one", "--", "llama-server", "-m", "/m.gguf", "--lora", "a.gguf", "-c", "4096", "--port", "80"
        )
        assert (ran.code, ran.err) == (0, "xchat: 2 unknown settings were left out: --lora, --port\n")
        assert xchat("presets", "import", "--name", "two", "llama-cli -m '/my models/m.gguf' --temp 0 -n -1").code == 0
        found = PresetFolder().load()
        assert (found.get("one").model, found.get("one").n_ctx) == ("/m.gguf", 4096)
        assert (found.get("two").model, found.get("two").sampling.temperature) == ("/my models/m.gguf", 0.0)


def test_presets_go_from_one_machine_to_another_in_one_file(xchat: Run, tmp_path: Path) -> None:
    file = tmp_path / "all.toml"
    assert "no preset of your own" in xchat("presets", "export", file).err
    xchat("presets", "new", "a", "threads=1", "system=Be brief.")
    xchat("presets", "new", "b", "--from", "fast")
    before = PresetFolder().load()
    assert xchat("presets", "export", file).code == 0
    assert "exists already" in xchat("presets", "export", file, "a").err
    assert xchat("presets", "export", "-", "daily").out.startswith("[presets.daily]")
    assert xchat("presets", "rename", "a", "c").code == 0
    assert "already" in xchat("presets", "rename", "c", "b").err
    assert "comes with xchat" in xchat("presets", "rename", "daily", "x").err
    assert own() == {"b", "c"}
    xchat("presets", "delete", "b")
    xchat("presets", "delete", "c")
    assert xchat("presets", "import", file).code == 0
    assert PresetFolder().load().presets == before.presets
