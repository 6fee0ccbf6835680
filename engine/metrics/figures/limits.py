"""Figures of the limits, of the UI overhead, of noise, and totals since the start."""

from __future__ import annotations

from collections.abc import Callable

from engine.host.value import Unavailable
from engine.metrics.figures.figure import Column, Figure, History, Metric, Reader, Value
from engine.metrics.roofline import Roofline
from engine.metrics.snapshot import Phase, Snapshot

_AT_REST = Unavailable("measured during answers")
_NOT_MEASURED = Unavailable("this host was not measured at this thread count; m measures it")


def _roof(read: Callable[[Roofline], float | None]) -> Reader:
    """Read from the roofline; a missing value needs a measurement of this host."""

    def of(now: Snapshot) -> Value:
        if now.roofline is None:
            return _AT_REST
        value = read(now.roofline)
        return _NOT_MEASURED if value is None else value

    return of


def _reached(now: Snapshot) -> float | None:
    """Return the bandwidth of the current tokens, or of a turn that ended since the last sample."""
    flows = now.speed.now is not None or now.since.finished_per_second is not None
    return now.roofline.bandwidth_gb_s if now.roofline and flows else None


def _per_second(count: int, elapsed_ms: float) -> float:
    return count / elapsed_ms * 1e3 if elapsed_ms > 0 else 0.0


def _screen(now: Snapshot) -> Value:
    unread = now.host is not None and not now.host.threads and now.host.interval_s is not None
    return Unavailable("/proc/self/task/*/schedstat can't be read") if unread else now.price.ui_pct


def _round_trip(now: Snapshot) -> Value:
    value = now.price.round_trip_ms
    return Unavailable("the terminal has not replied yet") if value is None else value


