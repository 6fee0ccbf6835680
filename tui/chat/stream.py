"""Streams an answer to the screen: collects chunks, and paints when the terminal has drawn the previous ones."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from textual.timer import Timer

from engine.clock import now_ns
from engine.events import AnswerGrew, Painted
from engine.metrics.link import Link
from engine.metrics.pacing import UI_SHARE, Choice, Costs, smallest_batch
from tui.terminal.link import ASKED_SHARE, CHECK_AGAIN_S, FASTEST_S, Pacer
from tui.transcript.transcript import Transcript

SMOOTHING = 0.2
"""Share of the newest measurement in the running averages."""

REPACE_S = 1.0
"""Interval between two choices of the batch by `auto`."""


class AnswerStream:
    """Updates the transcript at the pace that the connection and the machine allow."""

    def __init__(
        self,
        transcript: Transcript,
        *,
        pacer: Pacer,
        line: Callable[[], Link],
        bytes_written: Callable[[], int],
        painted: Callable[[Painted], None],
        choose: Callable[[Choice], None],
    ) -> None:
        """`line` returns the state of the connection; `painted` is called after each flush, `choose` with the choice of `auto`."""
        self._transcript = transcript
        self.pacer = pacer
        self._line = line
        self._bytes_written = bytes_written
        self._painted = painted
        self._choose = choose
        self._auto = True
        self._batch = 1
        self._answer_id: int | None = None
        self._text: list[str] = []
        self._thinking: list[str] = []
        self._in_thinking = False
        self._anew = False
        self._timer: Timer | None = None
        self._flushed_s = 0.0
        self._costs = Costs(0.0, 0.0, 0.0)
        self._token_ns: int | None = None
        self._bytes_before = 0
        self._repaced_s = 0.0

    def use_batch(self, batch: int | Literal["auto"]) -> None:
        """Set stream_batch: a fixed batch is painted on arrival if the connection allows, `auto` at the usual pace."""
        self._auto = batch == "auto"
        self.pacer.floor_s = self.pacer.usual_s if self._auto else FASTEST_S
        self.pacer.share = UI_SHARE if self._auto else ASKED_SHARE

    def begin(self, answer_id: int, batch: int) -> None:
        """Start an answer delivered in chunks of `batch` tokens."""
        self._answer_id = answer_id
        self._batch = batch
        self._text.clear()
        self._thinking.clear()
        self._anew = False
        self._token_ns = None
        self._repaced_s = time.monotonic()

    def add(self, event: AnswerGrew) -> None:
        """Add a chunk and schedule its painting."""
        if event.answer_id != self._answer_id:
            return
        if event.moved:
            self._anew = True
            self._text.clear()
            self._thinking.clear()
        self._text.append(event.text)
        self._thinking.append(event.thinking)
        self._in_thinking = event.in_thinking
        self._clock_tokens(event.token_ns)
        if self._timer is None:
            self._arm(max(0.0, self._flushed_s + self.pacer.pause() - time.monotonic()))

    def end(self) -> None:
        """End the answer; its final text is shown by `Transcript.finish`."""
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        self._answer_id = None

    def _arm(self, delay_s: float) -> None:
        self._timer = self._transcript.set_timer(max(0.001, delay_s), self._flush)

    def _flush(self) -> None:
        self._timer = None
        if self._answer_id is None:
            return
        now = time.monotonic()
        if not self.pacer.due(self._line(), now):
            self._arm(CHECK_AGAIN_S)
            return
        text, thinking = "".join(self._text), "".join(self._thinking)
        self._text.clear()
        self._thinking.clear()
        self._flushed_s = now
        self._bytes_before = self._bytes_written()
        began_ns = time.thread_time_ns()
        self._transcript.grow(self._answer_id, text, thinking, in_thinking=self._in_thinking, anew=self._anew)
        self._anew = False
        self._transcript.call_after_refresh(self._after_paint, self._answer_id, began_ns)

    def _after_paint(self, answer_id: int, began_ns: int) -> None:
        paint_ns = time.thread_time_ns() - began_ns
        self._painted(Painted(answer_id, now_ns(), paint_ns))
        sent = self._bytes_written() - self._bytes_before
        self._costs = replace(
            self._costs,
            paint_ms=_blend(self._costs.paint_ms, paint_ns / 1e6),
            chunk_bytes=_blend(self._costs.chunk_bytes, sent),
        )
        rest_s = self.pacer.pause(self._costs.paint_ms / 1e3) - self.pacer.pause()
        self._flushed_s = max(self._flushed_s, time.monotonic() + rest_s)
        self._repace()

    def _repace(self) -> None:
        now = time.monotonic()
        if not self._auto or now - self._repaced_s < REPACE_S or self._costs.tokens_per_second <= 0:
            return
        self._repaced_s = now
        carried = self._costs.chunk_bytes / self.pacer.pause() if self.pacer.slowed else None
        choice = smallest_batch(replace(self._costs, link_bytes_per_s=carried), current=self._batch)
        if choice.batch != self._batch:
            self._batch = choice.batch
            self._choose(choice)

    def _clock_tokens(self, token_ns: tuple[int, ...]) -> None:
        if not token_ns:
            return
        if self._token_ns is not None and token_ns[-1] > self._token_ns:
            rate = len(token_ns) / (token_ns[-1] - self._token_ns) * 1e9
            self._costs = replace(self._costs, tokens_per_second=_blend(self._costs.tokens_per_second, rate))
        self._token_ns = token_ns[-1]


def _blend(average: float, newest: float) -> float:
    return newest if average == 0 else average + SMOOTHING * (newest - average)
