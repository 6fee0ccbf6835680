"""The panes of the roofline, of the UI's overhead, and of events."""

from __future__ import annotations

from datetime import datetime

from engine.metrics.snapshot import MarkerKind, Snapshot
from engine.numbers import UNKNOWN, percent, significant
from tui.drawing.rows import LOAD, Role, Row, cells, labelled_bar, sentence
from tui.panel.pane import ChartSpec, Density, Pane
from tui.panel.values import pair, pairs, shown


def _roofline_rows(now: Snapshot, width: int, density: Density) -> list[Row]:
    share = now.roofline.bandwidth_share if now.roofline else None
    lacking = UNKNOWN if now.roofline is None else "not measured"
    rows = [labelled_bar(width, "of measured", share, lacking if share is None else percent(share))]
    if density >= Density.NORMAL:
        rows.append(pairs(now, width, "bytes_per_token", "ceiling_tokens_per_second"))
    if density >= Density.FULL:
        rows += [pairs(now, width, "compute_share"), sentence(width, "", now.roofline.words if now.roofline else "measured during answers")]
    return rows


ROOFLINE = Pane(
    "roofline",
    "Roofline",
    lambda now: shown(now, "bandwidth_gb_s"),
    _roofline_rows,
    ChartSpec(("bandwidth_gb_s",), floor=1.0),
    missing=lambda now: "" if now.roofline is not None else "measured during answers",
)


def _overhead_rows(now: Snapshot, width: int, density: Density) -> list[Row]:
    rows = [pairs(now, width, "paint_ms", "loop_lag_p99_ms")]
    if density >= Density.NORMAL:
        terminal = pair(now, "tty_bytes_per_s")
        line = ("slow line", terminal[1], Role.WARNING) if now.price.link_busy else terminal
        rows += [cells(width, line, pair(now, "round_trip_ms")), pairs(now, width, "panel_ms", "sample_ms")]
    if density >= Density.FULL:
        rows += [
            pairs(now, width, "tty_blocked_pct", "loop_lag_max_ms"),
            cells(width, pair(now, "paint_pct"), ("paints", f"{significant(now.price.paints_per_s)}/s")),
            cells(width, ("batch", f"{now.stream_batch} tokens"), pair(now, "loop_lag_p50_ms")),
        ]
    return rows


def _overhead_headline(now: Snapshot) -> str:
    return f"{shown(now, 'ui_pct')} of a core"


OVERHEAD = Pane(
    "price",
    "UI overhead",
    _overhead_headline,
    _overhead_rows,
    ChartSpec(("loop_lag_ms",), floor=10.0, ramps=(LOAD,)),
    missing=lambda now: "" if now.price.paint_ms is not None or now.price.ui_pct is not None else "nothing painted yet",
)

EVENT_ROWS = {Density.COMPACT: 1, Density.NORMAL: 3, Density.FULL: 8}
"""Events listed, the newest first."""


def _event_rows(now: Snapshot, width: int, density: Density) -> list[Row]:
    if now.noisy:
        rows = [sentence(width, "noisy:", now.noisy, Role.WARNING)]
    elif now.judged:
        share = "" if now.disturbed is None else f", other programs took {100 * now.disturbed:.0f} % of its time"
        rows = [sentence(width, "", f"clean: figures can be compared{share}", Role.GOOD)]
    else:
        rows = [sentence(width, "", "turn too short to be judged" if now.totals.turns else "no turn yet")]
    count = EVENT_ROWS[density]
    newest = list(now.markers)[-count:][::-1]
    for place in range(count):
        if place >= len(newest):
            rows.append(())
            continue
        marker = newest[place]
        at = datetime.fromtimestamp(marker.wall_ms / 1e3).astimezone()
        role = Role.BAD if marker.kind in (MarkerKind.STALL, MarkerKind.ALERT) else Role.TEXT
        kind = "" if marker.text.startswith(marker.kind.value) else f" {marker.kind.value}"
        rows.append(sentence(width, f"{at:%H:%M:%S}{kind}", marker.text, role))
    if density >= Density.NORMAL:
        rows.append(sentence(width, "in charts:", ", ".join(f"{kind.value[0].upper()} {kind.value}" for kind in MarkerKind), Role.LABEL))
    return rows


def _event_headline(now: Snapshot) -> str:
    return f"{len(now.alerts)} alert{'' if len(now.alerts) == 1 else 's'}" if now.alerts else "no alerts"


EVENTS = Pane(
    "events",
    "Events",
    _event_headline,
    _event_rows,
    missing=lambda now: "" if now.markers or now.alerts or now.totals.turns or now.noisy else "no turn yet",
)
