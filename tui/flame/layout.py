"""Layout of a flamegraph's blocks in a grid of cells. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size

from engine.profiling.frames import thread_name
from engine.profiling.tree import FlameTree, Node, Order
from engine.text import drawable

EDGE = "▏"
"""Left edge of a block."""
REST = "·"
"""Shown in place of blocks too narrow to draw."""

NARROWEST = 0.5
"""Width in cells below which a block is merged with its neighbours."""

DEEPEST = 2_000
"""Greatest number of rows."""


@dataclass(frozen=True, slots=True)
class Block:
    """Cells `left` to `right` (exclusive) of a row. Without a node it represents several blocks narrower than a cell."""

    node: Node | None
    left: int
    right: int
    above: int
    """Index of the parent's block in the row above."""
    exact: float
    """The left edge before rounding, from which the next row is laid out to avoid accumulated errors."""


def lay_out(tree: FlameTree, top: Node, width: int) -> list[list[Block]]:
    """Lay out rows of blocks from `top` down, which has the whole width.

    Edges are rounded, not widths, so that the total width is right and no block is off by more than half a cell.
    """
    whole = tree.total(top)
    if width <= 0 or not whole:
        return []
    scale = width / whole
    rows = [[Block(top, 0, width, -1, 0.0)]]
    while len(rows) < DEEPEST:
        row: list[Block] = []
        for index, block in enumerate(rows[-1]):
            if block.node is not None:
                row += _children(tree, top, block, index, scale)
        if not row:
            break
        rows.append(row)
    return rows


def _children(tree: FlameTree, top: Node, parent: Block, index: int, scale: float) -> Iterator[Block]:
    """Yield the blocks under `parent`: its children, merged where they are narrower than half a cell."""
    position = parent.exact
    taken = parent.left
    skipped = False
    for child in tree.children(parent.node or tree.root):
        if tree.order is Order.TIME:
            position = (tree.start(child) - tree.start(top)) * scale
        size = tree.total(child) * scale
        left, right = round(position), round(position + size)
        if size < NARROWEST or right <= left:
            skipped = True
        else:
            if skipped and left > taken:
                yield Block(None, taken, left, index, taken)
            yield Block(child, left, right, index, position)
            taken, skipped = right, False
        position += size
    if skipped and round(position) > taken:
        yield Block(None, taken, round(position), index, taken)


def short_label(frame: str, room: int) -> str:
    """Shorten a frame to `room` cells: with its file, without, or only the end of its qualified name."""
    if room < 1:
        return ""
    name = thread_name(frame)
    text = drawable(name if name is not None else frame)
    if cell_len(text) <= room:
        return text
    function = text.rpartition(" (")[0] or text
    if cell_len(function) > room:
        last = function.rpartition(".")[2]
        function = last if last and not last.startswith(("<", ">")) else function
    if cell_len(function) <= room:
        return function
    return set_cell_size(function, room - 1) + "…" if room > 2 else ""
