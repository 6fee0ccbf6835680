"""Start the program on the screen, and become another one when a restart was asked for."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from tui.app import XchatApp
from tui.options import AppOptions
from tui.terminal.terminal import Terminal
from tui.terminal.watchdog import Watchdog

if TYPE_CHECKING:
    from engine.config import Config
    from engine.presets.preset import Preset
    from engine.session.session import Session
    from tui.choices import KnownModel


def run_app(open_session: Callable[[], Awaitable[Session]], options: AppOptions, terminal: Terminal) -> int:
    """Run the screen until the person leaves; returns the exit code, or becomes another program when a restart was asked for."""
    gc.disable()  # until the chat screen stands: what is made before then stays anyway
    watchdog = Watchdog()
    app = XchatApp(open_session, options, terminal, watchdog=watchdog.arm)
    app.run(mouse=options.mouse)
    if app.restart_command:
        os.execv(app.restart_command[0], list(app.restart_command))
    watchdog.rest()
    return app.return_code or 0


def run_screen(options: AppOptions, config: Config, terminal: Terminal, *, preset: Callable[[], Preset], log: bool) -> int:
    """Run the screen on the engine of this process."""

    async def open_session() -> Session:
        start = await asyncio.to_thread(_import_start)
        return await start(await asyncio.to_thread(preset), config, log=log)

    def models() -> Sequence[KnownModel]:
        from tui.models.known_models import known_models

        return known_models(config.models.folders)

    return run_app(open_session, replace(options, known_models=models), terminal)


def _import_start() -> Callable[..., Awaitable[Session]]:
    """The engine's modules, loaded on a thread: the screen stands meanwhile."""
    from engine.session.open import open_session

    return open_session
