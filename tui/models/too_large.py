"""A model is too large for this machine: the numbers, the changes that would make it fit, and the way to insist."""

from __future__ import annotations

from typing import Final

from textual.content import Content

from engine.models.fit import TooLargeError
from engine.text import drawable
from tui.dialogs.picker import Picker

INSIST: Final = -1
"""What the screen is dismissed with when the model is to be loaded as it is."""


class TooLargeScreen(Picker[int]):
    """Dismissed with the place of the chosen remedy, or with `INSIST`."""

    HELP = (
        "## Too large\n\nThe model needs more memory than there is. Pick a change that makes it fit, or load it anyway: "
        "the machine may then read from the disk for every token, or end the program.\n"
    )
    PLACEHOLDER = "Type to narrow down"

    def __init__(self, error: TooLargeError) -> None:
        super().__init__()
        self._error = error
        self._rows = [(index, remedy.sentence) for index, remedy in enumerate(error.verdict.remedies) if remedy.changes]
        self._rows.append((INSIST, "Load it anyway"))

    async def on_mount(self) -> None:
        """Show the changes below the numbers."""
        self.frame.border_title = Content(drawable(self._error.title))
        self.frame.border_subtitle = Content(drawable(f"It {self._error.verdict.sentence.removeprefix('it ')}"))
        await self.narrow()

    async def narrow(self) -> None:
        """Show what has all the words typed."""
        words = self.typed.lower().split()
        rows = [(index, text) for index, text in self._rows if all(word in text.lower() for word in words)]
        self.fill([(str(index), Content(drawable(text))) for index, text in rows], "Nothing of this name.")

    def take(self) -> None:
        """Do what is chosen."""
        if self.chosen_id is not None:
            self.dismiss(int(self.chosen_id))
