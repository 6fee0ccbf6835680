"""The models screen: pick a found model, or type a path."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from textual.content import Content

from engine.model_ref import ModelRef
from engine.models.references import looks_like_path, looks_like_reference
from engine.paths import expanded
from engine.text import drawable, one_line
from tui.choices import Choice, Fetch, KnownModel
from tui.dialogs.picker import Picker
from tui.text.cells import cut

NAME_CELLS = 28


def row(model: KnownModel, current: ModelRef | None) -> Content:
    """Format a model as a row of the list."""
    mark = "  loaded" if model.ref is not None and model.ref == current else ""
    about = Content.styled(one_line(model.problem or model.detail), "$muted" if model.fits and not model.problem else "$warning")
    return Content.assemble(cut(one_line(model.name), NAME_CELLS), "  ", about, Content.styled(mark, "$success"))


class ModelsScreen(Picker[Choice]):
    """Dismissed with the model to load, quantize or fetch."""

    HELP = (
        "## Models\n\nType a part of a name, the path of a GGUF file (`~` works), or a model of the hub such as "
        "`hf:Qwen/Qwen3-4B-GGUF:Q4_K_M`, then Enter. The conversation is kept. Quants of the built-in model are made when they are first "
        "chosen; for other models choose `another quant`. Models recommended for this machine are at the end of the list; nothing "
        "is fetched unless you choose it. Speeds are medians of this machine's own clean turns.\n"
    )
    PLACEHOLDER = "Part of a name, the path of a GGUF file, or hf:ORG/REPOSITORY:QUANT"

    def __init__(self, known: Callable[[], Sequence[KnownModel]], *, current: ModelRef | None) -> None:
        super().__init__()
        self._known = known
        self._current = current
        self._models: Sequence[KnownModel] = ()

    async def on_mount(self) -> None:
        """Find models on a thread."""
        self.frame.border_title = "Models"
        self.frame.border_subtitle = f"Enter load · {self.close_hint}"
        self.fill([], "Searching for models…")
        self._models = await asyncio.to_thread(self._known)
        await self.narrow()

    async def narrow(self) -> None:
        """Show the models that contain all typed words."""
        shown = [model for model in self._models if self.matches(f"{model.name} {model.detail} {model.problem} {model.ref}")]
        if looks_like_reference(self.typed):
            empty = f"Enter fetches {drawable(self.typed)}"
        elif looks_like_path(self.typed):
            empty = f"Enter loads {drawable(self.typed)}"
        else:
            empty = "No model matches. Type the path of a GGUF file." if self.typed.strip() else "Type the path of a GGUF file."
        self.fill([(str(index), row(model, self._current)) for index, model in enumerate(self._models) if model in shown], empty)

    def take(self) -> None:
        """Dismiss with the typed path or reference, else the selected model."""
        typed = self.typed.strip()
        if looks_like_reference(typed):
            self.dismiss(Fetch(typed))
        elif looks_like_path(typed):
            self.dismiss(expanded(typed))
        elif self.chosen_id is not None:
            choice = self._models[int(self.chosen_id)].choice
            if choice is not None:
                self.dismiss(choice)
