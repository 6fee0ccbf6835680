"""The vocabulary of a loaded model: text to tokens and back."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import repeat
from typing import Final

from engine.errors import EngineError
from engine.llama.native import lib
from engine.llama.text import PieceTable, whole_text

_PIECE_BYTES = 64
"""First guess at the length of a piece; longer ones are asked for again."""

LONGEST_RUN: Final = 100_000
"""Characters without a break that are tokenized; more are refused. For some vocabularies llama.cpp splits texts with std::regex, which
takes up to 310 bytes of stack for each character of a match (27,000 fill 8 MB), and about 20 µs."""
_RUN = re.compile(rf"[^ \t\n\r\f\v]{{{LONGEST_RUN + 1}}}|\s{{{LONGEST_RUN + 1}}}")
"""No pre-tokenizer joins ASCII blanks with other characters, but for line ends behind punctuation."""


class LlamaVocabulary:
    """An `engine.backend.Vocabulary` on llama.cpp's. For the compute thread only, and only while its model is loaded."""

    def __init__(self, vocab: lib.llama_vocab_p, fingerprint: str) -> None:
        self._vocab: lib.llama_vocab_p | None = vocab
        self._fingerprint = fingerprint
        self._buffer = ctypes.create_string_buffer(_PIECE_BYTES)
        self.n_vocab = lib.llama_vocab_n_tokens(vocab)
        self.pieces = PieceTable(self.n_vocab, self._piece)

    def prepare(self) -> None:
        """Read the whole vocabulary now (50 ms for 150,000 tokens) instead of in the first turn."""
        _ = self.eog, self.special_texts

    @property
    def _native(self) -> lib.llama_vocab_p:
        if self._vocab is None:
            raise EngineError("The model of this vocabulary is not loaded any more")
        return self._vocab

    def close(self) -> None:
        """Make later calls raise, since the model is about to be freed and the native library would crash."""
        self._vocab = None

    @property
    def fingerprint(self) -> str:
        """The `ModelInfo.fingerprint` of its model."""
        return self._fingerprint

    @cached_property
    def bos(self) -> int | None:
        """The begin-of-sequence token, if the model has one."""
        token = int(lib.llama_vocab_bos(self._native))
        return token if token >= 0 else None

    @cached_property
    def add_bos(self) -> bool:
        """Whether prompts of this model begin with `bos`."""
        return self.bos is not None and bool(lib.llama_vocab_get_add_bos(self._native))

    @cached_property
    def bos_text(self) -> str:
        """The text of `bos`, empty without one."""
        return self._special_text(self.bos)

    @cached_property
    def eos_text(self) -> str:
        """The text of the end-of-sequence token, empty without one."""
        token = int(lib.llama_vocab_eos(self._native))
        return self._special_text(token if token >= 0 else None)

    @cached_property
    def special_texts(self) -> frozenset[str]:
        """The texts of all control and user-defined tokens, which user text must not forge."""
        return frozenset(text for token in self._special_tokens if (text := self._special_text(token)))

    @cached_property
    def eog(self) -> frozenset[int]:
        """Tokens that end a generation."""
        candidates = {*self._special_tokens, int(lib.llama_vocab_eos(self._native)), int(lib.llama_vocab_eot(self._native))}
        return frozenset(token for token in candidates if token >= 0 and lib.llama_vocab_is_eog(self._native, token))

    @cached_property
    def suppressed(self) -> tuple[int, ...]:
        """Tokens that must never be generated according to the model's file."""
        count = ctypes.c_int32(0)
        tokens = lib.llama_vocab_get_suppress_tokens(self._native, ctypes.byref(count))
        return tuple(int(tokens[i]) for i in range(count.value)) if tokens else ()

    def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        """Tokenize `text` without adding BOS or EOS; with `parse_special`, texts of control tokens become those tokens.

        For a thread with `engine.llama.backend.STACK_BYTES` of stack.

        Raises EngineError when it has more than LONGEST_RUN characters without a break, or too many bytes.
        """
        if len(text) > LONGEST_RUN and _RUN.search(text):
            raise EngineError(
                "The text can't be tokenized",
                f"it has more than {LONGEST_RUN:,} characters without a space or a line break between them",
                "Break it into lines, or remove that part.",
            )
        data = text.encode("utf-8", "replace")
        if not data:
            return []
        room = len(data) // 3 + 16
        while True:
            tokens = (lib.llama_token * room)()
            count = lib.llama_tokenize(self._native, data, len(data), tokens, room, False, parse_special)
            if count >= 0:
                return tokens[:count]
            if -count <= room:
                raise EngineError("The text can't be tokenized", f"it has {len(data):,} bytes", "Send less text.")
            room = -count

    def text(self, tokens: Sequence[int]) -> str:
        """Return the visible text of `tokens`, invalid UTF-8 replaced."""
        return whole_text(self.pieces, tokens)

    def piece(self, token: int) -> bytes:
        """Return the bytes of a token; the text of a control token."""
        return self.pieces[token] or self._piece(token, special=True)

    def token_texts(self, texts: Iterable[str]) -> dict[int, bytes]:
        """Return the texts that are one token each, by token."""
        tokens = {text: self.tokenize(text, parse_special=True) for text in texts}
        return {ids[0]: text.encode() for text, ids in tokens.items() if len(ids) == 1}

    def knows(self, tokens: Sequence[int]) -> bool:
        """Return whether all of `tokens` are ids of this vocabulary; another id would crash native code."""
        return not tokens or (min(tokens) >= 0 and max(tokens) < self.n_vocab)

    @cached_property
    def _special_tokens(self) -> tuple[int, ...]:
        """Ids of control and user-defined tokens."""
        special = lib.LLAMA_TOKEN_ATTR_CONTROL | lib.LLAMA_TOKEN_ATTR_USER_DEFINED
        attributes = map(lib.llama_vocab_get_attr, repeat(self._native), range(self.n_vocab))
        return tuple(token for token, attribute in enumerate(attributes) if attribute & special)

    def _special_text(self, token: int | None) -> str:
        return "" if token is None else self._piece(token, special=True).decode("utf-8", "replace")

    def _piece(self, token: int, *, special: bool = False) -> bytes:
        if not 0 <= token < self.n_vocab:
            raise EngineError(f"Token {token} is not in the vocabulary")
        size = lib.llama_token_to_piece(self._native, token, self._buffer, len(self._buffer), 0, special)
        if size < 0:
            self._buffer = ctypes.create_string_buffer(-size)
            size = lib.llama_token_to_piece(self._native, token, self._buffer, len(self._buffer), 0, special)
        return self._buffer.raw[: max(size, 0)]
