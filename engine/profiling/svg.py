"""Draws a flamegraph as one SVG file without scripts, fonts and external resources; each block has a tooltip."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from html import escape

from engine.profiling.frames import MAX_FRAME, Module, module_of
from engine.profiling.tree import FlameTree, Node
from engine.text import printable

WIDTH = 1200
ROW = 17
MARGIN = 10
HEAD = 58
"""Height of the title and the legend, in pixels."""
NARROWEST = 0.3
"""Blocks thinner than this many pixels are left out."""
CHARACTER = 7.0
"""Width of a character of the text font, in pixels."""

HUES: dict[Module, tuple[int, int]] = {
    Module.THREAD: (0, 0),
    Module.ENGINE: (150, 45),
    Module.TUI: (265, 45),
    Module.TEXTUAL: (215, 55),
    Module.PYTHON: (40, 75),
    Module.GGML: (12, 75),
    Module.NATIVE: (335, 45),
    Module.IDLE: (0, 0),
}
"""Hue and saturation of each part; the file is viewed outside the program, where themes don't apply."""


def svg_document(tree: FlameTree, *, time: Callable[[int], str], title: str) -> bytes:
    """Draw the tree with its root on top, widths in proportion to samples. `time` formats a number of samples as a duration."""
    blocks = list(_blocks(tree))
    depth = max((level for _, level, _, _ in blocks), default=0) + 1
    height = HEAD + depth * ROW + MARGIN
    parts = [
        '<?xml version="1.0" encoding="UTF-8"?>\n',
        f'<svg xmlns="http://www.w3.org/2000/svg" version="1.1" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}">\n',
        "<style>text{font:12px monospace;fill:#111}rect{stroke:#fff;stroke-width:.5}g:hover rect{stroke:#000}</style>\n",
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>\n',
        f'<text x="{MARGIN}" y="22" style="font-size:16px">{_text(title)}</text>\n',
        *_legend(),
    ]
    whole = tree.total(tree.root) or 1
    for node, level, x, width in blocks:
        label = tree.label(node)
        y = HEAD + level * ROW
        share = f"{time(tree.total(node))}, {tree.total(node) / whole * 100:.1f} %; own {time(tree.own(node))}"
        shown = _cut(label, int((width - 4) / CHARACTER))
        parts.append(
            f"<g><title>{_text(label)}: {share}</title>"
            f'<rect x="{x:.2f}" y="{y}" width="{width:.2f}" height="{ROW - 1}" fill="{_colour(label)}"/>'
            + (f'<text x="{x + 2:.2f}" y="{y + 12}">{_text(shown)}</text>' if shown else "")
            + "</g>\n"
        )
    parts.append("</svg>\n")
    return "".join(parts).encode("utf-8", "replace")


def _blocks(tree: FlameTree) -> Iterator[tuple[Node, int, float, float]]:
    """Yield node, level, left edge and width of every block wide enough to be seen."""
    scale = (WIDTH - 2 * MARGIN) / (tree.total(tree.root) or 1)
    todo = [(tree.root, 0, float(MARGIN))]
    while todo:
        node, level, x = todo.pop()
        yield node, level, x, tree.total(node) * scale
        for child in tree.children(node):
            width = tree.total(child) * scale
            if width >= NARROWEST:
                todo.append((child, level + 1, x))
            x += width


def _legend() -> Iterator[str]:
    for index, module in enumerate(Module):
        x = MARGIN + index * 100
        yield f'<rect x="{x}" y="34" width="12" height="12" fill="{_hsl(module, 72)}"/><text x="{x + 17}" y="44">{module}</text>\n'


def _colour(label: str) -> str:
    return _hsl(module_of(label), 66 + zlib.crc32(label.encode("utf-8", "replace")) % 14)


def _hsl(module: Module, lightness: int) -> str:
    hue, saturation = HUES[module]
    return f"hsl({hue},{saturation}%,{lightness}%)"


def _cut(label: str, room: int) -> str:
    if room < 3:
        return ""
    return label if len(label) <= room else f"{label[: room - 1]}…"


def _text(text: str) -> str:
    return escape(printable(text, MAX_FRAME))
