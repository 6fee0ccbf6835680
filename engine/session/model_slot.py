"""The model slot of a session: the loaded model, the settings in use, and the thread counts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Literal

import msgspec

from engine.backend import Backend, BackendEvent, Capabilities, EngineInfo, PoolNow, ThreadsNow
from engine.errors import EngineError, UsageError, XchatError
from engine.events import Event, ModelFailed, ModelLoading, ModelReady, Notice, PresetChanged
from engine.model_ref import ModelRef
from engine.models.fit import TooLargeError
from engine.presets.preset import AUTO_STREAM_BATCH, Preset
from engine.presets.settings import difference, with_values
from engine.session.engines import make_backend
from engine.session.model_finder import ModelFinder


class ModelSlot:
    """Loads models, each on its engine, and changes settings, one at a time. Lives on the event loop's thread."""

    def __init__(
        self,
        backend: Backend,
        preset: Preset,
        *,
        finder: ModelFinder,
        emit: Callable[[Event], None],
        paced: Callable[[int, str], None],
    ) -> None:
        """`paced` is called with each tokens-per-chunk number, and the reason when `auto` chose it."""
        self.backend = backend
        self.preset = preset
        self.engine: EngineInfo | None = None
        self.stream_batch = _batch_of(preset)
        self._finder = finder
        self._emit = emit
        self._paced = paced
        self._loads = 0
        self._loading_on = backend
        self._dead: list[Backend] = []
        """Engines that died and were replaced; they can't be made again in this process."""
        paced(self.stream_batch, "")

    async def count_tokens(self, texts: Sequence[str]) -> tuple[int, ...] | None:
        """Count the tokens of each text, once no turn is in progress; None where the engine can't."""
        try:
            return await asyncio.wrap_future(self.backend.count_tokens(texts))
        except XchatError:
            return None

    @property
    def capabilities(self) -> Capabilities:
        """What the engine offers beyond answering messages."""
        return self.backend.capabilities

    @property
    def loading(self) -> bool:
        """Whether a model is being loaded, or a context made."""
        return self._loads > 0

    @property
    def pool_now(self) -> PoolNow | None:
        """Parallel answers; None where the engine makes one after the other."""
        return self.backend.pool_now

    @property
    def threads_now(self) -> ThreadsNow | None:
        """The thread counts in use and why; None when nothing is loaded, or the engine has no `threads`."""
        return self.backend.threads_now if self.capabilities.threads else None

    def ready(self) -> EngineInfo:
        """Return the engine, if it can answer. Raises EngineError when there is no model, it is being loaded, or the engine is dead."""
        if self.backend.dead is not None:
            raise self.backend.dead
        if self.loading:
            raise EngineError("A model is being loaded", "", "Send it again when it is ready.")
        if self.engine is None:
            raise EngineError("No model is loaded", "", "Start with `xchat MODEL.gguf`, or pick one.", "models")
        return self.engine

    async def load(
        self, ref: ModelRef, preset: Preset, on_event: Callable[[BackendEvent], None], *, force: bool, loaded: Callable[[], Awaitable[None]]
    ) -> EngineInfo:
        """Load a model; what is loaded after a failure is in `engine`. `loaded` runs before `ModelReady` is emitted.

        Raises ModelError, TooLargeError, EngineError, asyncio.CancelledError as `Session.load`.
        """
        before_load = self.preset
        self._loads += 1
        self._emit(ModelLoading(ref, 0.0))
        try:
            backend = self._loading_on = await self._backend_for(ref)
            engine = await asyncio.wrap_future(backend.load(ref, preset, on_event, force=force))
            before, self.backend, self.engine = self.backend, backend, engine
            if before is not backend:
                await self._retire(before)
            await loaded()
        except TooLargeError as error:
            known = await asyncio.to_thread(self._finder.with_smaller_quants, error, ref, preset)
            self._failed(ref, known)
            raise known from error
        except XchatError as error:
            self._failed(ref, error)
            raise
        except asyncio.CancelledError:
            self._failed(ref, EngineError("The load was cancelled"))
            raise
        finally:
            self._loads -= 1
            unused, self._loading_on = self._loading_on, self.backend
            if unused is not self.backend:
                await asyncio.to_thread(unused.close)
        self._use_loaded(preset, before_load)
        self._emit(ModelReady(self.engine))
        for sentence in self.engine.notices:
            self._emit(Notice("warning", sentence))
        self._warn_of_fewer_threads()
        return self.engine

    def _use_loaded(self, preset: Preset, before: Preset) -> None:
        """Set the preset of the loaded model, with the settings that were changed since `before`, while it was loading."""
        changed = {change.key: change.after for change in difference(before, self.preset)}
        try:
            wanted = with_values(preset, changed)
        except UsageError as error:
            self._emit(Notice("warning", f"{error.title}: what was changed while the model was loading is not applied"))
            wanted = preset
        if wanted != preset:
            self.backend.apply_hot(wanted)
        if wanted != self.preset:
            self.use(wanted)

    def cancel_load(self) -> None:
        """Cancel the current load."""
        self._loading_on.cancel_load()

    async def _backend_for(self, ref: ModelRef) -> Backend:
        """Return the engine in use, or a new one when that does not run models of this kind."""
        if self.backend.runs(ref):
            return self.backend
        for backend in self._dead:
            if backend.runs(ref) and backend.dead is not None:
                raise backend.dead
        return await asyncio.to_thread(make_backend, ref)

    async def _retire(self, before: Backend) -> None:
        """Close the engine that was in use before the one that is now."""
        if before.dead is not None:
            self._dead.append(before)
        self.pace(self.stream_batch)
        await asyncio.to_thread(before.close)

    def _failed(self, ref: ModelRef, error: XchatError) -> None:
        self.engine = self.backend.loaded
        self._emit(ModelFailed(ref, error, self.engine))

    def _warn_of_fewer_threads(self) -> None:
        """Warn when the preset asks for more threads than this process may use."""
        asked, now = self.preset.threads, self.threads_now
        if isinstance(asked, int) and now is not None and now.threads < asked:
            self._emit(
                Notice("warning", f"Decoding with {now.threads} threads: the preset asks for {asked}, more than this process may use")
            )

    def apply_hot(self, preset: Preset) -> None:
        """Apply a preset that differs in hot settings only, from the next token on."""
        self.backend.apply_hot(preset)
        self.use(preset)

    def use(self, preset: Preset) -> None:
        """Set the preset; the engine has its settings already."""
        if preset.stream_batch != self.preset.stream_batch:
            self.stream_batch = _batch_of(preset)
            self._paced(self.stream_batch, "")
        self.preset = preset
        self._emit(PresetChanged(preset))

    def set_stream_batch(self, value: int | Literal["auto"]) -> None:
        """Change `stream_batch`, also during an answer."""
        self.use(msgspec.structs.replace(self.preset, stream_batch=value))
        self.pace(_batch_of(self.preset))

    def pace(self, batch: int, reason: str = "") -> None:
        """Set the tokens per chunk, with the reason when `auto` chose it."""
        self.stream_batch = batch
        if self.capabilities.stream_batch:
            self.backend.set_stream_batch(batch)
        self._paced(batch, reason)


def _batch_of(preset: Preset) -> int:
    return AUTO_STREAM_BATCH if preset.stream_batch == "auto" else preset.stream_batch
