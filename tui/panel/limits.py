"""The panes about limits and prices: the roofline, what looking costs, and what happened."""

from __future__ import annotations

from datetime import datetime

from engine.metrics.snapshot import MarkerKind, Snapshot
from tui.drawing.rows import UNKNOWN, Role, Row, cells, labelled_bar, milliseconds, number, sentence, size
from tui.panel.pane import ChartSpec, Density, Pane


def _roofline_rows(now: Snapshot, width: int, density: Density) -> list[Row]:
    roof = now.roofline
    share = roof.bandwidth_share if roof else None
    lacking = UNKNOWN if roof is None else "press m to measure"
    rows = [labelled_bar(width, "of measured", share, lacking if share is None else f"{share * 100:3.0f} %")]
    if density >= Density.NORMAL:
        ceiling = number(roof.ceiling_tokens_per_second if roof else None)
        rows.append(cells(width, ("per token", size(roof.bytes_per_token if roof else None)), ("ceiling", f"{ceiling} t/s")))
    if density >= Density.FULL:
        compute = roof.compute_share if roof else None
        rows += [
            cells(width, ("arithmetic", UNKNOWN if compute is None else f"{compute * 100:.0f} % of measured")),
            sentence(width, "", roof.words if roof else "known while tokens flow"),
        ]
    return rows


ROOFLINE = Pane(
    "roofline",
    "Roofline",
    lambda now: f"{number(now.roofline.bandwidth_gb_s if now.roofline else None)} GB/s",
    _roofline_rows,
    ChartSpec(("bandwidth_gb_s",), "read, GB/s", ("read",), "GB/s", floor=1.0),
)


def _price_rows(now: Snapshot, width: int, density: Density) -> list[Row]:
    price = now.price
    rows = [cells(width, ("paint", milliseconds(price.paint_ms)), ("lag p99", milliseconds(price.lag_p99_ms)))]
    if density >= Density.NORMAL:
        line = ("slow line", Role.WARNING) if price.link_busy else ("terminal", Role.LABEL)
        rate = UNKNOWN if price.tty_bytes_per_s is None else f"{price.tty_bytes_per_s / 1e3:.1f} kB/s"
        rows += [
            cells(width, (line[0], rate, line[1]), ("round trip", milliseconds(price.round_trip_ms))),
            cells(width, ("panel", milliseconds(price.panel_ms)), ("sampling", milliseconds(price.sample_ms))),
        ]
    if density >= Density.FULL:
        paint = UNKNOWN if price.paint_pct is None else f"{price.paint_pct:.1f} %"
        blocked = UNKNOWN if price.tty_blocked_pct is None else f"{price.tty_blocked_pct:.1f} %"
        rows += [
            cells(width, ("blocked", blocked), ("lag max", milliseconds(price.lag_max_ms))),
            cells(width, ("painting", paint), ("paints", f"{price.paints_per_s:.1f}/s")),
            cells(width, ("batch", f"{now.stream_batch} tokens"), ("lag p50", milliseconds(price.lag_p50_ms))),
        ]
    return rows


def _price_headline(now: Snapshot) -> str:
    return f"{number(now.price.ui_pct)} % of a core"


PRICE = Pane(
    "price",
    "Price of looking",
    _price_headline,
    _price_rows,
    ChartSpec(("loop_lag_ms",), "longest lag, ms", ("longest lag",), "ms", floor=10.0),
)

EVENT_ROWS = {Density.COMPACT: 1, Density.NORMAL: 3, Density.FULL: 8}
"""Events listed, the newest first."""


def _event_rows(now: Snapshot, width: int, density: Density) -> list[Row]:
    if now.noisy:
        rows = [sentence(width, "noisy:", now.noisy, Role.WARNING)]
    elif now.judged:
        rows = [sentence(width, "", "quiet: figures can be compared", Role.GOOD)]
    else:
        rows = [sentence(width, "", "too short a turn to be judged" if now.totals.turns else "no turn yet")]
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
    return rows


def _event_headline(now: Snapshot) -> str:
    return f"{len(now.alerts)} alert{'' if len(now.alerts) == 1 else 's'}" if now.alerts else "no alerts"


EVENTS = Pane("events", "Events", _event_headline, _event_rows)
