"""Saves a conversation's KV state across runs and models when that is cheaper than prefilling again, and restores it.

The engine compares the tokens of a restored state with each prompt, so a stale state, or one of another branch, costs only the time to
read it.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable
from typing import Final

from engine.backend import Backend
from engine.events import Event, SessionOpened, TurnFinished
from engine.host.topology import read_room
from engine.kv_state import HeldState, StateKey
from engine.models.kv_files import KvFolder, worth_saving

LEAST_TOKENS: Final = 256
"""Shorter conversations are prefilled again."""
DISK_BYTES_PER_S: Final = 200e6
"""Assumed speed of the disk."""
LONGEST_WRITE_S: Final = 5.0
"""Limit for saving at the end of the program."""
MEMORY_SHARE: Final = 4
"""Divisor: copying a state may use 1 / MEMORY_SHARE of the free memory."""


class KvStates:
    """Saves and restores the KV states of conversations. Lives on the event loop's thread."""

    def __init__(self, backend: Callable[[], Backend], folder: Callable[[], KvFolder] = KvFolder) -> None:
        """`backend` returns the engine in use; `folder` is made on a thread, when it is first needed."""
        self._backend = backend
        self._make_folder = folder
        self._writing: set[asyncio.Task[bool]] = set()
        self.held = 0
        """Tokens of the conversation last known to be in the KV cache."""

    def handle(self, event: Event) -> None:
        """Handle an event of the session."""
        if isinstance(event, TurnFinished):
            self.held = event.turn.timings.context_used
        elif isinstance(event, SessionOpened):
            self.held = 0

    def keep(self, session_id: int, prefill_per_s: float | None) -> None:
        """Save the engine's current state for a conversation, in the background, if that is cheaper than prefilling it again."""
        backend = self._backend()
        if prefill_per_s is None or not backend.capabilities.kv_state:
            return
        most = int(min(LONGEST_WRITE_S * DISK_BYTES_PER_S, read_room().available // MEMORY_SHARE))
        taken = asyncio.wrap_future(backend.take_state(least_tokens=LEAST_TOKENS, most_bytes=most))
        task = asyncio.create_task(self._write(session_id, taken, prefill_per_s))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def restore(self, session_id: int, is_current: Callable[[], bool]) -> None:
        """Restore the saved state of a conversation for the loaded model."""
        backend = self._backend()
        key = backend.state_key if backend.capabilities.kv_state else None
        if key is None:
            return
        saved = await asyncio.to_thread(lambda: self._make_folder().load(state_name(session_id, key), key))
        if saved is None:
            return
        held = await asyncio.wrap_future(backend.put_state(HeldState(key, saved.tokens, saved.state)))
        if is_current():
            self.held = max(self.held, held)

    async def written(self) -> None:
        """Return when every state is on the disk."""
        while self._writing:
            await asyncio.wait(self._writing)

    async def forget(self, session_id: int) -> None:
        """Delete the saved states of a conversation."""
        await asyncio.to_thread(forget_states, session_id, self._make_folder())

    async def forget_missing(self, exists: Callable[[int], Awaitable[bool]]) -> None:
        """Delete the saved states of deleted conversations."""
        folder = await asyncio.to_thread(self._make_folder)
        for session_id in {session_of(name) for name in await asyncio.to_thread(folder.names)} - {None}:
            if session_id is not None and not await exists(session_id):
                await asyncio.to_thread(forget_states, session_id, folder)

    async def _write(self, session_id: int, taken: asyncio.Future[HeldState | None], prefill_per_s: float) -> bool:
        held = await taken
        if held is None or not worth_saving(
            n_tokens=len(held.tokens),
            state_bytes=len(held.state),
            prefill_tokens_per_s=prefill_per_s,
            disk_bytes_per_s=DISK_BYTES_PER_S,
        ):
            return False
        name = state_name(session_id, held.key)
        return await asyncio.to_thread(lambda: self._make_folder().save(name, held.key, held.tokens, held.state))


def state_name(session_id: int, key: StateKey) -> str:
    """Return the name of a state, one for each conversation and model."""
    return f"{session_id}-{zlib.crc32(key.model.encode()):08x}"


def session_of(name: str) -> int | None:
    """Return the conversation of a state; None for another name."""
    number, _, model = name.partition("-")
    return int(number) if model and number.isdecimal() else None


def forget_states(session_id: int, folder: KvFolder) -> None:
    """Delete the states of a conversation, of all models. Blocking."""
    for name in folder.names():
        if session_of(name) == session_id:
            folder.delete(name)
