"""The dialog for a model that needs too much memory: changes that make it fit, or load it anyway."""

from __future__ import annotations

from typing import Final

from engine.models.fit import TooLargeError
from tui.dialogs.picker import PickOne

INSIST: Final = -1
"""Result of the screen for loading the model anyway."""


class TooLargeScreen(PickOne[int]):
    """Dismissed with the index of the chosen remedy, or with `INSIST`."""

    HELP = (
        "## Too large\n\nThe model needs more memory than is available. Pick a change that makes it fit, or load it anyway: "
        "the machine may then read from the disk for every token, or kill the process.\n"
    )

    def __init__(self, error: TooLargeError) -> None:
        """List the remedies that change settings, then loading anyway."""
        rows = [(index, remedy.sentence) for index, remedy in enumerate(error.verdict.remedies) if remedy.changes]
        super().__init__(error.title, [*rows, (INSIST, "Load it anyway")], subtitle=f"It {error.verdict.sentence.removeprefix('it ')}")
