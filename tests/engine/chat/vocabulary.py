"""A vocabulary without a model: words, control tokens and user-defined tokens, partitioned the way llama.cpp does it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence


class WordVocabulary:
    """Each word, each run of blanks and each other character is a token; special texts are tokens as llama.cpp makes them.

    Control texts become tokens only with `parse_special`, user-defined ones always. With `space_prefix` it behaves like
    SentencePiece: raw text at the beginning and after a special token gets a space in front.
    """

    def __init__(
        self,
        control: Iterable[str] = ("<s>", "</s>"),
        user_defined: Iterable[str] = (),
        *,
        bos: str = "",
        eos: str = "",
        add_bos: bool = False,
        space_prefix: bool = False,
        fingerprint: str = "model-a",
    ) -> None:
        self.fingerprint = fingerprint
        self.add_bos = add_bos
        self.bos_text, self.eos_text = bos, eos
        self.tokenized: list[str] = []
        self._control = tuple(control)
        self._user_defined = tuple(user_defined)
        self._space_prefix = space_prefix
        self._texts: list[str] = []
        self._ids: dict[str, int] = {}
        for text in (*self._control, *self._user_defined):
            self._id(text)
        self.special_texts = frozenset((*self._control, *self._user_defined))

    @property
    def bos(self) -> int | None:
        return self._ids[self.bos_text] if self.bos_text else None

    @property
    def eog(self) -> frozenset[int]:
        return frozenset({self._ids[self.eos_text]} if self.eos_text else ())

    def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        self.tokenized.append(text)
        special = self._control + self._user_defined if parse_special else self._user_defined
        found: list[int] = []
        after_special = True
        for part in re.split("(" + "|".join(map(re.escape, sorted(special, key=len, reverse=True))) + ")", text) if special else [text]:
            if part in special:
                found.append(self._ids[part])
                after_special = True
            elif part:
                raw = " " + part if self._space_prefix and after_special else part
                found.extend(self._id(word) for word in re.findall(r" ?\w+| +|\s|[^\w\s]", raw))
                after_special = False
        return found

    def text(self, tokens: Sequence[int]) -> str:
        return "".join(self._texts[token] for token in tokens)

    def special(self, text: str) -> int:
        """The id of a special text."""
        return self._ids[text]

    def _id(self, text: str) -> int:
        if text not in self._ids:
            self._ids[text] = len(self._texts)
            self._texts.append(text)
        return self._ids[text]
