"""Choice of the model by requests: one request at a time is prepared, so that each is sent to the model it was made for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from engine.model_ref import ModelRef
from engine.presets.preset import Preset
from engine.serving.served import Served

Find = Callable[[str, ModelRef, Preset], tuple[ModelRef, Preset] | None]
"""Returns the model and the settings of a name, given the loaded ones; None for an unknown name. Reads files."""
MOST_NAME = 200


class _Named(msgspec.Struct):
    model: str = ""


class Turnstile:
    """A lock passed by each request of a server whose requests may choose the model. On the event loop."""

    def __init__(self, served: Served, find: Find) -> None:
        self._served = served
        self._find = find
        self._lock = asyncio.Lock()

    async def enter(self, body: bytes) -> Callable[[], None]:
        """Wait until the model that a request names is loaded; return a function to call once the engine has the request.

        The engine finishes the answers under way before it loads. An unknown name keeps the loaded model.

        Raises:
            Refusal: No model is loaded.
            XchatError: It can't be loaded; the previous one is restored.
        """
        await self._lock.acquire()
        left = False

        def leave() -> None:
            nonlocal left
            if not left:
                left = True
                self._lock.release()

        try:
            await self._switch(_name_in(body))
        except BaseException:
            leave()
            raise
        return leave

    async def _switch(self, name: str) -> None:
        served = self._served
        info = served.info
        if not name or len(name) > MOST_NAME or name in served.names:
            return
        found = await asyncio.to_thread(self._find, name, info.model.ref, served.preset)
        if found is None or found == (info.model.ref, served.preset):
            return
        ref, preset = found
        await asyncio.wrap_future(served.backend.load(ref, preset, lambda _event: None))
        served.use(preset)


def _name_in(body: bytes) -> str:
    """Return the model named by a body; empty where it names none."""
    try:
        return msgspec.json.decode(body, type=_Named).model.strip()
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return ""
