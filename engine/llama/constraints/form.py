"""Formats of answers: compiled, then applied token by token."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from engine.errors import EngineError, UsageError
from engine.llama.constraints.grammar import refused
from engine.messages import Constraint

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLParserLimits, LLTokenizer

    from engine.llama.vocab import LlamaVocabulary

COMPILE_S: Final = 10.0
"""Longest wait for compiling a constraint; the compiler's own limit is some seconds higher."""
STACK_BYTES: Final = 128 << 20
"""Stack of the compiling thread, enough for any text of `MOST_TEXT`."""


class Form:
    """The allowed tokens of one answer. For the compute thread."""

    def __init__(self, matcher: LLMatcher, eog: frozenset[int]) -> None:
        self._matcher = matcher
        self._eog = eog
        self._ends = np.array(sorted(eog), np.int64)

    @property
    def complete(self) -> bool:
        """Whether only the end may follow."""
        return self._matcher.is_stopped()

    def allows(self, token: int) -> bool:
        """Return whether a token may be next."""
        if token in self._eog:
            return self._matcher.is_accepting()
        return self._matcher.validate_tokens([token]) == 1

    def allowed(self) -> NDArray[np.int64]:
        """Return all tokens that may be next, ascending. Raises EngineError when that can't be determined, or there are none."""
        bits = np.unpackbits(np.frombuffer(self._matcher.compute_bitmask(), np.uint8), bitorder="little")
        bits[self._ends] = self._matcher.is_accepting()
        tokens = np.flatnonzero(bits)
        if self._matcher.is_error() or not len(tokens):
            raise self._failed()
        return tokens

    def accept(self, token: int) -> None:
        """Advance by an allowed token. Raises EngineError when the grammar becomes too complex."""
        if token not in self._eog and not self._matcher.consume_token(token):
            raise self._failed()

    def _failed(self) -> EngineError:
        reason = self._matcher.get_error().partition("\n")[0] or "no token of the model is allowed"
        return EngineError("The grammar allows no next token", reason, "Simplify it.")


class Forms:
    """Compiles formats for one model. Created on the compute thread; each format is compiled on its own thread."""

    def __init__(self, vocabulary: LlamaVocabulary) -> None:
        self._eog = vocabulary.eog
        self._tokens = [vocabulary.pieces[token] or b"\xff" + vocabulary.piece(token) for token in range(vocabulary.n_vocab)]
        self._controls = [token for token in range(vocabulary.n_vocab) if not vocabulary.pieces[token]]
        self._lock = threading.Lock()
        self._tokenizer: LLTokenizer | None = None

    def compiled(self, constraint: Constraint, grammar: Callable[[], str], before: str) -> Future[Form]:
        """Compile a constraint; `before`: the existing beginning of the answer. The future raises UsageError."""
        future: Future[Form] = Future()

        def work() -> None:
            try:
                future.set_result(self._compile(constraint, grammar(), before))
            except BaseException as error:  # noqa: BLE001 - the edge of the thread; native panics are no Exceptions
                known = error if isinstance(error, UsageError) else refused(constraint, repr(error))
                future.set_exception(known)

        usual = threading.stack_size(STACK_BYTES)
        try:
            threading.Thread(target=work, name="xchat-grammar", daemon=True).start()
        finally:
            threading.stack_size(usual)
        return future

    def _compile(self, constraint: Constraint, grammar: str, before: str) -> Form:
        from llguidance import LLMatcher

        with self._lock:
            tokenizer = self._tokenizer = self._tokenizer or self._made()
        matcher = LLMatcher(tokenizer, grammar, log_level=0, limits=_limits())
        if not matcher.is_error():
            matcher.compute_bitmask()  # detects a constraint that nothing satisfies
        if matcher.is_error() or (matcher.is_stopped() and not matcher.is_accepting()):
            reason = matcher.get_error().partition("\n<state>")[0]
            raise refused(constraint, "nothing satisfies it" if not reason or reason.startswith("NoExtension") else reason)
        if before:
            tokens = tokenizer.greedy_tokenize(before)
            if matcher.try_consume_tokens(tokens) < len(tokens):
                raise refused(constraint, "the answer so far does not begin with what it allows")
        return Form(matcher, self._eog)

    def _made(self) -> LLTokenizer:
        from llguidance import LLTokenizer

        vocabulary = _Vocabulary(self._tokens, self._controls, min(self._eog))
        tokenizer = LLTokenizer(vocabulary, eos_token=sorted(self._eog))  # type: ignore[arg-type]
        vocabulary.tokenize = tokenizer.greedy_tokenize
        return tokenizer


class _Vocabulary:
    """The vocabulary for llguidance."""

    is_tokenizer_wrapper = True
    bos_token_id = None

    def __init__(self, tokens: Sequence[bytes], controls: Iterable[int], eos: int) -> None:
        self.tokens = tokens
        self.special_token_ids = list(controls)
        self.eos_token_id = eos
        self.tokenize: Callable[[str], list[int]] = lambda _text: []

    def __call__(self, text: str) -> list[int]:
        """Return the longest tokens that spell a text, from the left; only the spelled text matters."""
        return self.tokenize(text)


def _limits() -> LLParserLimits:
    """Return the limits of one grammar: some seconds to compile, 100 MB, and some milliseconds a token."""
    from llguidance import LLParserLimits

    return LLParserLimits(
        max_items_in_row=20_000, initial_lexer_fuel=500_000, max_lexer_states=50_000, max_grammar_size=200_000, verbose_errors=False
    )
