"""Makes `docs/figures.md` and the columns of `VIEWS.md` from the registry: `python -m engine.metrics.figures.reference`."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from engine.metrics.figures import FIGURES
from engine.metrics.figures.figure import Figure, logged_figures

_HEAD = """\
# The figures

Made from `engine/metrics/figures` by `python -m engine.metrics.figures.reference`; a test compares.
Press `?` in the panel for the same with current values.
"""


def reference(figures: Iterable[Figure] = FIGURES) -> str:
    """Format every figure as a section of Markdown: formula, source, levers, and where it is shown."""
    return _HEAD + "".join(_section(figure) for figure in figures)


def columns(figures: Iterable[Figure] = FIGURES) -> str:
    """Format the logged figures as rows of the table of `v_samples`."""
    return "".join(f"| `{figure.column_name}` | {_titled(figure)}: {figure.formula} |\n" for figure in logged_figures(figures))


def _titled(figure: Figure) -> str:
    return f"{figure.name} ({figure.unit})" if figure.unit else figure.name


def _section(figure: Figure) -> str:
    path = "" if figure.key == "" else ".".join(part for part in (figure.group, figure.key or figure.id) if part)
    places = (
        ("panel", ", ".join(figure.panes)),
        ("`xchat stats --json`", f"`{path}`" if path else ""),
        ("`v_samples`", f"`{figure.column_name}`" if figure.column else ""),
        ("`v_turns`", f"`{figure.id}`" if figure.of_turn else ""),
        ("Prometheus", f"`{figure.metric.name}`" if figure.metric else ""),
    )
    facts = (
        ("How", figure.formula),
        ("From", figure.source),
        ("Changes with", figure.levers),
        ("Found in", "; ".join(f"{place}: {name}" for place, name in places if name)),
    )
    return f"\n## {_titled(figure)}\n\n" + "".join(f"* {title}: {text}\n" for title, text in facts if text)


if __name__ == "__main__":
    sys.stdout.write(reference())