# fmt: off
LIMITS: tuple[Figure, ...] = (
    Figure("bandwidth_gb_s", "Bandwidth reached", label="read", unit="GB/s", read=_roof(lambda roof: roof.bandwidth_gb_s),
        panes=("roofline",), history=History(flowing=True, read=_reached), metric=Metric("xchat_bandwidth_bytes_per_second"),
        formula="Bytes per token x tokens per second, in 10^9 bytes. An estimate from a model of the work, not a counter.",
        source="The model's header and token timestamps.", levers="all that changes the speed."),
    Figure("bandwidth_share", "Share of measured bandwidth", label="of measured", unit="share",
        read=_roof(lambda roof: roof.bandwidth_share), panes=("roofline",),
        formula="Bandwidth reached / read bandwidth of this host: a sweep over 256 MB with as many threads, the best of the last five.",
        source="`engine.host.bandwidth`, once on request, kept per host.",
        levers="threads; when it is near 100 %, only a smaller quant or faster memory helps."),
    Figure("bytes_per_token", "Bytes per token", label="per token", unit="bytes", read=_roof(lambda roof: roof.bytes_per_token),
        panes=("roofline",),
        formula="Weights read once (of experts only the active ones) + KV cache at this depth, in blocks of 256 positions.",
        source="The model's header; the context used.", levers="another quant, KV type, a shorter conversation."),
    Figure("ceiling_tokens_per_second", "Ceiling", label="ceiling", unit="tokens/s",
        read=_roof(lambda roof: roof.ceiling_tokens_per_second), panes=("roofline",),
        formula="Measured read bandwidth / bytes per token.",
        source="As above.", levers="a smaller quant, faster memory."),
    Figure("compute_share", "Share of measured compute", label="compute, of measured", unit="share",
        read=_roof(lambda roof: roof.compute_share), panes=("roofline",),
        formula="2 x active weights x tokens per second / measured matrix speed in single precision.",
        source="The model's header; `engine.host.bandwidth`.", levers="threads."),
    Figure("bound", "What bounds the speed", read=lambda now: now.roofline.words if now.roofline else None),
    Figure("ui_pct", "CPU of the screen", unit="% of one core", read=_screen, panes=("price",),
        formula="Running time of the event loop's and the terminal's threads.",
        source="/proc/self/task/*/schedstat.", levers="stream_batch, hiding the panel, a smaller terminal, --low-bandwidth."),
    Figure("paint_ms", "Paint per chunk", label="paint", unit="ms", read=lambda now: now.price.paint_ms, panes=("price",),
        formula="Mean time to paint one chunk, over the last five seconds.",
        source="The transcript.", levers="stream_batch, the width of the terminal."),
    Figure("paint_pct", "Painting", label="painting", unit="% of one core", read=lambda now: now.price.paint_pct, panes=("price",),
        formula="Time spent on painting chunks / time, over the last five seconds; paints is the number per second.",
        source="The transcript.", levers="stream_batch, the width of the terminal."),
    Figure("loop_lag_p99_ms", "Event-loop lag, p99", label="lag p99", unit="ms", read=lambda now: now.price.lag_p99_ms, panes=("price",),
        column=Column("REAL", "loop_lag_ms"), metric=Metric("xchat_loop_lag_p99_seconds"),
        formula="Lag of a timer of the event loop, ten times a second, over the last minute; p50 and max too.",
        source="The event loop.", levers="one compute thread fewer than cores."),
    Figure("loop_lag_p50_ms", "Event-loop lag, median", label="lag p50", unit="ms", read=lambda now: now.price.lag_p50_ms),
    Figure("loop_lag_max_ms", "Event-loop lag, longest", label="lag max", unit="ms", read=lambda now: now.price.lag_max_ms),
    Figure("loop_lag_ms", "Longest lag, in the chart", label="longest lag", unit="ms", read=lambda now: now.since.longest_lag_ms,
        panes=("price",), key="", fold="max", history=History(),
        formula="Longest lag of a timer of the event loop since the last sample.",
        source="The event loop.", levers="one compute thread fewer than cores."),
    Figure("tty_bytes_per_s", "To the terminal", label="terminal", unit="bytes/s", read=lambda now: now.price.tty_bytes_per_s,
        panes=("price",), history=History(), column=Column("REAL"),
        formula="Bytes written to the terminal since the last sample / time.",
        source="The terminal driver.", levers="--low-bandwidth, stream_batch, `ssh -C`, hiding the panel."),
    Figure("round_trip_ms", "Round trip", label="round trip", unit="ms", read=_round_trip, panes=("price",),
        formula="From a query of the terminal's device attributes to its reply, after everything sent before was drawn. Inside tmux, tmux "
            "replies.",
        source="The terminal driver.", levers="the connection to the terminal, and the bytes sent over it."),
    Figure("tty_blocked_pct", "Blocked", label="blocked", unit="%", read=lambda now: now.price.tty_blocked_pct, panes=("price",),
        formula="Time that writes to the terminal waited since the last sample / time.",
        source="The terminal driver.", levers="--low-bandwidth, `ssh -C`, hiding the panel."),
    Figure("panel_ms", "Drawing the panel", label="panel", unit="ms", read=lambda now: now.price.panel_ms, panes=("price",),
        formula="Time to draw the panel once.",
        source="The panel.", levers="fewer panes, a lower density."),
    Figure("sample_ms", "Sampling the machine", label="sampling", unit="ms", read=lambda now: now.price.sample_ms, panes=("price",),
        formula="Reading /proc and /sys once.",
        source="The sampler.", levers="fewer threads."),
    Figure("noisy", "Noisy", label="noisy", read=lambda now: now.noisy, panes=("events",),
        formula="A turn that was not measured on a quiet machine: a capture ran, other programs took 5 % of its time or more (where the "
            "kernel does not report the waiting of threads: used over 15 % of the cores), steal or throttling over 5 %, over 20 swapped "
            "pages or page faults"
        " a second, the clock fell by over 15 %, or the processor was over 95 °C. Comparisons use such turns only where there are no "
        "clean ones.",
        source="Samples of the machine during the turn.", levers="the cause it names."),
    Figure("disturbed", "Taken by others", label="taken by others", unit="share", read=lambda now: now.disturbed, panes=("events",),
        column=Column("REAL"), of_turn=lambda turn: turn.disturbed,
        formula="(Time that compute threads waited for a CPU, at most all of the time, + steal) / time of the turn since its prefill "
            "began. Programs that compete only for memory bandwidth are not counted.",
        source="/proc/self/task/*/schedstat after each decode call; cpu.stat of the control group; /proc/stat.",
        levers="stopping other programs, one thread fewer."),
    Figure("quiet_per_second", "Decode speed without others, estimated", label="quiet", unit="tokens/s", read=lambda _: None, key="",
        of_turn=lambda turn: turn.quiet_per_second, less_is_better=False,
        formula="Tokens / time, over the decode calls during which compute threads waited for a CPU for less than 2 % of the call; at least"
        " 16 tokens.",
        source="/proc/self/task/*/schedstat after each decode call.", levers="threads, the quant; not other programs."),
    Figure("alerts", "Alerts", label="alerts", read=lambda now: [alert.sentence for alert in now.alerts], panes=("events",),
        formula="Thresholds exceeded now; each is reported once, and again after the figure was below 90 % of it.",
        source="`[alerts]` in config.toml over the defaults.", levers="the threshold, or the advice of the alert."),
    Figure("turns_total", "Turns finished", read=lambda now: now.totals.turns, group="totals", key="turns",
        metric=Metric("xchat_turns", "counter")),
    Figure("failed_total", "Turns that failed", read=lambda now: now.totals.failed, group="totals", key="failed",
        metric=Metric("xchat_turns_failed", "counter")),
    Figure("stalls_total", "Gaps between tokens over four medians", read=lambda now: now.totals.stalls, group="totals", key="stalls",
        metric=Metric("xchat_stalls", "counter")),
    Figure("prompt_n_total", "Prompt tokens evaluated", unit="tokens", read=lambda now: now.totals.prompt_n, group="totals", key="prompt_n",
        metric=Metric("llamacpp:prompt_tokens", "counter")),
    Figure("cache_n_total", "Prompt tokens reused from the KV cache", unit="tokens", read=lambda now: now.totals.cache_n, group="totals",
        key="cache_n", metric=Metric("llamacpp:prompt_tokens_cached", "counter")),
    Figure("prompt_ms_total", "Time spent on prefill", unit="ms", read=lambda now: now.totals.prompt_ms, group="totals", key="prompt_ms",
        metric=Metric("llamacpp:prompt_seconds", "counter")),
    Figure("predicted_n_total", "Tokens generated", unit="tokens", read=lambda now: now.totals.predicted_n, group="totals",
        key="predicted_n", metric=Metric("llamacpp:tokens_predicted", "counter")),
    Figure("predicted_ms_total", "Time spent on decoding", unit="ms", read=lambda now: now.totals.predicted_ms, group="totals",
        key="predicted_ms", metric=Metric("llamacpp:tokens_predicted_seconds", "counter")),
    Figure("context_used_max", "Most tokens in the context", unit="tokens", read=lambda now: now.totals.most_context, group="totals",
        key="most_context", metric=Metric("llamacpp:n_tokens_max", "gauge")),
    Figure("prompt_per_second_mean", "Mean prefill speed in tokens per second", unit="tokens/s",
        read=lambda now: _per_second(now.totals.prompt_n, now.totals.prompt_ms), key="",
        metric=Metric("llamacpp:prompt_tokens_seconds", "gauge")),
    Figure("predicted_per_second_mean", "Mean decode speed in tokens per second", unit="tokens/s",
        read=lambda now: _per_second(now.totals.predicted_n, now.totals.predicted_ms), key="",
        metric=Metric("llamacpp:predicted_tokens_seconds", "gauge")),
    Figure("requests_processing", "Turns in progress", read=lambda now: float(now.phase in (Phase.PREFILL, Phase.THINKING, Phase.DECODE)),
        key="", metric=Metric("llamacpp:requests_processing", "gauge")),
    Figure("requests_deferred", "Waiting turns", read=lambda now: float(now.phase is Phase.WAITING), key="",
        metric=Metric("llamacpp:requests_deferred", "gauge")),
)
# fmt: on
