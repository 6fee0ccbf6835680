"""Measures the quality of quants and KV types against a base, all arms on each window, so that a run can end early."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Final

from engine.errors import ModelError, UsageError, XchatError
from engine.lab.compute_thread import on_compute_thread
from engine.lab.quality.figures import Block, Quality, Scores, summary
from engine.llama.scoring import Interrupted, Models, Scorer
from engine.model_ref import ModelRef
from engine.presets.preset import Preset
from engine.regular_file import read_regular
from engine.text import printable

N_CTX: Final = 512
"""Tokens per window, llama-perplexity's default."""
SHIPPED: Final = "text.txt"
MOST_BYTES: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class Arm:
    """A model with the settings of its KV cache."""

    label: str
    ref: ModelRef
    preset: Preset


@dataclass(frozen=True, slots=True)
class Outcome:
    """The results of a run."""

    results: tuple[Quality, ...]
    """The base first."""
    n_ctx: int
    windows: int
    """Windows of the text, or the number asked for; the results have the number measured."""
    skipped: tuple[tuple[str, str], ...] = ()
    """Arms that could not be measured, each with the reason."""
    interrupted: bool = False


def shipped_text() -> str:
    """Return the shipped text: a story, an essay, a recipe, instructions, a letter and a dialogue."""
    return files("engine.lab.quality").joinpath(SHIPPED).read_text("utf-8")


def text_of(path: Path) -> str:
    """Read a text file of the person.

    Raises:
        UsageError: It can't be read, or is not text.
    """
    try:
        data = read_regular(path, MOST_BYTES)
    except OSError as error:
        raise UsageError(f"{printable(str(path))} can't be read", error.strerror or "") from error
    if len(data) > MOST_BYTES or b"\0" in data:
        raise UsageError(f"{printable(str(path))} can't be used", "It is not a text file, or is longer than 64 MB", "Name a text file.")
    return data.decode("utf-8", "replace")


@dataclass(slots=True)
class _Running:
    arm: Arm
    scorer: Scorer
    scores: Scores = field(default_factory=Scores)


class QualityRun:
    """One measurement; `stop` may be called from any thread."""

    def __init__(self, arms: Sequence[Arm], text: str, *, n_ctx: int = N_CTX, most_windows: int | None = None, force: bool = False) -> None:
        """`arms` begin with the base."""
        self._arms, self._text, self._n_ctx, self._most, self._force = arms, text, n_ctx, most_windows, force
        self._stopped = threading.Event()
        self._running: list[_Running] = []

    def stop(self) -> None:
        """End after the current call; keep finished windows."""
        self._stopped.set()
        for running in list(self._running):
            running.scorer.interrupt()

    def run(
        self,
        file_of: Callable[[ModelRef], Path | None],
        trusted: Callable[[Path], bool],
        progressed: Callable[[int, int], None] = lambda _done, _all: None,
    ) -> Outcome:
        """Measure on a compute thread; SIGINT ends the run and keeps the results so far. For a process without a backend.

        Raises:
            UsageError: The text is shorter than a window.
            ModelError: The base, or every other arm, can't be used.
        """
        return on_compute_thread(lambda: self._measure(file_of, trusted, progressed), self.stop)

    def _measure(
        self, file_of: Callable[[ModelRef], Path | None], trusted: Callable[[Path], bool], progressed: Callable[[int, int], None]
    ) -> Outcome:
        with ExitStack() as closed_last:
            models = closed_last.enter_context(closing(Models(file_of, trusted)))
            base = self._open(models, self._arms[0], closed_last)
            tokens = self._tokens(base)
            skipped = []
            for arm in self._arms[1:]:
                try:
                    self._refuse_another_vocabulary(self._open(models, arm, closed_last), base)
                except XchatError as error:
                    skipped.append((arm.label, str(error)))
            if skipped and len(self._running) == 1:
                raise ModelError(f"{printable(skipped[0][0])} can't be compared", skipped[0][1])
            windows = min(len(tokens) // self._n_ctx, self._most or len(tokens))
            done = 0
            progressed(done, windows)
            while done < windows and not self._stopped.is_set():
                try:
                    self._window(tokens[done * self._n_ctx : (done + 1) * self._n_ctx])
                except Interrupted:
                    break
                done += 1
                progressed(done, windows)
            results = self._results(done)
        return Outcome(results, self._n_ctx, windows, tuple(skipped), interrupted=done < windows)

    def _open(self, models: Models, arm: Arm, closed_last: ExitStack) -> _Running:
        model = models.get(arm.ref, arm.preset, force=self._force)
        scorer = closed_last.enter_context(closing(Scorer(models, model, arm.preset, self._n_ctx)))
        running = _Running(arm, scorer)
        self._running.append(running)
        return running

    def _tokens(self, base: _Running) -> list[int]:
        vocabulary = base.scorer.vocabulary
        tokens = vocabulary.tokenize(self._text, parse_special=False)
        if vocabulary.add_bos and vocabulary.bos is not None:
            tokens = [vocabulary.bos, *tokens]
        if len(tokens) < self._n_ctx:
            raise UsageError(
                "The text is shorter than one window",
                f"It has {len(tokens):,} tokens, a window {self._n_ctx:,}",
                "Use a longer text, or a smaller window (-c).",
            )
        return tokens

    def _refuse_another_vocabulary(self, running: _Running, base: _Running) -> None:
        """Raise ModelError for an arm whose vocabulary differs from the base's, and remove the arm."""
        ours, theirs = running.scorer.vocabulary, base.scorer.vocabulary
        reason = f"it has {ours.n_vocab:,} tokens, {printable(base.arm.label)} {theirs.n_vocab:,}"
        if ours.n_vocab == theirs.n_vocab:
            sample = self._text[:20_000]
            if ours.tokenize(sample, parse_special=False) == theirs.tokenize(sample, parse_special=False):
                return
            reason = "it tokenizes the same text differently"
        self._running.remove(running)
        raise ModelError(
            f"{printable(running.arm.label)} has a different vocabulary", reason, "Only quants of the same model can be compared."
        )

    def _window(self, tokens: Sequence[int]) -> None:
        """Score a window with all arms; an interrupted window does not count."""
        base, *others = self._running
        kept = [len(running.scores.nll) for running in self._running]
        bos = base.scorer.vocabulary.bos if base.scorer.vocabulary.add_bos else None
        given = [bos, *tokens[1:]] if bos is not None else list(tokens)
        try:
            for blocks in zip(*(running.scorer.rows(given) for running in self._running), strict=True):
                at, rows = blocks[0]
                block = Block(rows, tokens[at + 1 : at + 1 + len(rows)])
                block.score_base(base.scores)
                for running, (_, logits) in zip(others, blocks[1:], strict=True):
                    block.score(logits, running.scores)
        except Interrupted:
            for running, blocks_kept in zip(self._running, kept, strict=True):
                running.scores.keep(blocks_kept)
            raise

    def _results(self, windows: int) -> tuple[Quality, ...]:
        if not windows:
            return ()
        base, *others = self._running
        return (
            summary(base.arm.label, base.scores, windows),
            *(summary(running.arm.label, running.scores, windows, base.scores) for running in others),
        )
