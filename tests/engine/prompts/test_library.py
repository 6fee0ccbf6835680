"""The library of prompts: shipped examples, a person's own files, and the variables of snippets."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import UsageError
from engine.prompts.library import filled, load, prompts_dir, variables


def test_the_shipped_prompts_are_complete_and_each_has_a_sentence() -> None:
    library = load()
    assert library.problems == ()
    assert {prompt.kind for prompt in library.prompts} == {"persona", "snippet"}
    assert all(prompt.about and prompt.text for prompt in library.prompts)
    assert any(variables(prompt.text) for prompt in library.prompts)


def test_own_files_add_to_them_and_replace_one_by_its_name(tmp_path: Path) -> None:
    prompts_dir().mkdir(parents=True)
    (prompts_dir() / "mine.toml").write_text('[persona.pirate]\nsystem = "Arr."\n[snippet.explain]\ntext = "Why {{what}}?"\n')
    library = load()
    assert library.get("pirate").text == "Arr."
    assert library.get("explain").text == "Why {{what}}?"
    with pytest.raises(UsageError, match="no prompt 'nobody'"):
        library.get("nobody")


@pytest.mark.parametrize("text", ["[persona.x]\n", "[persona.x]\nsystem = 1\n", "[snippet.x]\ntext = 'a'\nnew = 1\n", "x = [", "[other]\n"])
def test_a_wrong_file_is_reported_by_its_name_and_the_others_are_used(tmp_path: Path, text: str) -> None:
    (tmp_path / "wrong.toml").write_text(text)
    (tmp_path / "good.toml").write_text('[persona.good]\nsystem = "Be good."\n')
    library = load(tmp_path)
    assert library.get("good").text == "Be good."
    assert "wrong.toml" in str(library.problems[0])


def test_variables_have_defaults_occur_once_and_other_braces_stay() -> None:
    text = "{{a}} {{ b = x y }} {{a}} {c} {{}} {{\n}}"
    assert variables(text) == {"a": "", "b": " x y "}
    assert filled(text, {"a": "1", "b": "{{a}}"}) == "1 {{a}} 1 {c} {{}} {{\n}}"
