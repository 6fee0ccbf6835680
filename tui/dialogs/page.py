"""A page of text over the screen."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.content import Content

from engine.text import drawable
from tui.actions.bindings import bindings_for
from tui.actions.registry import Scope
from tui.dialogs.dialog import Dialog


class Page(Dialog[None]):
    """Scrolls the widgets of a subclass's `compose_page`."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings_for(Scope.PAGE)]
    CLOSED_BY = "close_page"
    DEFAULT_CSS = """
    Page {
        .box { width: 100; max-height: 94%; padding: 0 2; scrollbar-size-vertical: 1; scrollbar-gutter: stable; }
        Static { height: auto; }
    }
    """

    def __init__(self, title: str) -> None:
        super().__init__()
        self._title = title

    def compose(self) -> ComposeResult:
        """Lay out the box with title and content."""
        with VerticalScroll(classes="box") as box:
            box.border_title, box.border_subtitle = Content(drawable(self._title)), self.close_hint
            yield from self.compose_page()

    @abstractmethod
    def compose_page(self) -> ComposeResult:
        """Yield the content."""

    @property
    def page_width(self) -> int:
        """Width of a row in cells."""
        return self.query_one(VerticalScroll).scrollable_content_region.width
