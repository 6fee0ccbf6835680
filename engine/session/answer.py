"""One turn while it grows: turns engine events into text, thinking and figures. On the event loop's thread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import msgspec

from engine.backend import EngineInfo, GenerationFinished, PrefillProgressed, PromptReady, StopReason, TokensDecoded
from engine.chat.thinking import Split, ThinkingParser
from engine.clock import NS_PER_MS
from engine.events import AnswerGrew, PromptEvaluated
from engine.guide.respelling import Respelling
from engine.logprobs import TokenLogprobs
from engine.presets.preset import Preset
from engine.records import FROM_CACHE, Message, MessageStatus, TurnRecord
from engine.session.instruments import TurnFigures
from engine.text import storable


@dataclass(slots=True)
class Turn:
    """The answer in progress."""

    answer: Message
    """The answer before the turn: its id, parent, and (when continued) its text."""
    engine: EngineInfo
    preset: Preset
    stream_batch: int
    submitted_ns: int
    started_ms: int
    respelling: Respelling | None = None
    """Replaces keys and commands in answers of the built-in model; None for other models."""
    parser: ThinkingParser = field(default_factory=ThinkingParser)
    prompt: PromptReady | None = None
    tokens: list[int] = field(default_factory=list)
    """Ids of the answer; empty where the engine has none."""
    logprobs: list[TokenLogprobs] = field(default_factory=list)
    """How likely they were; empty where that was not asked for."""
    token_ns: list[int] = field(default_factory=list)
    """Timestamps of all tokens."""
    shown: list[Split] = field(default_factory=list)
    """What was handed out so far."""
    first_visible_ns: int | None = None

    def prompt_ready(self, event: PromptReady) -> None:
        """Set the prompt, which decides whether the answer begins inside a thinking block."""
        self.prompt = event
        self.parser = ThinkingParser(event.prompt.style, event.prompt.marker_tokens, opens_thinking=event.prompt.opens_thinking)

    def grow(self, chunk: TokensDecoded) -> Split:
        """Add a chunk; return what it added to the answer and to the thinking."""
        added: list[Split] = []
        self.tokens += chunk.tokens
        self.logprobs += chunk.logprobs
        self.token_ns += chunk.token_ns
        for piece, at_ns in zip(chunk.pieces, chunk.token_ns, strict=True):
            split = self._respelled(self.parser.feed(piece))
            if split.answer and self.first_visible_ns is None:
                self.first_visible_ns = at_ns
            if split.moved:
                added.clear()
            added.append(split)
        grown = _joined(added)
        if grown.moved:
            self.shown.clear()
        self.shown.append(grown)
        return grown

    @property
    def n_tokens(self) -> int:
        """Tokens generated so far."""
        return len(self.token_ns)

    @property
    def context_used(self) -> int:
        """Tokens of the prompt, as far as the engine reports them, and of the answer."""
        return len(self.token_ns) + (self.prompt.prompt.n_tokens or 0 if self.prompt else 0)

    def grew(self, added: Split, token_ns: tuple[int, ...] = ()) -> AnswerGrew:
        """Make the event for a chunk."""
        return AnswerGrew(
            answer_id=self.answer.id,
            text=added.answer,
            thinking=added.thinking,
            moved=added.moved,
            in_thinking=self.parser.in_thinking,
            may_move=self.parser.may_move,
            token_ns=token_ns,
            context_used=self.context_used,
        )

    def so_far(self) -> AnswerGrew:
        """Make the event for all that has come, for a listener that begins now."""
        shown = _joined(self.shown)
        added = Split(self.answer.thinking + shown.thinking, self.answer.text + shown.answer)
        return self.grew(added, tuple(self.token_ns))

    def evaluated(self, prompt: PromptReady, progress: PrefillProgressed | None = None) -> PromptEvaluated:
        """Make the event for the progress of the prefill."""
        return PromptEvaluated(
            answer_id=self.answer.id,
            cache_n=prompt.cache_n,
            processed=progress.processed if progress else 0,
            total=progress.total if progress else (prompt.prompt.n_tokens or 0) - prompt.cache_n,
            elapsed_ms=progress.elapsed_ms if progress else 0.0,
            eta_ms=progress.eta_ms if progress else None,
            left_out=prompt.prompt.left_out,
            diverged_at=prompt.diverged_at,
            prompt_text=prompt.prompt.text,
        )

    def finish(self, tail: str) -> Split:
        """Add the text after the last chunk; return it with the text held back until now."""
        return self._respelled(self.parser.finish(tail), final=True)

    def final(self, end: GenerationFinished) -> Message:
        """Make the answer as it is saved."""
        status = {
            StopReason.EOG: MessageStatus.COMPLETE,
            StopReason.STOP_STRING: MessageStatus.COMPLETE,
            StopReason.ERROR: MessageStatus.FAILED,
        }
        before = self.answer
        return replace(
            before,
            text=before.text + (self.respelling.whole(self.parser.answer) if self.respelling else self.parser.answer),
            thinking=before.thinking + self.parser.thinking,
            status=status.get(end.reason, MessageStatus.PARTIAL),
            tokens=self._answer_tokens(end.reason, before),
            tokens_of=self.engine.model.fingerprint,
        )

    def _respelled(self, split: Split, *, final: bool = False) -> Split:
        if self.respelling is None:
            return split
        if split.moved:
            self.respelling.finish()
        text = self.respelling.feed(split.answer)
        return replace(split, answer=(text + self.respelling.finish()) if final else text)

    def _answer_tokens(self, reason: StopReason, before: Message) -> tuple[int, ...] | None:
        """Return the ids of the answer's text; None where the engine has none, or a stop string was cut out of the text."""
        start = self.parser.answer_from
        if reason is StopReason.STOP_STRING or start is None or (self.token_ns and not self.tokens):
            return None
        fresh = tuple(self.tokens[start:])
        if not before.text:
            return fresh
        return before.tokens + fresh if before.tokens is not None and before.tokens_of == self.engine.model.fingerprint else None

    def _since_submit(self, at_ns: int | None) -> float | None:
        return None if at_ns is None else (at_ns - self.submitted_ns) / NS_PER_MS

    def record(self, end: GenerationFinished, measured: TurnFigures) -> TurnRecord:
        """Make the record of the turn."""
        prompt = self.prompt
        return TurnRecord(
            id=self.answer.id,
            session_id=None,
            user_message_id=self.answer.parent_id,
            started_ms=self.started_ms,
            model=self.engine.model.name,
            model_path=str(self.engine.model.path or self.engine.model.ref),
            model_fingerprint=self.engine.model.fingerprint,
            quant=self.engine.model.quant,
            preset=self.preset.name,
            preset_json=_as_json(self.preset),
            n_ctx=self.engine.n_ctx,
            threads=end.threads or self.engine.threads,
            threads_batch=end.threads_batch or self.engine.threads_batch,
            stream_batch=self.stream_batch,
            stop_reason=end.reason,
            timings=end.timings,
            token_ns=end.token_ns,
            thinking_n=self.parser.thinking_tokens,
            queue_ms=self._since_submit(prompt.started_ns) if prompt else None,
            template_ms=_milliseconds(prompt.prompt.template_ns) if prompt else None,
            tokenize_ms=_milliseconds(prompt.prompt.tokenize_ns) if prompt else None,
            first_visible_ms=self._since_submit(self.first_visible_ns),
            first_paint_ms=self._since_submit(measured.first_paint_ns),
            paint_ms=measured.paint_ns / NS_PER_MS if measured.first_paint_ns is not None else None,
            diverged_at=prompt.diverged_at if prompt else None,
            left_out=prompt.prompt.left_out if prompt else 0,
            judged=measured.judged and not end.from_cache,
            noisy=FROM_CACHE if end.from_cache else measured.noisy,
            disturbed=measured.disturbed,
            quiet_per_second=end.quiet_per_second,
            rss_peak_bytes=measured.rss_peak_bytes,
            error=str(end.error) if end.error else None,
            server_json=msgspec.json.encode(end.server).decode() if end.server else None,
        )


def _joined(splits: Sequence[Split]) -> Split:
    return Split(
        "".join(split.thinking for split in splits),
        "".join(split.answer for split in splits),
        any(split.moved for split in splits),
    )


def _as_json(preset: Preset) -> str:
    """Return a preset as JSON; characters of a file name that are not valid UTF-8 are replaced."""
    model = preset.model and storable(preset.model)
    return msgspec.json.encode(msgspec.structs.replace(preset, model=model)).decode()


def _milliseconds(ns: int | None) -> float | None:
    return None if ns is None else ns / NS_PER_MS
