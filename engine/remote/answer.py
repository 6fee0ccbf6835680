"""One turn while its answer arrives: converts the server's events to events of the engine, with this program's clock."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import msgspec

from engine.backend import (
    GenerateRequest,
    GenerationFinished,
    PrefillProgressed,
    PromptFacts,
    PromptReady,
    StopReason,
    TokensDecoded,
)
from engine.clock import NS_PER_MS, now_ns
from engine.errors import XchatError
from engine.messages import ThinkingStyle
from engine.remote.faults import error_event, server_error, unreadable
from engine.remote.server import number
from engine.text import one_line, printable, storable
from engine.timings import compute_timings

MOST_ANSWER: Final = 32 << 20
"""Longest answer, in characters."""
MOST_TOKENS: Final = 4096
"""Most tokens that one event can plausibly have."""
_OPEN, _CLOSE = "\uf8f0", "\uf8f1"
_STYLE: Final = ThinkingStyle(_OPEN, _CLOSE, line="", gap="")
"""Marks thinking that a server sends apart from the answer; private characters, removed from servers' text."""
_NO_MARKS: Final = str.maketrans({_OPEN: "\ufffd", _CLOSE: "\ufffd"})
_DECODE: Final = msgspec.json.Decoder().decode
_SAID: Final = (
    "cache_n",
    "prompt_n",
    "prompt_ms",
    "prompt_per_second",
    "predicted_n",
    "predicted_ms",
    "predicted_per_second",
    "draft_n",
    "draft_n_accepted",
    "time_to_first_token_ms",
    "queue_time_ms",
    "generation_time_ms",
    "mean_itl_ms",
    "tokens_per_second",
)
"""Fields of `timings` (llama.cpp) and `metrics` (vLLM) that are kept."""


