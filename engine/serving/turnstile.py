"""Lets requests choose the model: one request at a time is prepared, so that none is sent to another model than it was made for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from engine.model_ref import ModelRef
from engine.presets.preset import Preset
from engine.serving.served import Served

Find = Callable[[str, ModelRef, Preset], tuple[ModelRef, Preset] | None]
"""Finds the model and the settings that a name means, from those that are loaded; None for a name that means neither. Reads files."""
MOST_NAME = 200


class _Named(msgspec.Struct):
    model: str = ""


class Turnstile:
    """Passed by each request of a server whose requests may choose the model. On the event loop."""

    def __init__(self, served: Served, find: Find) -> None:
        self._served = served
        self._find = find
        self._lock = asyncio.Lock()

    async def enter(self, body: bytes) -> Callable[[], None]:
        """Wait until the model that a request names is loaded; the caller calls what is returned when the request is with the engine.

        The engine finishes the answers under way before it loads. A name that means nothing here leaves the loaded model.

        Raises:
            Refusal: No model is loaded.
            XchatError: It can't be loaded; the one before is back.
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
    """The model that a body names; empty where it names none."""
    try:
        return msgspec.json.decode(body, type=_Named).model.strip()
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return ""
