"""Tokenizes text in cached stretches, safe from forged control tokens."""

from __future__ import annotations

import re
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from engine.chat.markers import BREAK
from engine.chat.thinking_styles import MARKERS
from engine.chat.vocabulary import Vocabulary

MAX_CACHED_CHARACTERS = 4_000_000
"""Most characters of the texts in a cache; the least recently used are dropped first."""

ENTRY_CHARACTERS = 256
"""Overhead of a cache entry, in characters."""

Rest = TypeVar("Rest")
Value = TypeVar("Value")

CHARACTERS_PER_TOKEN = 16
"""Upper bound of the average token length of natural text."""


class SpecialTexts:
    """Finds texts of special tokens in other texts."""

    def __init__(self, texts: frozenset[str]) -> None:
        """Ignore blanks, words and single characters: they can't structure a prompt, and can't be broken in two."""
        self._texts = frozenset(text for text in texts if len(text) > 1 and not text.isspace() and not text.isalnum())
        lengths: dict[str, set[int]] = {}
        for text in self._texts:
            lengths.setdefault(text[0], set()).add(len(text))
        self._lengths = {first: sorted(all_lengths, reverse=True) for first, all_lengths in lengths.items()}
        self._first = re.compile("[" + "".join(map(re.escape, sorted(lengths))) + "]") if lengths else None

    def found(self, text: str) -> Iterator[tuple[int, str]]:
        """Yield position and text of every occurrence, overlapping ones too, the longest first at each position."""
        if self._first is None:
            return
        for match in self._first.finditer(text):
            at = match.start()
            for length in self._lengths[text[at]]:
                if (candidate := text[at : at + length]) in self._texts:
                    yield at, candidate

    def last(self, text: str) -> int | None:
        """Return the start of the last occurrence that is not part of another."""
        last, end = None, 0
        for at, special in self.found(text):
            if at >= end:
                last, end = at, at + len(special)
        return last


class _TextCache(Generic[Rest, Value]):
    """A cache of values by text and other inputs, within MAX_CACHED_CHARACTERS."""

    def __init__(self) -> None:
        self._values: OrderedDict[tuple[str, Rest], Value] = OrderedDict()
        self._characters = 0

    def get(self, key: tuple[str, Rest]) -> Value | None:
        known = self._values.get(key)
        if known is not None:
            self._values.move_to_end(key)
        return known

    def put(self, key: tuple[str, Rest], value: Value) -> None:
        """Add a value for a new key."""
        self._values[key] = value
        self._characters += len(key[0]) + ENTRY_CHARACTERS
        while self._characters > MAX_CACHED_CHARACTERS and len(self._values) > 1:
            (dropped, _), _ = self._values.popitem(last=False)
            self._characters -= len(dropped) + ENTRY_CHARACTERS


class Stretches:
    """The cached tokenizer of one model. For the backend's thread only."""

    def __init__(self, vocabulary: Vocabulary, structure: str) -> None:
        """`structure`: text of the chat template; user-defined tokens in it must not be forged, others are ordinary words."""
        self._vocabulary = vocabulary
        self._structure = structure
        self.check: Callable[[], None] = lambda: None
        """Called before a stretch is tokenized; its exceptions end the preparation of the prompt."""
        self._guarded: dict[str, bool] = {}
        self._cache: _TextCache[bool, array[int]] = _TextCache()
        self._counts: _TextCache[int, int] = _TextCache()
        self._line_feed = vocabulary.tokenize("\n", parse_special=False)
        self._adds_space = vocabulary.text(vocabulary.tokenize("x", parse_special=False)).startswith(" ")
        self.specials = SpecialTexts(vocabulary.special_texts)

    def guard(self, text: str) -> str:
        """Insert a break into each text of a control token in untrusted text."""
        cuts = sorted({at + 1 for at, special in self.specials.found(text) if self._must_guard(special)})
        if not cuts:
            return text
        return BREAK.join(text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True))

    def tokens(self, text: str, *, continued: bool) -> array[int]:
        """Tokenize a stretch of the prompt; `continued`: it follows something other than a control token."""
        key = (text, continued)
        if (known := self._cache.get(key)) is not None:
            return known
        self.check()
        tokens = array("i", self._continue(text) if continued and self._adds_space else self._tokenize(text))
        self._cache.put(key, tokens)
        return tokens

    def count(self, text: str, room: int) -> int:
        """Count the tokens of `text`; for a text far too long for `room`, return any larger number."""
        beginning = room * CHARACTERS_PER_TOKEN
        key = (text, room if len(text) > beginning else 0)
        if (known := self._counts.get(key)) is not None:
            return known
        count = len(self._vocabulary.tokenize(text[:beginning], parse_special=False))
        if len(text) > beginning and count <= room:
            count = len(self._vocabulary.tokenize(text, parse_special=False))
        elif len(text) > beginning:
            count = count * len(text) // beginning
        self._counts.put(key, count)
        return count

    def _tokenize(self, text: str) -> list[int]:
        return self._vocabulary.tokenize(text, parse_special=True)

    def _continue(self, text: str) -> list[int]:
        """Tokenize without the space that a SentencePiece vocabulary adds before the first word."""
        tokens = self._tokenize("\n" + text)
        if tokens[: len(self._line_feed)] == self._line_feed:
            return tokens[len(self._line_feed) :]
        return self._tokenize(text)

    def _must_guard(self, special: str) -> bool:
        """Return whether to guard a token: control tokens always, user-defined ones if they structure prompts or answers."""
        known = self._guarded.get(special)
        if known is None:
            looks_structural = special in MARKERS or special in self._structure or "|" in special
            known = looks_structural or self._vocabulary.tokenize(special, parse_special=False) != self._tokenize(special)
            self._guarded[special] = known
        return known
