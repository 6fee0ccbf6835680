"""Attaches the files of `@path` in the prompt, and counts their tokens while the user types and before sending."""

from __future__ import annotations

import asyncio
from pathlib import Path

from textual.content import Content
from textual.timer import Timer

from engine.attachments.attach import Attached, attach, largest, mentioned, mentions
from engine.errors import UsageError
from engine.text import drawable
from tui.chat.context import ChatContext

LOOK_S = 0.4
"""Pause of typing before the files are read."""
ANSWER_TOKENS = 128
"""Tokens of the window reserved for the answer and the template."""


class AttachingController:
    """Reads the files of a message, shows their tokens, and refuses those that don't fit."""

    def __init__(self, context: ChatContext) -> None:
        self._context = context
        self._timer: Timer | None = None
        self._named: tuple[str, ...] = ()
        """The paths read last."""

    def changed(self) -> None:
        """Read the files of the prompt after a pause."""
        prompt = self._context.prompt
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        named = tuple(mentions(prompt.text)) if "@" in prompt.text else ()
        if named == self._named:
            return
        if named:
            self._timer = self._context.screen.set_timer(LOOK_S, self._look)
        else:
            self._named = ()
            prompt.border_subtitle = ""

    def _look(self) -> None:
        self._named = tuple(mentions(self._context.prompt.text))
        self._context.run_worker(self._show(self._context.prompt.whole), group="attach", exclusive=True)

    async def _show(self, text: str) -> None:
        if self._context.session is None:
            return
        attached = await asyncio.to_thread(attach, text, Path.cwd())
        words = []
        if attached.files:
            about, counts = await self._count(attached)
            room = self._room
            of = f" of {room:,}" if room is not None else ""
            fits = "" if room is None or sum(counts) <= room else ": too many"
            files = f"{len(attached.files)} files" if len(attached.files) > 1 else attached.files[0].name
            words.append(f"{files}: {about}{sum(counts):,} tokens{of}{fits}")
        if attached.left_out:
            words.append(f"{len(attached.left_out)} left out")
        if tuple(mentions(self._context.prompt.text)) == self._named:
            self._context.prompt.border_subtitle = Content(drawable(", ".join(words)))

    @property
    def _room(self) -> int | None:
        """Return the most tokens of a message; None while no model is loaded."""
        engine = self._context.live().engine
        return engine.n_ctx - ANSWER_TOKENS if engine is not None else None

    async def _count(self, attached: Attached) -> tuple[str, list[int]]:
        """Count the tokens of each file; returns `about ` with estimates where the engine can't."""
        counts = await self._context.live().slot.count_tokens(attached.fences)
        if counts is None:
            return "about ", [len(fence.encode()) // 4 for fence in attached.fences]
        return "", list(counts)

    async def whole(self, text: str) -> str:
        """Return the message with its files. Raises UsageError for a file that can't be attached, and when they don't fit."""
        attached = await asyncio.to_thread(attach, text, Path.cwd())
        if attached.left_out:
            more = len(attached.left_out) - 1
            detail = attached.left_out[0] + (f" And {more} more." if more else "")
            raise UsageError("Not sent: a file can't be attached", detail, "Remove it from the message, or name other files.")
        room = self._room
        if attached.files and room is not None:
            about, counts = await self._count(attached)
            if sum(counts) > room:
                names = largest([file.name for file in attached.files], counts)
                detail = f"They have {about}{sum(counts):,} tokens, and {room:,} fit: {names}"
                raise UsageError("Not sent: the files don't fit into the context", detail, "Attach fewer, or raise n_ctx", "change_setting")
        return attached.whole

    def attach_file(self, path: str) -> None:
        """Put `@path` into the prompt."""
        prompt = self._context.prompt
        prompt.put(f"{prompt.text.rstrip()} {mentioned(path)} ".lstrip())
        prompt.focus()
