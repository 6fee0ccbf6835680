"""Settings, presets and themes that a person (or an accident) writes: whatever lies there is an error in a sentence, or is used."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from engine.config import load_config
from engine.errors import UsageError
from engine.last_used import recall
from engine.models.catalog import list_models
from engine.paths import expanded, state_dir
from engine.presets.folder import PresetFolder, read_preset
from engine.presets.preset import Preset
from engine.presets.settings import KEYS, with_text
from engine.presets.sharing import read as read_shared
from tests.examples import examples
from tui.theming import load_themes

READERS: dict[str, Callable[[Path], object]] = {
    "config.toml": load_config,
    "mine.toml": read_preset,
    "models.ini": read_shared,
}

HOSTILE = {
    "brackets": b"threads = " + b"[" * 5000,
    "closed brackets": b"x = " + b"[" * 900 + b"]" * 900,
    "tables in tables": b"[" + b".".join([b"a"] * 5000) + b"]\nb = 1\n",
    "inline tables": b"x = " + b"{a = " * 5000,
    "digits": b"threads = " + b"1" * 5000,
    "hexadecimal digits": b"threads = 0x" + b"f" * 5000,
    "a large number": b"threads = 99999999999999999999",
    "a long name": b"x" * 100_000 + b" = 1",
    "a long text": b'threads = "' + b"x" * 100_000 + b'"',
    "a line of spaces": b"threads = [\n[" + b" " * 100_000 + b"\n1]]",
    "NUL": b"threads = 1\x00",
    "NUL in a text": b'model = "a\\u0000b"',
    "no text": b"\xff\xfe\x00\x01",
    "too long": b"# " + b"x" * (1 << 20),
    "a table for a number": b"[threads]\nx = 1",
    "a date": b"threads = 1979-05-27",
    "not a number": b"n_batch = nan",
    "sections": b"[a\n" * 5000,
}


def told(call: Callable[[], object]) -> str:
    """What is said when it can't be used; empty when it can."""
    try:
        call()
        said = ""
    except UsageError as error:
        said = str(error)
    assert len(said) < 3000
    return said


@pytest.mark.parametrize("content", HOSTILE.values(), ids=list(HOSTILE))
@pytest.mark.parametrize("name", READERS)
def test_hostile_content_is_told_in_a_sentence_at_once(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    told(lambda: READERS[name](tmp_path / name))


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)], ids=["FIFO", "folder", "device"])
def test_what_is_not_a_file_is_refused_without_waiting(name: str, make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path / name)
    assert "not a regular file" in told(lambda: READERS[name](tmp_path / name))
    assert PresetFolder(tmp_path, {}).load().presets == {}


def test_themes_in_place_of_which_something_else_lies_are_reported(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "deep.toml").write_bytes(HOSTILE["brackets"])
    (tmp_path / "long.toml").write_bytes(HOSTILE["digits"])
    assert len(load_themes(tmp_path).failures) == 4


def test_a_preset_whose_name_is_not_text_is_reported(tmp_path: Path) -> None:
    Path(os.fsdecode(bytes(tmp_path) + b"/caf\xe9.toml")).write_text("threads = 1\n")
    shelf = PresetFolder(tmp_path, {}).load()
    assert shelf.presets == {}
    assert str(shelf.problems[0]).isprintable()


@examples(150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.one_of(st.binary(max_size=200), st.text("[]{}=.,\"'# \nab1e-_xfno", max_size=200).map(str.encode)))
@pytest.mark.parametrize("name", READERS)
def test_any_bytes_are_used_or_told(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    told(lambda: READERS[name](tmp_path / name))


@examples(300)
@given(key=st.sampled_from(KEYS), text=st.one_of(st.text(max_size=30), st.from_regex(r"\A[-+]?[0-9,_]{0,25}(\.[0-9]*)?(e[0-9]{1,4})?k?\Z")))
def test_any_text_is_a_value_or_told(key: str, text: str) -> None:
    told(lambda: with_text(Preset(), {key: text}))


def test_folders_with_a_nul_are_told_and_the_others_listed() -> None:
    found = list_models(["a\0b", "/dev/null", "~no-such-person/x"])
    assert "null" in found.unreadable[0].reason


def test_a_damaged_memory_of_the_last_run_is_forgotten() -> None:
    for content in HOSTILE.values():
        (state_dir() / "last.json").write_bytes(b'{"x": ' + content)
        assert recall().model is None


def test_home_and_variables_are_replaced_where_they_mean_something() -> None:
    environ = {"HOME": "/h", "DISK": "/mnt/disk"}
    assert expanded("~/x", environ) == Path("/h/x")
    assert expanded("$DISK/${HOME}/x", environ) == Path("/mnt/disk//h/x")
    assert expanded("$NONE/x", environ) == Path("$NONE/x")
    assert expanded("~nobody-here/x", environ) == Path("~nobody-here/x")
