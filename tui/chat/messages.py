"""Facts and requests that travel between the widgets of more than one screen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.message import Message

if TYPE_CHECKING:
    from engine.events import Event


@dataclass
class SessionEvent(Message, bubble=False):
    """An event of the session. Delivered through the screen's queue, so that widgets are touched in their own context."""

    event: Event
