"""Facts and requests that travel between the widgets of more than one screen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.message import Message

if TYPE_CHECKING:
    from engine.events import Event


@dataclass
class SessionSpoke(Message, bubble=False):
    """Something happened in the session. Delivered through the screen's queue, so that widgets are touched in their own context."""

    event: Event


@dataclass
class ActionRequested(Message):
    """The person asked for an action of the registry by other means than its key: the mouse, the palette, a slash command."""

    action_id: str
