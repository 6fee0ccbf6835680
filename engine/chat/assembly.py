"""Assembles a rendered prompt as token ids, stretch by stretch."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from engine.chat import markers
from engine.chat.markers import BREAK, Broken, Closed, Literal, Opened, Pictured
from engine.chat.rendered import Rendered
from engine.chat.token_cache import Stretches
from engine.chat.vocabulary import Vocabulary
from engine.messages import ChatMessage, Role


@dataclass(frozen=True, slots=True)
class Composed:
    """A prompt of some messages, of any length."""

    tokens: array[int]
    text: str
    boundaries: tuple[int, ...]


class Assembly:
    """Assembles the tokens of a rendered prompt."""

    def __init__(
        self, vocabulary: Vocabulary, stretches: Stretches, contents: Sequence[ChatMessage], pictures: Sequence[Sequence[int]] = ()
    ) -> None:
        """`pictures` are the tokens that stand in the place of each."""
        self._vocabulary = vocabulary
        self._stretches = stretches
        self._contents = contents
        self._pictures = pictures
        self._tokens = array("i")
        self._text: list[str] = []
        self._pending: list[str] = []
        self._continued = False
        self._boundaries: list[int] = []

    def compose(self, rendered: Rendered) -> Composed:
        """Make the prompt; marks have the numbers of the contents, from 1 on, and 0 for other texts."""
        since_content: list[str] = []
        inside = False
        for part in markers.parts(rendered.text):
            match part:
                case Literal(text):
                    self._add(text, by_template=not inside)
                    since_content.append(text)
                case Broken():
                    self._flush(continued=True)
                case Opened(number):
                    inside = True
                    self._open(number, "".join(since_content), rendered.ending)
                case Pictured(number):
                    self._flush(continued=True)
                    self._tokens.extend(self._pictures[number])
                    self._text.append(f"[picture: {len(self._pictures[number]):,} tokens]")
                case Closed():
                    inside = False
                    since_content.clear()
        self._flush(continued=True)
        shift = self._put_bos()
        return Composed(
            self._tokens,
            "".join(self._text),
            tuple(sorted({at + shift for at in self._boundaries if at + shift > 0})),
        )

    def _add(self, text: str, *, by_template: bool) -> None:
        """Add text, guarded where a template may have changed a content into a control text."""
        self._text.append(text)
        first, *rest = [text] if by_template else self._stretches.guard(text).split(BREAK)
        self._pending.append(first)
        for piece in rest:
            self._flush(continued=True)
            self._pending.append(piece)

    def _open(self, number: int, literal: str, prompt_ending: str) -> None:
        if not number:
            return
        message = self._contents[number - 1]
        if message.role is Role.USER:
            self._begin_turn(literal)
        elif (ids := generated_ids(message, self._vocabulary)) is not None:
            self._drop_blanks(literal, prompt_ending)
            self._flush(continued=True)
            self._tokens.extend(ids)
            self._text.append(self._vocabulary.text(ids))

    def _drop_blanks(self, literal: str, prompt_ending: str) -> None:
        """Drop blanks that the template adds only before finished answers, since generated ids begin with the model's own."""
        extra = literal.removeprefix(prompt_ending)
        if extra != literal and extra.isspace():
            pending = "".join(self._pending)
            self._pending = [pending[: len(pending) - len(extra)]]
            self._text[-1] = self._text[-1].removesuffix(extra)

    def _begin_turn(self, literal: str) -> None:
        """Cut before the last control token in front of a message; later turns share the stretch before it."""
        at = self._stretches.specials.last(literal)
        if at is None:
            if self._pending == [literal] and self._continued:
                self._boundaries.append(len(self._tokens))
            return
        pending = "".join(self._pending)
        cut = len(pending) - len(literal) + at
        if cut < 0:
            return
        self._pending = [pending[:cut]]
        self._flush(continued=False)
        self._boundaries.append(len(self._tokens))
        self._pending = [pending[cut:]]

    def _flush(self, *, continued: bool) -> None:
        text = "".join(self._pending)
        self._pending.clear()
        if text:
            self._tokens.extend(self._stretches.tokens(text, continued=self._continued))
        self._continued = continued

    def _put_bos(self) -> int:
        """Ensure exactly one BOS where the model needs it; returns the shift of the positions."""
        bos = self._vocabulary.bos
        if bos is None:
            return 0
        if list(self._tokens[:2]) == [bos, bos]:
            del self._tokens[0]
            return -1
        if self._vocabulary.add_bos and list(self._tokens[:1]) != [bos]:
            self._tokens.insert(0, bos)
            return 1
        return 0


def generated_ids(message: ChatMessage, vocabulary: Vocabulary) -> tuple[int, ...] | None:
    """Return the generated ids of an answer, if it is this model's."""
    if message.role is Role.ASSISTANT and message.tokens and message.tokens_of == vocabulary.fingerprint:
        return message.tokens
    return None
