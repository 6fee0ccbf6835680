"""Lines that go to the compositor as they are look as Textual would have drawn them."""

from __future__ import annotations

import pytest
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from tests.tui.program import program
from tui.drawing.ready_lines import ReadyLines
from tui.panel.panel import Panel

pytestmark = pytest.mark.slow


def cells(strip: Strip) -> list[tuple[str, object, object, int | None]]:
    """What can be seen of a line, cell by cell."""
    seen = []
    for text, style, _ in strip:
        look = (style.color, style.bgcolor, style._attributes) if style else (None, None, None)
        seen += [(character, *look) for character in text]
    return seen


@pytest.mark.parametrize("crop", [Region(0, 0, 0, 0), Region(3, 2, 20, 6)], ids=["whole", "part"])
@pytest.mark.parametrize("theme", ["dark", "terminal"])
async def test_ready_lines_look_as_textual_would_draw_them(theme: str, crop: Region) -> None:
    async with program(size=(120, 36)) as run:
        run.app.theme = theme
        await run.send("Tell me **something**.")
        await run.answered()
        await run.until("1 Speed")
        for widget in (run.chat.transcript, run.chat.query_one(Panel)):
            part = crop or widget.outer_size.region
            ready = ReadyLines.render_lines(widget, part)
            drawn = Widget.render_lines(widget, part)
            assert [cells(line)[: part.width - 1] for line in ready] == [cells(line)[: part.width - 1] for line in drawn]
            assert {line.cell_length for line in ready} == {part.width}
