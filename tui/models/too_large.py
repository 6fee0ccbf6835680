"""A model is too large for this machine: the numbers, the changes that would make it fit, and the way to insist."""

from __future__ import annotations

from typing import Final

from engine.models.fit import TooLargeError
from tui.dialogs.picker import PickOne

INSIST: Final = -1
"""What the screen is dismissed with when the model is to be loaded as it is."""


class TooLargeScreen(PickOne[int]):
    """Dismissed with the index of the chosen remedy, or with `INSIST`."""

    HELP = (
        "## Too large\n\nThe model needs more memory than there is. Pick a change that makes it fit, or load it anyway: "
        "the machine may then read from the disk for every token, or kill the process.\n"
    )

    def __init__(self, error: TooLargeError) -> None:
        """The remedies that change something, then insisting."""
        rows = [(index, remedy.sentence) for index, remedy in enumerate(error.verdict.remedies) if remedy.changes]
        super().__init__(error.title, [*rows, (INSIST, "Load it anyway")], subtitle=f"It {error.verdict.sentence.removeprefix('it ')}")
