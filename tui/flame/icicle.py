"""An icicle graph in cells: the root on top, one row per level, drawn from cached strips."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.binding import BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from engine.profiling.tree import FlameTree, Node
from tui.actions.bindings import bindings_for
from tui.actions.registry import Scope
from tui.flame.layout import EDGE, REST, Block, lay_out, short_label
from tui.flame.look import FlameLook, Tint


class Icicle(ScrollView, can_focus=True):
    """Shows one FlameTree; moves a cursor over its blocks, and zooms.

    With `upwards` the root is at the bottom: for the callers of a function, above its callees.
    """

    HELP = """\
- A click selects, a second click on the same block zooms in, the right button zooms out
- Dots are blocks too narrow to be drawn: zoom in to see them
"""
    BINDING_GROUP_TITLE = "Flamegraph"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings_for(Scope.ICICLE)]
    DEFAULT_CSS = """
    Icicle { height: 1fr; scrollbar-gutter: stable; scrollbar-size-vertical: 1; overflow-x: hidden; }
    """

    @dataclass
    class Selected(Message):
        """The cursor moved to another block."""

        icicle: Icicle
        node: Node

        @property
        def control(self) -> Icicle:
            """The icicle, for `@on` selectors."""
            return self.icicle

    def __init__(self, *, upwards: bool = False, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.upwards = upwards
        self._tree = FlameTree(())
        self._tint: Callable[[Node], Tint] = lambda _: Tint.PYTHON
        self._zooms: list[Node] = [self._tree.root]
        self._cursor = self._tree.root
        self._search = ""
        self._rows: list[list[Block]] = []
        self._strips: dict[int, Strip] = {}
        self._look: FlameLook | None = None

    @property
    def flame(self) -> FlameTree:
        """The tree shown."""
        return self._tree

    @property
    def cursor(self) -> Node:
        """The selected node."""
        return self._cursor

    @property
    def top(self) -> Node:
        """The node zoomed to."""
        return self._zooms[-1]

    def notify_style_update(self) -> None:
        """Redraw with the theme's colours."""
        self._look = None
        self._strips.clear()
        super().notify_style_update()

    def on_resize(self) -> None:
        """Lay out for the new width."""
        self._lay_out()

    def on_click(self, event: events.Click) -> None:
        """Select a block, zoom in on a second click, zoom out with the right button."""
        if event.button == 3:
            self.action_zoom_out()
            return
        block = self._block_at(event.x, event.y + self.scroll_offset.y)
        if block is None or block.node is None:
            return
        if block.node == self._cursor:
            self.action_zoom_in()
        else:
            self._select(block.node)

    def action_move(self, direction: str) -> None:
        """Move the cursor to a neighbouring block."""
        if self.upwards and direction in ("up", "down"):
            direction = "down" if direction == "up" else "up"
        level, index = self._place(self._cursor)
        if not self._rows:
            return
        row = self._rows[level]
        target: Block | None = None
        if direction == "up" and level:
            target = self._rows[level - 1][row[index].above]
        elif direction == "down" and level + 1 < len(self._rows):
            below = [block for block in self._rows[level + 1] if block.above == index and block.node is not None]
            target = max(below, key=lambda block: block.right - block.left, default=None)
        elif direction in ("left", "right"):
            step = 1 if direction == "right" else -1
            neighbours = row[index + 1 :] if step == 1 else row[:index][::-1]
            target = next((block for block in neighbours if block.node is not None), None)
        if target is not None and target.node is not None:
            self._select(target.node)

    def action_zoom_in(self) -> None:
        """Zoom in on the selected block."""
        if self._cursor != self.top:
            self._zooms.append(self._cursor)
            self._zoomed(self._cursor)

    def action_zoom_out(self) -> None:
        """Zoom out one step; the cursor stays on the block that was zoomed to."""
        if len(self._zooms) > 1:
            self._zoomed(self._zooms.pop())

    def action_zoom_reset(self) -> None:
        """Show the whole tree; the cursor moves to the first block that was zoomed to."""
        if len(self._zooms) > 1:
            first = self._zooms[1]
            del self._zooms[1:]
            self._zoomed(first)

    def show(self, tree: FlameTree, tint: Callable[[Node], Tint]) -> None:
        """Show another tree with the cursor on the heaviest child of the root."""
        self._tree, self._tint = tree, tint
        self._zooms = [tree.root]
        self._cursor = max(tree.children(tree.root), key=tree.total, default=tree.root)
        self._lay_out()
        self.post_message(self.Selected(self, self._cursor))

    def highlight(self, text: str) -> None:
        """Mark the blocks whose frame contains `text`; empty marks none."""
        self._search = text.casefold()
        self._strips.clear()
        self.refresh()

    def select_match(self, step: int) -> None:
        """Move the cursor to the next (1) or previous (-1) visible block that matches the search."""
        visible = [block.node for row in self._rows for block in row if block.node is not None]
        matches = [node for node in visible if self._matches(node)]
        if not matches:
            return
        here = visible.index(self._cursor) if self._cursor in visible else 0
        places = [visible.index(node) for node in matches]
        if step > 0:
            target = next((node for node, place in zip(matches, places, strict=True) if place > here), matches[0])
        else:
            target = next((node for node, place in zip(matches[::-1], places[::-1], strict=True) if place < here), matches[-1])
        self._select(target)

    def render_line(self, y: int) -> Strip:
        """Render one row of cells."""
        width = self.scrollable_content_region.width
        level = self._level(y + self.scroll_offset.y)
        if self._look is None:
            self._look = FlameLook(self.app.theme_variables, self.rich_style)
        if not 0 <= level < len(self._rows):
            return Strip.blank(width, self.rich_style)
        strip = self._strips.get(level)
        if strip is None:
            strip = self._strips[level] = self._draw(level, self._look).adjust_cell_length(width, self.rich_style)
        return strip

    def _draw(self, level: int, look: FlameLook) -> Strip:
        segments: list[Segment] = []
        position = 0
        for block in self._rows[level]:
            if block.left > position:
                segments.append(Segment(" " * (block.left - position), look.base))
            cells = block.right - block.left
            if block.node is None:
                segments.append(Segment(REST * cells, look.rest))
            else:
                label = self._tree.label(block.node)
                if block.node == self._cursor:
                    style = look.chosen
                elif self._matches(block.node):
                    style = look.match
                else:
                    style = look.block(self._tint(block.node), zlib.crc32(label.encode("utf-8", "replace")))
                text = short_label(label, cells - 1)
                segments.append(Segment(EDGE + text + " " * (cells - 1 - cell_len(text)), style))
            position = block.right
        return Strip(segments)

    def _matches(self, node: Node) -> bool:
        return bool(self._search) and node.depth > 0 and self._search in self._tree.label(node).casefold()

    def _lay_out(self) -> None:
        size = self.scrollable_content_region
        self._rows = lay_out(self._tree, self.top, size.width)
        self._strips.clear()
        self.virtual_size = Size(size.width, len(self._rows))
        if self.upwards:
            # Forced, since the scroll bar appears only with the next layout.
            self.scroll_to(y=len(self._rows), animate=False, force=True, immediate=True)
        self.refresh()

    def _zoomed(self, cursor: Node) -> None:
        self._cursor = cursor
        self._lay_out()
        self._follow()
        self.post_message(self.Selected(self, self._cursor))

    def _select(self, node: Node) -> None:
        levels = {self._place(self._cursor)[0], self._place(node)[0]}
        self._cursor = node
        for level in levels:
            self._strips.pop(level, None)
            self.refresh_line(self._line(level))
        self._follow()
        self.post_message(self.Selected(self, node))

    def _follow(self) -> None:
        """Scroll to the cursor."""
        self.scroll_to_region(Region(0, self._line(self._place(self._cursor)[0]), 1, 1), animate=False, x_axis=False)

    def _place(self, node: Node) -> tuple[int, int]:
        """Return row and index of a node's block; those of the root when the node is not shown."""
        level = node.depth - self.top.depth
        if 0 <= level < len(self._rows):
            for index, block in enumerate(self._rows[level]):
                if block.node == node:
                    return level, index
        return 0, 0

    def _line(self, level: int) -> int:
        return self._lines - 1 - level if self.upwards else level

    def _level(self, line: int) -> int:
        return self._lines - 1 - line if self.upwards else line

    @property
    def _lines(self) -> int:
        """Return the number of rows; an upside-down graph is aligned to the bottom."""
        return max(len(self._rows), self.scrollable_content_region.height)

    def _block_at(self, x: int, line: int) -> Block | None:
        level = self._level(line)
        if not 0 <= level < len(self._rows):
            return None
        return next((block for block in self._rows[level] if block.left <= x < block.right), None)
