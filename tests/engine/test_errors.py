"""Errors as standard error shows them."""

from __future__ import annotations

import pytest

from engine.errors import XchatError


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (XchatError("a.gguf can't be used", "It is empty", "Download it again"), "a.gguf can't be used: It is empty. Download it again."),
        (XchatError("a.gguf can't be used", "It is empty.", "Download it again."), "a.gguf can't be used: It is empty. Download it again."),
        (XchatError("There is no prompt"), "There is no prompt."),
    ],
)
def test_an_error_is_told_in_whole_sentences(error: XchatError, told: str) -> None:
    assert str(error) == told
