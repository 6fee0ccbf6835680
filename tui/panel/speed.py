"""The panes of the answer: speed, latency, context."""

from __future__ import annotations

from engine.metrics.latency import histogram_edge_ms
from engine.metrics.snapshot import Phase, Snapshot
from engine.numbers import UNKNOWN, milliseconds, percent
from tui.drawing.braille import Glyphs, spark
from tui.drawing.rows import Role, Row, cells, labelled_bar, level, sentence, written
from tui.panel.pane import ChartSpec, Density, Pane
from tui.panel.values import pair, pairs, shown, speed


def _speed_headline(now: Snapshot) -> str:
    return " ".join(speed(now)).lstrip()


def _speed_rows(now: Snapshot, width: int, density: Density) -> list[Row]:
    prefill = now.prefill
    if now.phase is Phase.PREFILL and prefill.eta_ms is not None:
        progress = f"{percent(prefill.share or 0.0):>5} ETA {milliseconds(prefill.eta_ms):>7}"
    else:
        progress = f"{prefill.processed:,} of {prefill.total:,}"
    rows = [labelled_bar(width, "prefill", prefill.share, progress)]
    if density >= Density.NORMAL:
        rows += [
            cells(width, pair(now, "tokens_per_second", "━", Role.FIRST), (_mean_of(now), shown(now, "predicted_per_second"))),
            cells(width, pair(now, "on_screen_per_second", "┅", Role.SECOND), pair(now, "predicted_n")),
        ]
    if density >= Density.FULL:
        rows += [
            cells(width, pair(now, "prompt_per_second"), ("batch", _batch(now))),
            sentence(width, "auto", now.pacing or ("waiting for a measurement of painting" if now.stream_batch_auto else "off")),
        ]
    return rows


def _mean_of(now: Snapshot) -> str:
    """Whose mean speed is shown."""
    return "mean" if now.phase.in_turn else "last turn"


def _batch(now: Snapshot) -> str:
    return f"{now.stream_batch} (auto)" if now.stream_batch_auto else str(now.stream_batch)


SPEED = Pane(
    "speed",
    "Speed",
    _speed_headline,
    _speed_rows,
    ChartSpec(("tokens_per_second", "on_screen_per_second"), floor=5.0),
)


def _latency_rows(now: Snapshot, width: int, density: Density) -> list[Row]:
    rows = [pairs(now, width, "itl_p50_ms", "itl_p95_ms")]
    if density >= Density.NORMAL:
        rows += [pairs(now, width, "itl_p99_ms", "itl_max_ms"), pairs(now, width, "ttft_ms", "stalls")]
    if density >= Density.FULL:
        rows += [_histogram(now, width), *_waterfall(now, width)]
    return rows


def _histogram(now: Snapshot, width: int) -> Row:
    """Histogram of gaps per half octave, from the first used bin to the last."""
    counts = now.gaps.histogram
    used = [place for place, count in enumerate(counts) if count]
    if not used:
        return sentence(width, "gaps", UNKNOWN)
    first, last = used[0], used[-1]
    ends = f"{histogram_edge_ms(first):.0f} ", f" {histogram_edge_ms(last + 1):.0f} ms"
    bars = spark([float(count) for count in counts[first : last + 1]], high=float(max(counts)), glyphs=Glyphs.BLOCKS)
    return (("gaps ", Role.LABEL), (ends[0], Role.LABEL), (bars, Role.FIRST), (ends[1], Role.LABEL))


def _waterfall(now: Snapshot, width: int) -> list[Row]:
    """Each step of the time to first token as a bar that starts where the previous one ended."""
    fall = now.waterfall
    names = ("queue", "template", "tokenize", "reuse", "prefill", "first sample")
    painted = pairs(now, width, "first_visible_ms", "first_paint_ms")
    if fall is None:
        return [*(cells(width, (name, UNKNOWN)) for name in names), painted]
    label, value = 12, 8
    room = width - label - value - 2
    total = fall.ttft_ms or sum(length or 0.0 for _, length in fall.steps) or 1.0
    rows, before = [], 0.0
    for name, length in fall.steps:
        if room < 6:
            rows.append(cells(width, (name, milliseconds(length))))
        else:
            begin = min(room - 1, round(before / total * room))
            extent = min(room - begin, max(1, round((length or 0.0) / total * room))) if length else 0
            rows.append(
                (
                    (f"{name:<{label}} ", Role.LABEL),
                    (" " * begin + "█" * extent + " " * (room - begin - extent), Role.FIRST),
                    (f" {milliseconds(length):>{value}}", Role.VALUE),
                )
            )
        before += length or 0.0
    return [*rows, painted]


LATENCY = Pane(
    "latency",
    "Latency",
    lambda now: " ".join(pair(now, "itl_p50_ms")[:2]),
    _latency_rows,
    ChartSpec(("itl_ms",), floor=10.0),
)


def _context_headline(now: Snapshot) -> str:
    return f"{now.context.used:,} / {now.context.n_ctx:,}" if now.context.n_ctx else UNKNOWN


def _context_rows(now: Snapshot, width: int, density: Density) -> list[Row]:
    share = now.context.share
    rows = [labelled_bar(width, "used", share, written(share, "share"), level(share, 0.8, 0.95))]
    if density >= Density.NORMAL:
        rows.append(pairs(now, width, "cache_n", "prompt_n"))
    if density >= Density.FULL:
        rows.append(pairs(now, width, "diverged_at", "left_out"))
    return rows


CONTEXT = Pane(
    "context",
    "Context",
    _context_headline,
    _context_rows,
    ChartSpec(("context_used",), floor=1000.0),
    chart_from=Density.FULL,
)
