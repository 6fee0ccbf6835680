"""Draws the loss curve of a training as an SVG, with nothing but text."""

from __future__ import annotations

import json
import math
from pathlib import Path

_WIDTH, _HEIGHT, _MARGIN = 720, 360, 48


def loss_curve(log: Path, picture: Path, *, smoothing: int = 25) -> None:
    """Read `{"tokens", "loss"}` lines and write the curve, averaged over `smoothing` steps, on a logarithmic loss axis."""
    entries = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
    if len(entries) < 2:
        return
    points = []
    for start in range(0, len(entries), smoothing):
        window = entries[start : start + smoothing]
        points.append((window[-1]["tokens"] / 1e6, sum(entry["loss"] for entry in window) / len(window)))
    right = points[-1][0]
    low, high = math.log10(min(loss for _, loss in points) * 0.9), math.log10(max(loss for _, loss in points) * 1.1)

    def place(tokens: float, loss: float) -> tuple[float, float]:
        x = _MARGIN + tokens / right * (_WIDTH - 2 * _MARGIN)
        return x, _MARGIN + (high - math.log10(loss)) / (high - low) * (_HEIGHT - 2 * _MARGIN)

    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in points))
    marks = "".join(
        f'<line x1="{_MARGIN}" x2="{_WIDTH - _MARGIN}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ccc"/><text x="6" y="{y + 4:.1f}">{loss:g}</text>'
        for loss in (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
        if low <= math.log10(loss) <= high
        for _, y in [place(0, loss)]
    )
    picture.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" font-family="sans-serif" font-size="12">'
        f'<rect width="100%" height="100%" fill="#fff"/>{marks}'
        f'<polyline points="{line}" fill="none" stroke="#06c" stroke-width="2"/>'
        f'<text x="{_MARGIN}" y="{_HEIGHT - 14}">0</text>'
        f'<text x="{_WIDTH - _MARGIN}" y="{_HEIGHT - 14}" text-anchor="end">{right:.1f} M tokens</text>'
        f'<text x="{_MARGIN}" y="24">Loss of the guide\'s own words, mean of {smoothing} steps (last {points[-1][1]:.3f})</text></svg>\n',
        encoding="utf-8",
    )
