"""What a person means by the name of a model: a file, a model elsewhere, or one of this machine."""

from __future__ import annotations

import pytest

from engine.models.references import looks_like_path, looks_like_reference


@pytest.mark.parametrize(
    ("text", "path", "reference"),
    [
        ("/models/m", True, False),
        ("~/m.gguf", True, False),
        ("./m", True, False),
        ("../m", True, False),
        ("$MODELS/m", True, False),
        ("folder/m.GGUF", True, False),
        ("m.gguf", True, False),
        ("qwen3", False, False),
        ("llama3.2:1b", False, False),
        ("user/model:latest", False, False),
        ("org/model", False, False),
        ("hf:org/model:Q4_K_M", False, True),
        ("hf.co/org/model", False, True),
        ("huggingface.co/org/model", False, True),
        ("https://example.com/m.gguf", True, True),
    ],
)
def test_a_name_is_told_from_a_path_and_from_a_model_elsewhere(text: str, path: bool, reference: bool) -> None:
    assert (looks_like_path(text), looks_like_reference(text)) == (path, reference)
