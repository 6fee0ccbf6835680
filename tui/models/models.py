"""The models screen: pick a found model, or type a path."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.widgets import Static

from engine.model_ref import ModelRef
from engine.models.references import looks_like_path, looks_like_reference
from engine.paths import expanded
from engine.text import drawable
from tui.actions.bindings import bindings_for
from tui.actions.registry import Scope
from tui.choices import Choice, Fetch, KnownModel
from tui.dialogs.picker import Picker
from tui.models.table import ModelTable, Section, Sort, in_sections, model_table


def row(model: KnownModel, current: ModelRef | None, table: ModelTable) -> Content:
    """Format a model as a row of the list."""
    text = table.row(model)
    name, rest = text[: table.name], text[table.name :]
    loaded = model.ref is not None and model.ref == current
    style = "$success" if loaded else "" if model.ref is not None and not model.problem else "$muted"
    return Content.assemble((name, style), (rest, "$warning" if model.problem or not model.fits else style or "$muted"))


class ModelsScreen(Picker[Choice]):
    """Dismissed with the model to load, quantize or fetch."""

    HELP = """\
## Models

Type a part of a name, the path of a GGUF file (`~` works), or a model of the hub such as `hf:Qwen/Qwen3-4B-GGUF:Q4_K_M`, then {accept}. The
conversation is kept. Quants of the built-in model are made when they are first chosen; for other models choose `another quant`. Models
recommended for this machine are below the last rule; nothing is fetched unless you choose it. Models of the servers in `config.toml`
([[engines]]) have a part of their own: as they were listed last, and again when the servers have answered.

`needs` is the memory predicted for the default preset, `tokens/s` the decode speed measured on this machine: the median of its clean
turns, or with ~ of turns that other programs disturbed.
"""
    PLACEHOLDER = "Part of a name, the path of a GGUF file, or hf:ORG/REPOSITORY:QUANT"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings_for(Scope.MODELS)]
    DEFAULT_CSS = """
    ModelsScreen .heading { height: 1; color: $heading; text-wrap: nowrap; }
    """

    def __init__(
        self,
        known: Callable[[], Sequence[KnownModel]],
        *,
        current: ModelRef | None,
        ask_engines: Callable[[], Future[object]] | None = None,
    ) -> None:
        """`known` lists the models; after `ask_engines`, if there are other engines, once more. Both are called on threads."""
        super().__init__()
        self._known = known
        self._ask_engines = ask_engines
        self._current = current
        self._models: Sequence[KnownModel] = ()
        self._sort = Sort.FOUND

    def compose_heading(self) -> ComposeResult:
        """Lay out the titles of the columns."""
        yield Static("", classes="heading")

    async def on_mount(self) -> None:
        """Find models on a thread."""
        self.frame.border_title = "Models"
        self.fill([], "Searching for models…")
        self._models = await asyncio.to_thread(self._known)
        await self.narrow()
        if self._ask_engines is not None:
            self.run_worker(self._list_again(self._ask_engines))

    async def _list_again(self, ask_engines: Callable[[], Future[object]]) -> None:
        """List the models again when the other engines have answered, or can't be asked."""
        await asyncio.wrap_future(await asyncio.to_thread(ask_engines))
        models = await asyncio.to_thread(self._known)
        if models != self._models:
            self._models = models
            await self.narrow()

    async def narrow(self) -> None:
        """Show the models that contain all typed words."""
        shown = [
            model
            for model in self._models
            if self.matches(f"{model.name} {model.quant} {model.place} {model.detail} {model.problem} {model.ref}")
        ]
        if looks_like_reference(self.typed):
            empty = f"{self.keymap.shown('accept')} fetches {drawable(self.typed)}"
        elif looks_like_path(self.typed):
            empty = f"{self.keymap.shown('accept')} loads {drawable(self.typed)}"
        else:
            empty = "No model matches. Type the path of a GGUF file." if self.typed.strip() else "Type the path of a GGUF file."
        table = model_table(self.row_cells, shown)
        places = {id(model): str(index) for index, model in enumerate(self._models)}
        rows: list[tuple[str | None, Content]] = []
        for section, models in in_sections(shown, self._sort):
            if section is not Section.HERE:
                rows.append((None, Content.styled(table.rule(section), "$muted")))
            rows += [(places[id(model)], row(model, self._current, table)) for model in models]
        self.fill(rows, empty)
        self.query_one(".heading", Static).update(Content(table.heading(self._sort) if shown else ""))
        hint = f"{self.keymap.shown('sort_models')} sorts by {_after(self._sort)}"
        self.frame.border_subtitle = Content(self.accept_hint(f"load · {hint}"))

    async def on_resize(self) -> None:
        """Lay out the columns for the new width."""
        if self._models:
            await self.narrow()

    async def action_sort_models(self) -> None:
        """Sort by the next column."""
        self._sort = _after(self._sort)
        await self.narrow()

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


def _after(sort: Sort) -> Sort:
    orders = list(Sort)
    return orders[(orders.index(sort) + 1) % len(orders)]
