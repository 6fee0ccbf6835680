"""The registry of figures: name, explanation, reading, history, log, export and metric of each.

The panel, the explanations, the live report, the log, the exports, Prometheus and `docs/figures.md` are made from these entries, so a new
figure is one entry and the probe that it reads.
"""

from __future__ import annotations

from collections.abc import Mapping

from engine.metrics.figures.answer import ANSWER
from engine.metrics.figures.figure import Figure
from engine.metrics.figures.limits import LIMITS
from engine.metrics.figures.memory import MEMORY
from engine.metrics.figures.pool import POOL
from engine.metrics.figures.processor import PROCESSOR
from engine.metrics.figures.server import SERVER

FIGURES: tuple[Figure, ...] = (*ANSWER, *POOL, *MEMORY, *PROCESSOR, *LIMITS, *SERVER)
"""All figures, by subject."""

BY_ID: Mapping[str, Figure] = {figure.id: figure for figure in FIGURES}
