"""The names of models: each has one stable form."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model_ref import BuiltInModel, ModelRef, RemoteModel, file_of, parse_ref, short_name


@pytest.mark.parametrize(
    ("ref", "form", "short"),
    [
        (Path("/models/tiny-Q8_0.gguf"), "/models/tiny-Q8_0.gguf", "tiny-Q8_0.gguf"),
        (BuiltInModel("Q8_0"), "builtin:Q8_0", "builtin:Q8_0"),
        (RemoteModel("office", "org/big:7b"), "remote:office/org/big:7b", "remote:office/org/big:7b"),
        (Path("builtin"), "builtin", "builtin"),
        (Path("remote:nothing"), "remote:nothing", "remote:nothing"),
    ],
)
def test_the_stable_form_is_read_back(ref: ModelRef, form: str, short: str) -> None:
    assert str(ref) == form
    assert parse_ref(form) == ref
    assert short_name(ref) == short


@given(engine=st.text(min_size=1).filter(lambda name: "/" not in name), name=st.text())
def test_a_remote_model_may_have_any_name(engine: str, name: str) -> None:
    assert parse_ref(str(RemoteModel(engine, name))) == RemoteModel(engine, name)


def test_only_a_file_has_a_path() -> None:
    assert file_of(Path("/a.gguf")) == Path("/a.gguf")
    assert file_of(BuiltInModel("F16")) is None
    assert file_of(RemoteModel("office", "big")) is None
