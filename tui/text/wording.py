"""Formats facts as texts of the screen. Pure."""

from __future__ import annotations

from engine import numbers
from engine.backend import EngineInfo, StopReason, ThreadsNow
from engine.disturbance import QUIET_SHARE
from engine.events import ModelLoading, PromptEvaluated
from engine.model_ref import short_name
from engine.numbers import significant
from engine.presets.preset import Preset
from engine.records import FROM_CACHE, Message, MessageStatus, SessionInfo, TurnRecord
from engine.store.erase import Contents
from tui.text.switch_text import Made, switch_line


def count(number: int, one: str) -> str:
    """Format a count: `1 token`, `2 tokens`."""
    return f"{number:,} {one}{'' if number == 1 else 's'}"


def duration(milliseconds: float) -> str:
    """Format a time: `310 ms`, `12.4 s`, `3 min 20 s`."""
    seconds = milliseconds / 1e3
    if seconds < 60:
        return numbers.milliseconds(milliseconds)
    return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


def timing_line(turn: TurnRecord, before: TurnRecord | None = None) -> str:
    """Format the line of figures below an answer; after a switch with the speed of the answer `before` it."""
    timings = turn.timings
    if turn.noisy == FROM_CACHE:
        return f"{count(timings.predicted_n, 'token')}  ·  from the result cache, made before"
    parts = [count(timings.predicted_n, "token")]
    if turn.thinking_n:
        parts[0] += f" ({turn.thinking_n:,} thinking)"
    if timings.predicted_per_second and timings.predicted_n > 1:
        speed = before.timings.predicted_per_second if before is not None else None
        switched = speed and before is not None and switch_line(Made.of_turn(before), Made.of_turn(turn))
        parts.append(
            f"{significant(timings.predicted_per_second)} tokens/s" + (f" ({significant(speed)} before the switch)" if switched else "")
        )
    if timings.ttft_ms is not None:
        parts.append(f"first token after {duration(timings.ttft_ms)}")
    if turn.disturbed is not None and turn.disturbed >= QUIET_SHARE:
        more = turn.quiet_per_second is not None and turn.quiet_per_second > (timings.predicted_per_second or 0.0)
        quiet = f", about {significant(turn.quiet_per_second)} tokens/s without them" if more else ""
        parts.append(f"~ {100 * turn.disturbed:.0f} % of the time taken by other programs{quiet}")
    if timings.cache_n:
        parts.append(f"{timings.cache_n:,} of {timings.cache_n + timings.prompt_n:,} prompt tokens reused")
    return "  ·  ".join(parts)


def ending(answer: Message, turn: TurnRecord | None, *, continue_key: str = "") -> str:
    """Why an answer ended early, and the key that continues it; empty when the model ended it by itself."""
    if turn is not None and turn.error:
        return turn.error
    go_on = f" Continue: {continue_key}." if continue_key else ""
    if answer.status is MessageStatus.COMPLETE:
        return ""
    if turn is None or turn.stop_reason is StopReason.CANCELLED:
        return f"Stopped.{go_on}"
    if turn.stop_reason is not StopReason.LENGTH:
        return "Cut off."
    most = Made.of_turn(turn).preset.max_tokens
    if most is not None and turn.timings.predicted_n >= most:
        return f"The limit of tokens was reached: max_tokens is {most:,}.{go_on}"
    return f"The end of the context window was reached: n_ctx is {turn.n_ctx:,} tokens."


def prefill(event: PromptEvaluated) -> str:
    """Format the progress of the prefill."""
    if not event.total:
        return "reading the prompt"
    share = f"{event.processed / event.total:.0%} of {count(event.total, 'token')}"
    left = f", {duration(event.eta_ms)} left" if event.eta_ms is not None and event.processed < event.total else ""
    return f"reading the prompt  {share}{left}"


def loading(event: ModelLoading) -> str:
    """Format the progress of loading a model."""
    return f"loading {short_name(event.ref)}  {event.fraction:.0%}"


def batch(preset: Preset, current: int) -> str:
    """Format stream_batch for the status line."""
    return f"{current} auto" if preset.stream_batch == "auto" else str(preset.stream_batch)


def threads(preset: Preset, now: ThreadsNow) -> str:
    """Format the decode threads for the status line."""
    return count(now.threads, "thread") + (" auto" if preset.threads == "auto" else "")


def form(preset: Preset) -> str:
    """Return the form of answers for the status line; empty without one."""
    return "JSON schema" if preset.json_schema else "grammar" if preset.grammar else "regex" if preset.regex else ""


def loaded(engine: EngineInfo) -> str:
    """Describe a loaded model, for a notice."""
    return f"{engine.model.name} {engine.model.quant}, {engine.n_ctx:,} tokens of context, ready after {duration(engine.load_ms)}"


def what_goes(info: SessionInfo, contents: Contents) -> str:
    """Return the question before a session is deleted, with its contents."""
    messages = f"{count(contents.messages, 'message')} of all branches"
    measured = f"{count(contents.turns, 'turn')}, {count(contents.samples, 'sample')} and {count(contents.events, 'event')}"
    kept = "its entries in the search index and its saved KV state"
    return f"“{info.title}” is deleted with its {messages}, {measured}, {kept}. This can't be undone."
