"""The search line of the flamegraph viewer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual.binding import BindingType
from textual.message import Message
from textual.widgets import Input

from tui.actions.bindings import bindings_for
from tui.actions.registry import Scope


class SearchLine(Input):
    """The input of the search; its keys end it with an action of the screen."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings_for(Scope.SEARCH)]

    @dataclass
    class Ended(Message):
        """The search ends with an action of the screen."""

        action: str

    def action_search_end(self, action: str) -> None:
        """Report the action."""
        self.post_message(self.Ended(action))
