"""Figures of the answer: speed, latency and context."""

from __future__ import annotations

from collections.abc import Callable

from engine.metrics.figures.figure import Column, Figure, History, Metric, Reader
from engine.metrics.snapshot import Phase, Snapshot
from engine.metrics.waterfall import Waterfall

_TOKENS = "Timestamps that the engine takes when a token is sampled (monotonic clock)."
_THREADS_LEVER = "threads (changes at the next token), another quant, a quieter machine."
_GAPS = "xchat_inter_token_latency_seconds"


def _prefilling(now: Snapshot) -> float | None:
    return now.speed.prompt_per_second if now.phase is Phase.PREFILL else None


def _now_or_finished(now: Snapshot) -> float | None:
    return now.since.finished_per_second if now.speed.now is None else now.speed.now


def _of_last_turn(read: Callable[[Waterfall], float | None]) -> Reader:
    return lambda now: None if now.waterfall is None else read(now.waterfall)


def _accepted(now: Snapshot) -> float | None:
    timings = now.timings
    return 100.0 * timings.draft_n_accepted / timings.draft_n if timings is not None and timings.draft_n else None


# fmt: off
ANSWER: tuple[Figure, ...] = (
    Figure("tokens_per_second", "Decode speed, now", label="engine", unit="tokens/s", read=lambda now: now.speed.now, panes=("speed",),
        history=History(flowing=True, read=_now_or_finished), column=Column("REAL"), sample_chart="Tokens per second over time",
        metric=Metric("xchat_tokens_per_second"),
        formula="Gaps between tokens that ended within the last second, over their length. During a gap of over a second, 1 / gap.",
        source=_TOKENS, levers=_THREADS_LEVER),
    Figure("predicted_per_second", "Decode speed", label="mean", unit="tokens/s", read=lambda now: now.speed.mean,
        of_turn=lambda turn: turn.timings.predicted_per_second, less_is_better=False, panes=("speed",), turn_chart="Decode speed",
        formula="While the answer grows (n - 1) / (last token - first token). Afterwards predicted_n / predicted_ms, as llama-server "
        "counts: from the end of the prefill to the last token.",
        source=_TOKENS, levers="the depth of the context (more KV to read per token), and all that changes tokens per second now."),
    Figure("on_screen_per_second", "Tokens per second on the screen", label="screen", unit="tokens/s", read=lambda now: now.speed.on_screen,
        panes=("speed",), history=History(flowing=True),
        formula="Tokens in the chunks painted within the last second, divided by the time between those paints.",
        source="The transcript's reports of painted chunks.", levers="stream_batch, the width of the terminal, the connection to it."),
    Figure("prompt_per_second", "Prefill speed", label="prefill", unit="tokens/s", read=lambda now: now.speed.prompt_per_second,
        panes=("speed",), history=History(flowing=True, read=_prefilling), column=Column("REAL", read=_prefilling),
        of_turn=lambda turn: turn.timings.prompt_per_second, less_is_better=False, turn_chart="Prefill speed",
        formula="Prompt tokens evaluated / prefill time. Tokens reused from the KV cache don't count.",
        source="The engine's clock around its prefill calls.",
        levers="threads_batch, n_ubatch, repacked weights (`repack`), another quant."),
    Figure("prefill_share", "Prefill progress", label="prefill", unit="%",
        read=lambda now: {"processed": now.prefill.processed, "total": now.prefill.total, "eta_ms": now.prefill.eta_ms},
        panes=("speed",), key="prefill",
        formula="Prompt tokens evaluated so far / prompt tokens to evaluate in this turn; ETA is the rest at the mean speed so far.",
        source="The engine's clock around its prefill calls.",
        levers="a prompt with the same beginning as the one before, and all that changes the prefill speed."),
    Figure("predicted_n", "Generated", label="tokens", unit="tokens", read=lambda now: now.speed.predicted_n, panes=("speed",),
        of_turn=lambda turn: turn.timings.predicted_n,
        formula="Count of sampled tokens of the turn, thinking included; the end-of-generation token doesn't count.",
        source="The engine's decode loop.", levers="max_tokens, the question."),
    Figure("draft_accepted_pct", "Guessed tokens accepted", label="accepted", unit="%", read=_accepted, panes=("speed",), group="draft",
        key="accepted_pct", metric=Metric("xchat_draft_accepted_ratio"),
        formula="Tokens guessed from earlier text (prompt lookup) that were generated / all that were checked, in the last finished turn.",
        source="The engine's decode loop.", levers="`lookup`, a message that repeats what the answer is to copy."),
    Figure("draft_gain", "Gain of guessed tokens", label="gain", unit="x", panes=("speed",),
        read=lambda now: now.timings.draft_gain if now.timings is not None else None,
        group="draft", key="gain", metric=Metric("xchat_draft_gain"),
        formula="Decode time that calls for one token each would have taken / decode time, in the last finished turn.",
        source="The measured duration of a call by the number of its tokens.",
        levers="`lookup`, another quant: Q8_0 gains more than K-quants."),
    Figure("stream_batch", "Tokens per chunk", label="batch", unit="tokens", read=lambda now: now.stream_batch, panes=("speed",),
        formula="Tokens delivered together from the engine to the screen. `auto` chooses the smallest number that keeps painting under "
            "its share of a core and the bytes within the capacity of the connection.",
        source="The preset, or the measured cost of painting.", levers="`stream_batch` in the preset.",
        actions=("bigger_batch", "smaller_batch")),
    Figure("itl_p50_ms", "Inter-token p50", label="p50", unit="ms", read=lambda now: now.gaps.p50_ms, panes=("latency",),
        of_turn=lambda turn: turn.timings.itl_p50_ms, less_is_better=True, turn_chart="Inter-token latency",
        metric=Metric(_GAPS, labels={"quantile": "0.5"}),
        formula="Median of the gaps between tokens (nearest rank): live over the last 1,024 gaps of the turn, exact once it is finished.",
        source=_TOKENS, levers=_THREADS_LEVER),
    Figure("itl_p95_ms", "Inter-token p95", label="p95", unit="ms", read=lambda now: now.gaps.p95_ms,
        panes=("latency",), metric=Metric(_GAPS, labels={"quantile": "0.95"}),
        formula="As the median; 95 % of the gaps are not longer.",
        source=_TOKENS, levers=_THREADS_LEVER),
    Figure("itl_p99_ms", "Inter-token p99", label="p99", unit="ms", read=lambda now: now.gaps.p99_ms,
        panes=("latency",), fold="max", of_turn=lambda turn: turn.timings.itl_p99_ms, less_is_better=True, turn_chart="Inter-token latency",
        metric=Metric(_GAPS, labels={"quantile": "0.99"}),
        formula="As the median; 99 % of the gaps are not longer.",
        source=_TOKENS, levers="one thread fewer than cores, so that the screen never takes a core from a worker; fewer other programs."),
    Figure("itl_max_ms", "Longest gap", label="max", unit="ms", read=lambda now: now.gaps.max_ms, panes=("latency",),
        metric=Metric(_GAPS, labels={"quantile": "1"}),
        formula="The longest gap between two tokens of the turn.",
        source=_TOKENS, levers="the cause of the stall, see events."),
    Figure("itl_ms", "Longest gap, in the chart", label="longest gap", unit="ms", read=lambda now: now.since.longest_gap_ms,
        panes=("latency",), key="", fold="max", history=History(flowing=True),
        formula="The longest of the gaps between tokens that ended since the last sample.",
        source=_TOKENS, levers="the cause of the stall, see events."),
    Figure("itl_histogram", "Gaps", label="gaps", unit="ms", read=lambda now: now.gaps.histogram, panes=("latency",),
        formula="Number of gaps between tokens of the turn in each half octave (a step is 1.41 times the one before), from the shortest "
            "to the longest.",
        source=_TOKENS, levers="all that changes the median; stalls are apart on the right."),
    Figure("stalls", "Stalls per minute", label="stalls/min", unit="1/min", read=lambda now: now.stalls_per_minute,
        panes=("latency", "events"), key="stalls_per_minute",
        formula="Gaps over four times the median (and over 20 ms) that ended in the last minute. The cause is the first of these seen in "
        "that time: capture, garbage collection, throttling, swapping, page faults, steal, another busy program, a flush of the screen.",
        source="Token timestamps, the collector's callbacks, paints, and the sample of the machine that covers the gap.",
        levers="the cause it names."),
    Figure("ttft_ms", "Time to first token", label="TTFT", unit="ms", read=_of_last_turn(lambda steps: steps.ttft_ms), panes=("latency",),
        of_turn=lambda turn: turn.timings.ttft_ms, less_is_better=True, fold="max", turn_chart="Time to first token",
        metric=Metric("xchat_ttft_seconds"),
        formula="From sending the message to the first token in the engine: queue + template + tokenize + reuse + prefill + first sample.",
        source="The engine's clock at each step.",
        levers="a prompt with the same beginning as the one before (it is reused), prefill speed, a shorter system prompt."),
    Figure("waterfall", "Steps to the first token", unit="ms", read=lambda now: dict(now.waterfall.steps) if now.waterfall else None,
        panes=("latency",), key="waterfall_ms",
        formula="queue: waiting for the compute thread. template: making the prompt's text. tokenize: text to tokens. reuse: comparing "
            "with the KV cache and restoring from it (the rest of the total). prefill: evaluating the prompt. first "
        "sample: from there to the first token.",
        source="The engine's clock at each step of the last finished turn.",
        levers="queue: other work of the engine. prefill: a prompt with the same beginning as the one before."),
    Figure("first_visible_ms", "Time to first visible token", label="visible", unit="ms",
        read=_of_last_turn(lambda steps: steps.first_visible_ms), panes=("latency",),
        formula="From sending to the first token with text outside a thinking block.",
        source=_TOKENS, levers="thinking = off, and all that changes the time to first token."),
    Figure("first_paint_ms", "Time to first paint", label="painted", unit="ms", read=_of_last_turn(lambda steps: steps.first_paint_ms),
        panes=("latency",),
        formula="From sending to the first text of the answer on the screen.",
        source="The engine's clock and the transcript's reports of paints.", levers="stream_batch, the connection to the terminal."),
    Figure("context_used", "Context used", label="used", unit="tokens", read=lambda now: now.context.used, panes=("context",),
        group="context", key="used", fold="max", history=History(), column=Column("INTEGER"), turn_chart="Context used",
        metric=Metric("xchat_context_used_tokens"),
        formula="cache_n + prompt_n + predicted_n, of n_ctx.",
        source="The engine's own token count, never text length.",
        levers="n_ctx (rebuilds the context), a new session, the system prompt."),
    Figure("n_ctx", "Context size", label="n_ctx", unit="tokens", read=lambda now: now.context.n_ctx, panes=("context",), group="context",
        metric=Metric("xchat_context_size_tokens"),
        formula="Tokens that fit into the context window.",
        source="The engine, when the context was made.", levers="`n_ctx` in the preset (rebuilds the context)."),
    Figure("cache_n", "Prompt reused", label="reused", unit="tokens", read=lambda now: now.context.cache_n, panes=("context",),
        group="context", of_turn=lambda turn: turn.timings.cache_n,
        formula="Prompt tokens already in the KV cache: the longest common prefix.",
        source="Comparing token by token before the prefill.", levers="keeping the beginning of the conversation unchanged."),
    Figure("prompt_n", "Prompt evaluated", label="fresh", unit="tokens", read=lambda now: now.context.prompt_n, panes=("context",),
        group="context", of_turn=lambda turn: turn.timings.prompt_n,
        formula="Prompt tokens evaluated in this turn.",
        source="The engine's prefill.",
        levers="the new part of the conversation; edits and another system prompt make everything after them new."),
    Figure("diverged_at", "Diverged at", label="diverged", unit="token", read=lambda now: now.context.diverged_at, panes=("context",),
        group="context",
        formula="First position where the prompt differs from the KV cache; unknown when the cache has no more tokens.",
        source="Comparing token by token before the prefill.",
        levers="an edit, a regeneration, another system prompt, a template that inserts the date."),
    Figure("left_out", "Left out", label="left out", unit="turns", read=lambda now: now.context.left_out, panes=("context",),
        group="context",
        formula="Oldest turns left out of the prompt because the window is full.",
        source="Fitting the conversation into the window.", levers="n_ctx, a new session."),
)
# fmt: on
