"""Chat-screen actions: load, fetch and quantize models; change stream_batch."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import msgspec
from textual.worker import get_current_worker

from engine.config import load_config
from engine.errors import XchatError
from engine.events import EngineDied, Event, ModelFailed, ModelLoading, ModelReady, PresetChanged
from engine.last_used import remember
from engine.model_ref import ModelRef
from engine.models.fit import TooLargeError
from tui.chat.context import ChatContext
from tui.choices import BuiltInQuant, Choice, Fetch, KnownModel, OtherQuant, Watch
from tui.models.model_jobs import Fetching, Making, MakingStopped
from tui.text import wording

BATCHES = (1, 2, 4, 8, 16, 32, 64)
"""Steps of stream_batch."""


class ModelsController:
    """Loads models; fetches or quantizes one at a time."""

    def __init__(self, context: ChatContext) -> None:
        self._context = context
        self._making: Making | None = None
        self._first_pending = True
        """Whether the first model has neither loaded nor failed."""
        self._loading = False
        self._remembered_preset: str | None = None

    def on_event(self, event: Event) -> None:
        """Handle an event of the session."""
        context = self._context
        if isinstance(event, ModelLoading):
            context.set_status(activity=wording.loading(event))
        elif isinstance(event, ModelReady):
            model = event.engine.model
            self._first_pending = False
            context.set_status(activity="", model=model.name, quant=model.quant)
            self._remember(model=str(model.ref), preset=event.engine.preset.name)
        elif isinstance(event, ModelFailed):
            self._first_pending = False
            self._failed(event)
        elif isinstance(event, EngineDied):
            self._offer_restart(event.error)
        elif isinstance(event, PresetChanged):
            session, preset = context.live(), event.preset
            context.set_status(preset=preset.name, batch=wording.batch(preset, session.slot.stream_batch))
            if session.engine is not None and preset.name != self._remembered_preset:
                self._remember(preset=preset.name)

    def _remember(self, *, preset: str, **more: str) -> None:
        """Save a choice for the next start, on a thread."""
        self._remembered_preset = preset
        self._context.run_worker(asyncio.to_thread(remember, preset=preset, **more), group="remember")

    def _failed(self, event: ModelFailed) -> None:
        engine = event.engine
        self._context.set_status(activity="", model=engine.model.name if engine else "", quant=engine.model.quant if engine else "")
        if isinstance(event.error, TooLargeError):
            self._offer_what_fits(event.ref, event.error)
        else:
            self._context.report(event.error)

    def _offer_what_fits(self, ref: ModelRef, error: TooLargeError) -> None:
        """Let the user choose a change that makes a too large model fit, or load it anyway."""
        from tui.models.too_large import INSIST, TooLargeScreen

        switching = self._context.live().switching

        def choose(chosen: int | None) -> None:
            if chosen == INSIST:
                switching.force(ref)
            elif chosen is not None:
                self._context.attempt(lambda: switching.amend(ref, error.verdict.remedies[chosen].changes))

        self._context.open(TooLargeScreen(error), choose)

    def _offer_restart(self, error: XchatError) -> None:
        from tui.dialogs.confirm import Confirm

        async def restart(sure: bool | None) -> None:
            if sure:
                await self._context.program.restart()

        self._context.set_status(activity="the engine has stopped")
        detail = f"{error.detail or error.title}\n\nThe conversation is saved. Restart xchat to use the engine again."
        dialog = Confirm("The engine has stopped", detail, yes="Restart", no="Not now", safe=True)
        self._context.open(dialog, restart)

    @property
    def first_expected(self) -> bool:
        """Whether the first model is still being loaded."""
        session = self._context.session
        return session is None or session.slot.loading or (session.engine is None and (self._first_pending or self._loading))

    async def load_first(self) -> bool:
        """Load the model that the program was started with. Returns whether there is one."""
        model = self._context.program.options.model
        try:
            ref = await asyncio.to_thread(model) if callable(model) else model
        except XchatError as error:
            self._context.report(error)
            ref = None
        if ref is None:
            self._first_pending = False
        else:
            self.load(ref)
        return ref is not None

    def models(self, words: str) -> None:
        """Pick a model, or load the one named: a path, the name of a family, `builtin`, ENGINE/MODEL, or a model of the hub."""
        from engine.models.references import looks_like_path, looks_like_reference
        from engine.paths import expanded
        from engine.session.model_finder import remote_named
        from tui.models.models import ModelsScreen

        if not words:
            engine = self._context.session.engine if self._context.session is not None else None
            current, asking = engine.model.ref if engine else None, self._context.program.options.ask_engines
            self._context.open(ModelsScreen(self._known_models, current=current, ask_engines=asking), self._choose)
            return
        path = expanded(words)
        if (remote := remote_named(words, load_config().engines)) is not None:
            self.load(remote)
        elif looks_like_reference(words):
            self._make(Fetching(words))
        elif looks_like_path(words) or path.exists():
            self.load(path)
        else:
            self._use_named(words, None)

    def _known_models(self) -> Sequence[KnownModel]:
        from tui.models.known_models import with_file

        known = self._context.program.options.known_models()
        engine = self._context.session.engine if self._context.session is not None else None
        if engine is not None and isinstance(engine.model.ref, Path):
            known = with_file(known, engine.model.ref)
        making = self._making
        if making is None:
            return known
        far = making.progress.sentence if making.progress is not None else ""
        return [KnownModel(None, making.title, far, instead=Watch()), *known]

    def _choose(self, choice: Choice | None) -> None:
        if isinstance(choice, ModelRef):
            self.load(choice)
        elif isinstance(choice, BuiltInQuant):
            quant = choice.quant
            self._context.attempt(lambda: self._use_named("builtin", quant))
        elif isinstance(choice, Fetch):
            self._make(Fetching(choice.reference))
        elif isinstance(choice, OtherQuant):
            self._pick_quant(choice)
        elif self._making is not None and isinstance(choice, Watch):
            self._watch(self._making)

    def _use_named(self, model: str, quant: str | None) -> None:
        session = self._context.live()
        session.switching.use(msgspec.structs.replace(session.preset, model=model, quant=quant))

    def _pick_quant(self, choice: OtherQuant) -> None:
        from tui.models.quants import QuantsScreen

        def make(quant: str | None) -> None:
            if quant is not None:
                self._context.run_worker(self._plan_quant(choice.source, quant), group="plan", exclusive=True)

        self._context.open(QuantsScreen(choice.source, there=choice.there, report=self._context.report), make)

    async def _plan_quant(self, source: Path, quant: str) -> None:
        from engine.models.check import check_model
        from engine.models.quantize import plan
        from tui.dialogs.confirm import Confirm
        from tui.models.model_jobs import Quantizing

        try:
            meant = await asyncio.to_thread(lambda: plan(check_model(source), quant))
        except XchatError as error:
            self._context.report(error)
            return

        def make(sure: bool | None) -> None:
            if sure:
                self._make(Quantizing(meant))

        if meant.warning:
            self._context.open(Confirm(f"Make {quant}", f"{meant.warning}.", yes="Make it"), make)
        else:
            make(True)

    def _make(self, making: Making) -> None:
        """Run a job behind a dialog; one at a time."""
        if self._making is not None:
            self._context.notify("Another model is being prepared", self._making.title, "See its progress", "models")
            return
        self._making = making
        self._watch(making)
        self._context.run_worker(self._run(making), group="make")

    def _watch(self, making: Making) -> None:
        from tui.models.job_dialog import MakingScreen

        self._context.open(MakingScreen(making))

    async def _run(self, making: Making) -> None:
        path: Path | None = None
        try:
            path = await asyncio.to_thread(making.run)
        except XchatError as error:
            self._context.report(error)
        except MakingStopped:
            self._context.notify("Stopped", making.if_stopped)
        finally:
            making.stop()
            self._making = None
            self._close_watch(making)
        if path is None:
            return
        if making.hidden:
            self._context.notify(f"{path.name} is ready", "", "Load it", "models")
        else:
            self.load(path)

    def _close_watch(self, making: Making) -> None:
        from tui.models.job_dialog import MakingScreen

        for screen in self._context.screen.app.screen_stack:
            if isinstance(screen, MakingScreen) and screen.making is making:
                screen.dismiss()

    def load(self, ref: ModelRef) -> None:
        """Load a model in the background; the status line shows progress, a notice reports failure."""
        self._context.run_worker(self._load(ref), group="load", exclusive=True)

    async def _load(self, ref: ModelRef) -> None:
        session = self._context.live()
        if session.engine is not None:
            session.switching.use_model(ref)
            return
        if self._loading:
            return
        self._loading = True
        try:
            first = self._first_pending
            await session.load(ref, session.preset if first else None, force=first and self._context.program.options.force)
        except XchatError:
            pass  # reported by ModelFailed
        except asyncio.CancelledError:
            if get_current_worker().is_cancelled:
                raise
        finally:
            self._loading = False

    # stream_batch

    def step_batch(self, step: int) -> None:
        """Use the next larger (+1) or smaller (-1) number of tokens per chunk of BATCHES."""
        slot = self._context.live().slot
        wanted = [batch for batch in BATCHES[::step] if (batch - slot.stream_batch) * step > 0]
        if wanted:
            slot.set_stream_batch(wanted[0])
