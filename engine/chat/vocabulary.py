"""The vocabulary of a loaded model, as prompts need it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class Vocabulary(Protocol):
    """Converts text to tokens and back for one loaded model. For the backend's thread only."""

    @property
    def fingerprint(self) -> str:
        """The `ModelInfo.fingerprint` of its model."""

    @property
    def bos(self) -> int | None:
        """The begin-of-sequence token, if the model has one."""

    @property
    def add_bos(self) -> bool:
        """Whether prompts of this model begin with `bos`."""

    @property
    def bos_text(self) -> str:
        """The text of `bos`, empty without one."""

    @property
    def eos_text(self) -> str:
        """The text of the end-of-sequence token, empty without one."""

    @property
    def special_texts(self) -> frozenset[str]:
        """The texts of all control and user-defined tokens, which user text must not forge."""

    def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        """Tokenize `text` without adding BOS or EOS; with `parse_special`, texts of control tokens become those tokens."""

    def text(self, tokens: Sequence[int]) -> str:
        """Return the visible text of `tokens`, invalid UTF-8 replaced."""
