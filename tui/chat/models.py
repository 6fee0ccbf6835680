"""Models and the knob: with whom one talks, and how fast it comes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec
from textual.worker import get_current_worker

from engine.errors import XchatError
from tui.chat.compose import TalkActions
from tui.models.model_jobs import Fetching, Making, MakingStopped
from tui.options import BuiltInQuant, Choice, Fetch, KnownModel, OtherQuant, Watch

BATCHES = (1, 2, 4, 8, 16, 32, 64)
"""Steps of the knob."""


class LibraryActions(TalkActions):
    """Loading other models, making and fetching them, and turning the knob."""

    _making: Making | None = None

    def action_models(self) -> None:
        """Pick a model."""
        from tui.models.models import ModelsScreen

        engine = self.session.engine if self.session is not None else None
        self.app.push_screen(ModelsScreen(self._known_models, current=engine.model.path if engine else None), self._choose)

    def _known_models(self) -> Sequence[KnownModel]:
        known = self.program.options.known_models()
        making = self._making
        if making is None:
            return known
        far = making.progress.sentence if making.progress is not None else ""
        return [KnownModel(None, making.title, far, instead=Watch()), *known]

    def _choose(self, choice: Choice | None) -> None:
        if isinstance(choice, Path):
            self.begin_load(choice)
        elif isinstance(choice, BuiltInQuant):
            quant = choice.quant
            self.attempt(lambda: self._use_named("builtin", quant))
        elif isinstance(choice, Fetch):
            self._make(Fetching(choice.reference))
        elif isinstance(choice, OtherQuant):
            self._pick_quant(choice)
        elif self._making is not None and isinstance(choice, Watch):
            self._watch(self._making)

    def load_by_command(self, words: str) -> None:
        """`/model` with a path, the name of a family, `builtin`, or a model of the hub."""
        from engine.models.references import looks_like_path, looks_like_reference
        from engine.paths import expanded

        path = expanded(words)
        if looks_like_reference(words):
            self._make(Fetching(words))
        elif looks_like_path(words) or path.exists():
            self.begin_load(path)
        else:
            self._use_named(words, None)

    def _use_named(self, model: str, quant: str | None) -> None:
        session = self.live()
        session.switching.use(msgspec.structs.replace(session.preset, model=model, quant=quant))

    def _pick_quant(self, choice: OtherQuant) -> None:
        from tui.models.quants import QuantsScreen

        def make(quant: str | None) -> None:
            if quant is not None:
                self.run_worker(self._plan_quant(choice.source, quant), group="plan", exclusive=True)

        self.app.push_screen(QuantsScreen(choice.source, there=choice.there, report=self.report), make)

    async def _plan_quant(self, source: Path, quant: str) -> None:
        from engine.models.check import check_model
        from engine.models.quantize import plan
        from tui.dialogs.confirm import Confirm
        from tui.models.model_jobs import Quantizing

        try:
            meant = await asyncio.to_thread(lambda: plan(check_model(source), quant))
        except XchatError as error:
            self.report(error)
            return

        def make(sure: bool | None) -> None:
            if sure:
                self._make(Quantizing(meant))

        if meant.warning:
            self.app.push_screen(Confirm(f"Make {quant}", f"{meant.warning}.", yes="Make it"), make)
        else:
            make(True)

    def _make(self, making: Making) -> None:
        """Let it run behind a dialog; one at a time."""
        if self._making is not None:
            self.tell("Something is being made already", self._making.title, "F3 shows how far it is.")
            return
        self._making = making
        self._watch(making)
        self.run_worker(self._run(making), group="make", exit_on_error=True)

    def _watch(self, making: Making) -> None:
        from tui.models.job_dialog import MakingScreen

        self.app.push_screen(MakingScreen(making))

    async def _run(self, making: Making) -> None:
        path: Path | None = None
        try:
            path = await asyncio.to_thread(making.run)
        except XchatError as error:
            self.report(error)
        except MakingStopped:
            self.tell("Stopped", making.if_stopped)
        finally:
            making.stop()
            self._making = None
            self._close_watch(making)
        if path is None:
            return
        if making.hidden:
            self.tell(f"{path.name} is here", hint="F3 loads it.")
        else:
            self.begin_load(path)

    def _close_watch(self, making: Making) -> None:
        from tui.models.job_dialog import MakingScreen

        for screen in self.app.screen_stack:
            if isinstance(screen, MakingScreen) and screen.making is making:
                screen.dismiss()

    def begin_load(self, path: Path) -> None:
        """Load a model in the background; its progress is in the status line, a failure is a notice."""
        self.run_worker(self._load(path), group="load", exclusive=True)

    async def _load(self, path: Path) -> None:
        session = self.live()
        if session.engine is not None:
            session.switching.use_file(path)
            return
        if self.loading_model:
            return
        self.loading_model = True
        try:
            first = self.starting
            await session.load(path, session.preset if first else None, force=first and self.program.options.force)
        except XchatError:
            pass  # ModelFailed has told it
        except asyncio.CancelledError:
            if get_current_worker().is_cancelled:
                raise
        finally:
            self.loading_model = False

    def _turn_knob(self, step: int) -> None:
        session = self.live()
        now = session.stream_batch
        wanted = [batch for batch in BATCHES if (batch > now if step > 0 else batch < now)]
        if wanted:
            session.set_stream_batch(wanted[0] if step > 0 else wanted[-1])

    def action_bigger_batch(self) -> None:
        """More tokens at a time."""
        self.attempt(lambda: self._turn_knob(1))

    def action_smaller_batch(self) -> None:
        """Fewer tokens at a time."""
        self.attempt(lambda: self._turn_knob(-1))

    def action_auto_batch(self) -> None:
        """Let xchat choose."""
        auto: Literal["auto"] = "auto"
        self.attempt(lambda: self.live().set_stream_batch(auto))
