"""Sentences that the screen makes from facts. Pure."""

from __future__ import annotations

from engine.backend import EngineInfo, StopReason, ThreadsNow
from engine.disturbance import QUIET_SHARE
from engine.errors import XchatError
from engine.events import ModelLoading, PromptEvaluated
from engine.model_ref import short_name
from engine.presets.preset import Preset
from engine.records import Message, MessageStatus, SessionInfo, TurnRecord
from engine.store.erase import Contents


def count(number: int, one: str) -> str:
    """`1 token`, `2 tokens`."""
    return f"{number:,} {one}{'' if number == 1 else 's'}"


def duration(milliseconds: float) -> str:
    """A time as people say it: `0.31 s`, `12 s`, `3 min 20 s`."""
    seconds = milliseconds / 1e3
    if seconds < 10:
        return f"{seconds:.2f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


def timing_line(turn: TurnRecord) -> str:
    """The small print below an answer."""
    timings = turn.timings
    parts = [count(timings.predicted_n, "token")]
    if turn.thinking_n:
        parts[0] += f" ({turn.thinking_n:,} thinking)"
    if timings.predicted_per_second and timings.predicted_n > 1:
        parts.append(f"{timings.predicted_per_second:.1f} tokens/s")
    if timings.ttft_ms is not None:
        parts.append(f"first token after {duration(timings.ttft_ms)}")
    if turn.disturbed is not None and turn.disturbed >= QUIET_SHARE:
        quiet = f", about {turn.quiet_per_second:.1f} tokens/s without them" if turn.quiet_per_second else ""
        parts.append(f"~ {100 * turn.disturbed:.0f} % of the time taken by others{quiet}")
    if timings.cache_n:
        parts.append(f"{timings.cache_n:,} of {timings.cache_n + timings.prompt_n:,} prompt tokens reused")
    return "  ·  ".join(parts)


def ending(answer: Message, turn: TurnRecord | None, error: XchatError | None, *, continue_key: str) -> str:
    """Why an answer ended early; empty when the model ended it by itself."""
    if error is not None:
        return f"{error.title}: {error.detail}" if error.detail else error.title
    go_on = f" {continue_key} goes on." if continue_key else ""
    if answer.status is MessageStatus.COMPLETE:
        return ""
    if turn is None or turn.stop_reason is StopReason.CANCELLED:
        return f"Stopped.{go_on}"
    return f"The longest answer, or the end of the window, was reached.{go_on}" if turn.stop_reason is StopReason.LENGTH else "Cut off."


def prefill(event: PromptEvaluated) -> str:
    """How far the prompt has been read."""
    if not event.total:
        return "reading the prompt"
    share = f"{event.processed / event.total:.0%} of {count(event.total, 'token')}"
    left = f", {duration(event.eta_ms)} left" if event.eta_ms is not None and event.processed < event.total else ""
    return f"reading the prompt  {share}{left}"


def loading(event: ModelLoading) -> str:
    """How far a model has been read."""
    return f"loading {short_name(event.ref)}  {event.fraction:.0%}"


def batch(preset: Preset, in_force: int) -> str:
    """The knob, as the status line shows it."""
    return f"{in_force} auto" if preset.stream_batch == "auto" else str(preset.stream_batch)


def threads(preset: Preset, now: ThreadsNow) -> str:
    """How many threads decode, as the status line shows it."""
    return count(now.threads, "thread") + (" auto" if preset.threads == "auto" else "")


def loaded(engine: EngineInfo) -> str:
    """What was loaded, for a notice."""
    return f"{engine.model.name} {engine.model.quant}, {engine.n_ctx:,} tokens of context, ready after {duration(engine.load_ms)}"


def what_goes(info: SessionInfo, contents: Contents) -> str:
    """What deleting a session takes along."""
    messages = f"{count(contents.messages, 'message')} of all branches"
    measured = f"{count(contents.turns, 'turn')}, {count(contents.samples, 'sample')} and {count(contents.events, 'event')}"
    kept = "its words in the search index and its kept KV state"
    return f"“{info.title}” goes with its {messages}, {measured}, {kept}. This can't be undone."
