"""The pane of an engine elsewhere: what its server reports beside what is seen from here."""

from __future__ import annotations

from engine.metrics.snapshot import Snapshot
from tui.drawing.rows import Role, Row, cells
from tui.panel.pane import Density, Pane
from tui.panel.values import pairs, shown


def _rows(now: Snapshot, width: int, density: Density) -> list[Row]:
    def both(label: str, of_server: str, here: str) -> Row:
        return cells(width, (f"{label} server", shown(now, of_server), Role.LABEL), ("here", shown(now, here), Role.LABEL))

    rows = [both("decode", "server_predicted_per_second", "predicted_per_second")]
    if density >= Density.NORMAL:
        rows.append(both("prefill", "server_prompt_per_second", "prompt_per_second"))
    if density >= Density.FULL:
        rows += [both("prompt", "server_prompt_ms", "ttft_ms"), pairs(now, width, "server_queue_ms")]
    return rows


SERVER = Pane(
    "server",
    "Server",
    lambda now: shown(now, "server_predicted_per_second"),
    _rows,
    missing=lambda now: "no answer yet" if not now.server else "",
)