class Arriving:
    """The answer to one request. For the thread of its backend only."""

    def __init__(self, request: GenerateRequest) -> None:
        self.request = request
        self.started_ns = now_ns()
        self.token_ns: list[int] = []
        self.ended = False
        """Whether the server gave a finish reason."""
        self._reason = StopReason.EOG
        self._ready = False
        self._thinking = False
        self._answering = False
        self._half = ""
        self._characters = 0
        self._counted = 0
        self._usage: Mapping[str, Any] = {}
        self._timings: Mapping[str, Any] = {}
        self._metrics: Mapping[str, Any] = {}
        self._notices: tuple[str, ...] = ()
        self._host = self._model = ""

    @property
    def begun(self) -> bool:
        """Whether any of the answer has arrived; a retry would then give another answer."""
        return bool(self.token_ns)

    def begin(self, host: str, model: str, notices: tuple[str, ...]) -> None:
        """Begin an attempt to get the answer from a server."""
        self.started_ns = now_ns()
        self._host, self._model, self._notices = host, model, notices

    def take(self, data: bytes) -> None:
        """Handle the data of an event. Raises ServerError when it is an error or can't be decoded."""
        try:
            chunk = _DECODE(data)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            chunk = self._decode_anyway(data)
        except RecursionError as error:
            raise unreadable(self._host, f"An event is nested too deeply: {_shown(data)}") from error
        if not isinstance(chunk, dict):
            raise unreadable(self._host, f"An event is not an object: {_shown(data)}")
        if chunk.get("error"):
            raise error_event(self._host, chunk["error"])
        now = now_ns()
        self._figures(chunk, now)
        choices = chunk.get("choices")
        if choices is not None and not isinstance(choices, list):
            raise unreadable(self._host, f"`choices` is not a list: {_shown(data)}")
        for choice in choices or ():
            if not isinstance(choice, dict):
                raise unreadable(self._host, f"A choice is not an object: {_shown(data)}")
            if not choice.get("index"):
                self._choice(choice, chunk, now)

    def _decode_anyway(self, data: bytes) -> Any:
        """Return the decoded JSON of text with half a character: bytes that are not UTF-8, or half a surrogate pair."""
        try:
            return json.loads(data.decode("utf-8", "replace"))
        except (ValueError, RecursionError) as error:
            raise unreadable(self._host, f"An event is not JSON: {_shown(data)}") from error

    def _figures(self, chunk: dict[str, Any], now: int) -> None:
        if isinstance(usage := chunk.get("usage"), dict):
            self._usage = usage
        if isinstance(timings := chunk.get("timings"), dict):
            self._timings = timings
        if isinstance(metrics := chunk.get("metrics"), dict):
            self._metrics = metrics
        if isinstance(progress := chunk.get("prompt_progress"), dict):
            total, cached = number(progress, "total"), number(progress, "cache")
            self._prompt_ready(chunk, now, total, cached)
            done, left = max(0, number(progress, "processed") - cached), max(0, total - number(progress, "processed"))
            took = progress.get("time_ms")
            ms = float(took) if _is_figure(took) and isinstance(took, int | float) else 0.0
            self._emit(PrefillProgressed(self.request.turn, now, done, max(0, total - cached), ms, ms / done * left if done else 0.0))

    def _prompt_ready(self, chunk: dict[str, Any], now: int, total: int = 0, cached: int = 0) -> None:
        if self._ready:
            return
        self._ready = True
        model = chunk.get("model")
        if isinstance(model, str) and model and not _same_model(model, self._model):
            self._notices += (f"{self._host} answers with {printable(model, 80)}, not with {printable(self._model, 80)}",)
        facts = PromptFacts(total or None, style=_STYLE, notices=self._notices)
        self._emit(PromptReady(self.request.turn, now, self.started_ns, facts, min(cached, total), None))

    def _choice(self, choice: dict[str, Any], chunk: dict[str, Any], now: int) -> None:
        self._prompt_ready(chunk, now)
        delta = choice.get("delta", choice.get("message"))
        if isinstance(delta, dict):
            thought = self._text(delta.get("reasoning_content") or delta.get("reasoning"))
            text = self._text(delta.get("content") or delta.get("refusal"))
            if thought or text:
                self._grow(self._marked(thought, text), now)
        why = choice.get("finish_reason")
        if isinstance(why, str) and why:
            self.ended = True
            self._reason = StopReason.LENGTH if why == "length" else StopReason.EOG
            if why == "content_filter":
                raise server_error(f"{self._host} withheld the rest of the answer", "Its content filter ended it", "Ask in other words.")

    def _text(self, value: object) -> str:
        """Return a piece of text; some servers send it in parts."""
        if isinstance(value, list):
            value = "".join(str(part.get("text", "")) for part in value if isinstance(part, dict))
        return value.translate(_NO_MARKS) if isinstance(value, str) else ""

    def _marked(self, thought: str, text: str) -> str:
        """Return the thinking and the text of an event, with the marks where thinking begins and ends."""
        if thought and not self._thinking and not self._answering:
            self._thinking, thought = True, _OPEN + thought
        if text and self._thinking:
            self._thinking, text = False, _CLOSE + text
        self._answering = self._answering or bool(text.strip(_CLOSE).strip())
        return thought + text

    def _grow(self, piece: str, now: int) -> None:
        piece, self._half = self._half + piece, ""
        if "\ud800" <= piece[-1] <= "\udbff":
            piece, self._half = piece[:-1], piece[-1]  # its other half is in the next event
        piece = storable(piece)
        self._characters += len(piece)
        if self._characters > MOST_ANSWER:
            raise server_error(f"{self._host} sends an answer without an end", f"It has more than {MOST_ANSWER >> 20} million characters")
        counted = number(self._timings, "predicted_n") if self._timings else 0
        n = min(MOST_TOKENS, max(1, counted - self._counted)) if counted else 1
        self._counted = max(counted, self._counted + 1)
        self.token_ns += [now] * n
        self._emit(TokensDecoded(self.request.turn, (piece, *[""] * (n - 1)), (now,) * n))

    def _emit(self, event: PromptReady | PrefillProgressed | TokensDecoded) -> None:
        self.request.on_event(event)

    def finish(self, reason: StopReason | None, error: XchatError | None = None) -> None:
        """Emit the last event; `reason` None means the server's. Times are measured here; counts are the server's where reported."""
        usage, stamps = self._usage, self.token_ns
        said = {name: float(value) for name in _SAID if _is_figure(value := self._timings.get(name, self._metrics.get(name)))}
        at, first = now_ns(), stamps[0] if stamps else now_ns()
        details = usage.get("prompt_tokens_details")
        cached = number(details, "cached_tokens") if isinstance(details, dict) else int(said.get("cache_n", 0))
        prompt = number(usage, "prompt_tokens") or cached + int(said.get("prompt_n", 0))
        cached = min(cached, prompt)
        timings = compute_timings(
            cache_n=cached,
            prompt_n=prompt - cached,
            submitted_ns=self.request.submitted_ns,
            prefill_start_ns=self.started_ns,
            prefill_end_ns=first,
            token_ns=stamps,
        )
        n = number(usage, "completion_tokens") or max(len(stamps), int(said.get("predicted_n", 0)) if stamps else 0)
        if n > 1 and stamps:  # the gap before the first token can't be measured here
            timings = replace(timings, predicted_n=n, predicted_ms=(stamps[-1] - first) / NS_PER_MS * n / (n - 1))
        self.request.on_event(
            GenerationFinished(
                self.request.turn,
                at,
                self._reason if reason is None else reason,
                timings,
                self.started_ns,
                self.started_ns,
                first,
                prompt,
                tuple(stamps),
                tail=storable(self._half),
                error=error,
                server=said,
            )
        )


def _same_model(named: str, asked: str) -> bool:
    """Return whether a server's model name means the one asked for; it may add a path, a tag, a date or a file's ending."""
    one, other = (name.lower().rpartition("/")[2].removesuffix(".gguf") for name in (named, asked))
    return one.startswith(other) or other.startswith(one)


def _is_figure(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e15


def _shown(data: bytes) -> str:
    return one_line(data[:80].decode("utf-8", "replace"))
