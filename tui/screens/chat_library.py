"""Models and the knob: with whom one talks, and how fast it comes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Literal

from textual.worker import get_current_worker

from engine.errors import XchatError
from tui.screens.chat_talk import TalkActions

BATCHES = (1, 2, 4, 8, 16, 32, 64)
"""Steps of the knob."""


class LibraryActions(TalkActions):
    """Loading other models, and turning the knob."""

    def action_models(self) -> None:
        """Pick a model."""
        from tui.screens.models import ModelsScreen

        engine = self.session.engine if self.session is not None else None

        def load(path: Path | None) -> None:
            if path is not None:
                self.begin_load(path)

        self.app.push_screen(ModelsScreen(self.program.options.known_models, current=engine.model.path if engine else None), load)

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
