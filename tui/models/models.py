"""Picking a model: from the files that were found, or by typing a path."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from rich.cells import cell_len, set_cell_size
from textual.content import Content

from engine.model_ref import ModelRef
from engine.models.references import looks_like_path, looks_like_reference
from engine.paths import expanded
from engine.text import drawable, one_line
from tui.choices import Choice, Fetch, KnownModel
from tui.dialogs.picker import Picker

NAME_CELLS = 28


def row(model: KnownModel, current: ModelRef | None) -> Content:
    """A model as one line of the list."""
    name = one_line(model.name)
    name = set_cell_size(name, NAME_CELLS) if cell_len(name) <= NAME_CELLS else set_cell_size(name, NAME_CELLS - 1) + "…"
    mark = "  loaded" if model.ref is not None and model.ref == current else ""
    about = Content.styled(one_line(model.problem or model.detail), "$muted" if model.fits and not model.problem else "$warning")
    return Content.assemble(name, "  ", about, Content.styled(mark, "$success"))


class ModelsScreen(Picker[Choice]):
    """Dismissed with the file to load, or with what is to be made or fetched first."""

    HELP = (
        "## Models\n\nType a part of a name, the path of a GGUF file (`~` works), or a model of the hub such as "
        "`hf:Qwen/Qwen3-4B-GGUF:Q4_K_M`, then Enter. The conversation stays. Quants of the built-in model are made when they are first "
        "chosen; of other models `another quant` makes more. At the end of the list stand models worth fetching for this machine; nothing "
        "is fetched unless you choose it. Speeds are medians of this machine's own clean turns.\n"
    )
    PLACEHOLDER = "Part of a name, the path of a GGUF file, or hf:ORG/REPOSITORY:QUANT"

    def __init__(self, known: Callable[[], Sequence[KnownModel]], *, current: ModelRef | None) -> None:
        super().__init__()
        self._known = known
        self._current = current
        self._models: Sequence[KnownModel] = ()

    async def on_mount(self) -> None:
        """Look for files without holding up the screen."""
        self.frame.border_title = "Models"
        self.frame.border_subtitle = f"Enter load · {self.close_hint}"
        self.fill([], "Looking for models…")
        self._models = await asyncio.to_thread(self._known)
        await self.narrow()

    async def narrow(self) -> None:
        """Show the models whose name or file has all the words typed."""
        words = self.typed.lower().split()
        shown = [
            model
            for model in self._models
            if all(word in f"{model.name} {model.detail} {model.problem} {model.ref}".lower() for word in words)
        ]
        if looks_like_reference(self.typed):
            empty = f"Enter fetches {drawable(self.typed)}"
        elif looks_like_path(self.typed):
            empty = f"Enter loads {drawable(self.typed)}"
        else:
            empty = "No model of this name was found. Type the path of a GGUF file." if words else "Type the path of a GGUF file."
        self.fill([(str(index), row(model, self._current)) for index, model in enumerate(self._models) if model in shown], empty)

    def take(self) -> None:
        """Load what was typed as a path, else what is chosen."""
        typed = self.typed.strip()
        if looks_like_reference(typed):
            self.dismiss(Fetch(typed))
        elif looks_like_path(typed):
            self.dismiss(expanded(typed))
        elif self.chosen_id is not None:
            choice = self._models[int(self.chosen_id)].choice
            if choice is not None:
                self.dismiss(choice)
