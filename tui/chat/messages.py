"""Messages between widgets of more than one screen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.message import Message

if TYPE_CHECKING:
    from engine.events import Event


@dataclass
class SessionEvent(Message, bubble=False):
    """An event of the session, delivered through the screen's message queue."""

    event: Event
