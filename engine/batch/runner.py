"""Answers the lines of a batch in parallel, as many as the engine supports."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from engine.backend import (
    Backend,
    BackendEvent,
    GenerateRequest,
    GenerationFinished,
    Priority,
    PromptReady,
    StopReason,
    TokensDecoded,
)
from engine.batch.lines import BatchLine
from engine.chat.thinking import ThinkingParser
from engine.clock import now_ns
from engine.errors import EngineError, XchatError
from engine.messages import constraint_of
from engine.presets.preset import Preset

AHEAD: Final = 2
"""Lines submitted, as a multiple of the parallel answers, so that no slot is idle and prefixes are shared."""
ASKER: Final = "batch"
_STEP_S: Final = 0.5
"""Longest wait for a result until the progress is updated and an interrupt is handled."""


@dataclass(slots=True, eq=False)
class Outcome:
    """The outcome of a line. Filled on the engine's thread; other threads read it once `end` is set."""

    line: BatchLine
    attempt: int
    ready: PromptReady | None = None
    pieces: list[str] = field(default_factory=list)
    end: GenerationFinished | None = None

    @property
    def error(self) -> XchatError | None:
        """The error of a line without an answer, if any."""
        if self.end is None or self.end.reason is not StopReason.ERROR:
            left_out = self.ready.prompt.left_out if self.ready is not None else 0
            return EngineError("The messages do not fit into the context window", f"{left_out} would be left out") if left_out else None
        return self.end.error or EngineError("The engine failed")

    @property
    def refused(self) -> bool:
        """Whether the engine can't answer the line, so that retrying is useless."""
        return self.error is not None and (self.ready is None or self.ready.prompt.left_out > 0)

    def text(self) -> tuple[str, str]:
        """Return the answer, and the thinking before it."""
        facts = self.ready.prompt if self.ready is not None else None
        parser = (
            ThinkingParser(facts.style, facts.marker_tokens, opens_thinking=facts.opens_thinking) if facts is not None else ThinkingParser()
        )
        for piece in self.pieces:
            parser.feed(piece)
        parser.finish(self.end.tail if self.end is not None else "")
        return parser.answer, parser.thinking


class Runner:
    """Runs a batch on a loaded engine. For one thread."""

    def __init__(self, backend: Backend, preset: Preset, *, retries: int = 1) -> None:
        """`preset`: the settings of lines without their own; `retries`: retries of a line on which the engine fails."""
        self._backend = backend
        self._preset = preset
        self._retries = retries
        self._finished: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self._turns = 0
        self.tokens = 0
        """Tokens generated so far."""

    def run(self, lines: Iterator[BatchLine], on_outcome: Callable[[Outcome], None], on_wait: Callable[[], None] = lambda: None) -> None:
        """Answer all lines; calls `on_outcome` on this thread for each, and `on_wait` twice a second.

        Raises the errors of `lines` and `on_outcome`, KeyboardInterrupt, and EngineError when the engine is dead. It is then stopped, and
        unfinished answers are lost.
        """
        loaded = self._backend.loaded
        most = AHEAD * (loaded.parallel if loaded is not None else 1)
        under_way = 0
        try:
            while True:
                while under_way < most and (line := next(lines, None)) is not None:
                    self._submit(Outcome(line, 0))
                    under_way += 1
                if not under_way:
                    return
                try:
                    outcome = self._finished.get(timeout=_STEP_S)
                except queue.Empty:
                    on_wait()
                    continue
                self._raise_what_concerns_all(outcome)
                if self._again(outcome):
                    self._submit(Outcome(outcome.line, outcome.attempt + 1))
                    continue
                under_way -= 1
                on_outcome(outcome)
        except BaseException:
            self._backend.stop()
            raise

    def _raise_what_concerns_all(self, outcome: Outcome) -> None:
        """Raise the error of a line if it affects all lines: the engine is dead or not ready."""
        error = self._backend.dead or outcome.error
        if error is not None and (error is self._backend.dead or error.action):
            raise error

    def _again(self, outcome: Outcome) -> bool:
        return outcome.error is not None and not outcome.refused and outcome.attempt < self._retries

    def _submit(self, outcome: Outcome) -> None:
        self._turns += 1
        turn = self._turns

        def on_event(event: BackendEvent) -> None:
            match event:
                case PromptReady():
                    outcome.ready = event
                    if event.prompt.left_out:
                        self._backend.stop(turn)
                case TokensDecoded():
                    self.tokens += len(event.token_ns)
                    outcome.pieces += event.pieces
                case GenerationFinished():
                    outcome.end = event
                    self._finished.put(outcome)

        preset = outcome.line.preset(self._preset)
        self._backend.submit(
            GenerateRequest(
                turn=turn,
                prompt=outcome.line.prompt,
                sampling=preset.sampling,
                on_event=on_event,
                submitted_ns=now_ns(),
                stop=outcome.line.stop,
                max_tokens=preset.max_tokens,
                repeatable=preset.repeatable,
                constraint=constraint_of(preset),
                priority=Priority.BATCH,
                asker=ASKER,
            )
        )
