"""The panes of the answer: speed, latency, context."""

from __future__ import annotations

from collections.abc import Mapping

from engine.metrics.latency import histogram_edge_ms
from engine.metrics.snapshot import Phase, Snapshot
from engine.numbers import UNKNOWN, milliseconds, percent
from tui.drawing.braille import Glyphs
from tui.drawing.rows import FLOW, LOAD, STORE, Role, Row, Run, cells, fit, labelled_bar, legend, level, sentence, stacked_bar
from tui.panel.pane import GUTTER, ChartSpec, Density, Pane
from tui.panel.values import pair, pairs, shown, speed

LEAST_BAR = 6
"""Least cells of a bar of steps."""

TTFT_STEPS: Mapping[str, Role] = {
    "queue": Role.LABEL,
    "template": Role.THIRD,
    "tokenize": Role.FOURTH,
    "reuse": Role.SECOND,
    "prefill": Role.FIRST,
    "first sample": Role.BAD,
}
"""The steps before the first token, with their colours."""

BLOCKS = Glyphs.BLOCKS.value


def _nothing_measured(now: Snapshot) -> str:
    """Say that figures are missing before the first turn."""
    return "" if now.phase.in_turn or now.totals.turns else "no answer yet"


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
            pairs(now, width, "draft_accepted_pct", "draft_gain"),
            sentence(width, "auto", now.pacing or ("waiting for a measurement of painting" if now.stream_batch_auto else "off")),
        ]
    return rows


def _mean_of(now: Snapshot) -> str:
    """Name the turn whose mean speed is shown."""
    return "mean" if now.phase.in_turn else "last turn"


def _batch(now: Snapshot) -> str:
    return f"{now.stream_batch} (auto)" if now.stream_batch_auto else str(now.stream_batch)


SPEED = Pane(
    "speed",
    "Speed",
    _speed_headline,
    _speed_rows,
    ChartSpec(("tokens_per_second", "on_screen_per_second"), floor=5.0, ramps=(FLOW, (Role.SECOND,))),
    missing=_nothing_measured,
)


def _latency_rows(now: Snapshot, width: int, density: Density) -> list[Row]:
    rows = [pairs(now, width, "itl_p50_ms", "itl_p95_ms")]
    if density >= Density.NORMAL:
        rows += [pairs(now, width, "itl_p99_ms", "itl_max_ms"), _first_token(now, width)]
    if density >= Density.FULL:
        rows += [*_steps(now, width), cells(width, pair(now, "first_paint_ms"), pair(now, "stalls"))]
    return rows


def _first_token(now: Snapshot, width: int) -> Row:
    """Draw the time to the first token as a bar of its steps."""
    value = shown(now, "ttft_ms")
    room = width - len(value) - len("TTFT ") - 1
    steps = now.waterfall.steps if now.waterfall is not None else ()
    lengths = [(length or 0.0, TTFT_STEPS[name]) for name, length in steps]
    bar = stacked_bar(room, lengths, sum(length for length, _ in lengths)) if room >= LEAST_BAR else ()
    return (("TTFT ", Role.LABEL), *bar, (f" {value}", Role.VALUE))


def _steps(now: Snapshot, width: int) -> list[Row]:
    """Draw the legend of the bar of the time to the first token."""
    steps = dict(now.waterfall.steps) if now.waterfall is not None else {}
    named = [(name, milliseconds(steps.get(name)), role) for name, role in TTFT_STEPS.items()]
    return [legend(width, *named[:2]), legend(width, *named[2:4]), legend(width, *named[4:])]


def _histogram(now: Snapshot, width: int, height: int) -> list[Row]:
    """Draw the histogram of the gaps between tokens of the turn, from the shortest to the longest."""
    counts = now.gaps.histogram
    used = [place for place, count in enumerate(counts) if count]
    if not used or height < 2 or width < 2 * GUTTER:
        return [()] * height
    first, last = max(0, used[0] - 1), min(len(counts) - 1, used[-1] + 1)
    shown_counts = counts[first : last + 1]
    across, down, total = width - GUTTER, height - 1, sum(counts)
    cell = max(1, across // len(shown_counts))
    most = max(shown_counts)
    roles = [_rank(total, sum(counts[:place])) for place in range(first, last + 1)]
    rows: list[Row] = []
    for number in range(down):
        runs: list[Run] = []
        for count, role in zip(shown_counts, roles, strict=True):
            level = BLOCKS[min(8, max(0, max(1 if count else 0, round(count / most * down * 8)) - (down - 1 - number) * 8))]
            runs.append((level * max(1, cell - 1) + " " * (cell > 1), role))
        row = fit(tuple(runs), across)
        label = percent(most / total) if number == 0 else ""
        rows.append((*row, ("┤" if label else "│", Role.GRID), (f" {label:<5}", Role.LABEL)))
    edges = "".join(f"{_edge(first + place, place, cell):<{cell}}" for place in range(len(shown_counts)))
    return [*rows, (*fit(((edges, Role.LABEL),), across), ("┘ ms", Role.LABEL))]


def _rank(total: int, below: int) -> Role:
    """Return the role of gaps with `below` of `total` shorter ones; the longest are marked."""
    share = below / total if total else 0.0
    return Role.BAD if share >= 0.99 else Role.WARNING if share >= 0.95 else Role.SECOND if share >= 0.5 else Role.FIRST


def _edge(number: int, place: int, cell: int) -> str:
    """Format the lower edge of a bin, where there is space for it."""
    every = -(-5 // cell)
    text = f"{histogram_edge_ms(number):.3g}" if histogram_edge_ms(number) < 1000 else f"{histogram_edge_ms(number):,.0f}"
    return text if place % every == 0 and cell * every > len(text) else ""


LATENCY = Pane(
    "latency",
    "Latency",
    lambda now: " ".join(pair(now, "itl_p50_ms")[:2]),
    _latency_rows,
    ChartSpec(("itl_ms",), floor=10.0, ramps=(LOAD,)),
    picture=_histogram,
    missing=_nothing_measured,
)


def _context_headline(now: Snapshot) -> str:
    return f"{now.context.used:,} / {now.context.n_ctx:,}" if now.context.n_ctx else UNKNOWN


def _context_rows(now: Snapshot, width: int, density: Density) -> list[Row]:
    share = now.context.share
    rows = [labelled_bar(width, "used", share, percent(share), level(share, 0.8, 0.95))]
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
    ChartSpec(("context_used",), floor=1000.0, ramps=(STORE,)),
    chart_from=Density.FULL,
    missing=lambda now: "" if now.context.n_ctx else "no model",
)
