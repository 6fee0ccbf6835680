"""Run the Textual app, and restart the program when asked to."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import TYPE_CHECKING, Any

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
    """Run the app until the user quits; returns the exit code, or replaces the process for a restart."""
    gc.disable()  # until the chat screen is ready, since earlier objects live on anyway
    watchdog = Watchdog()
    app = XchatApp(open_session, options, terminal, watchdog=watchdog.arm)
    app.run(mouse=options.mouse)
    if app.restart_command:
        os.execv(app.restart_command[0], list(app.restart_command))
    watchdog.disarm()
    return app.return_code or 0


def run_screen(
    options: AppOptions, config: Config, terminal: Terminal, *, preset: Callable[[], Preset], log: bool, parallel: int | None = None
) -> int:
    """Run the app with an engine in this process, with `parallel` answers, or its usual number, where the preset leaves that open."""

    async def open_session() -> Session:
        start = await asyncio.to_thread(_import_start)
        wide = {} if parallel is None else {"parallel": parallel}
        return await start(await asyncio.to_thread(preset), config, log=log, **wide)

    def models() -> Sequence[KnownModel]:
        from tui.models.known_models import known_models

        return known_models(config.models.folders, config.engines)

    def ask_engines() -> Future[Any]:
        from engine.remote.listing import refresh

        return refresh(config.engines)

    asking = ask_engines if config.engines else None
    return run_app(open_session, replace(options, known_models=models, ask_engines=asking, log=log), terminal)


def _import_start() -> Callable[..., Awaitable[Session]]:
    """Import the engine's modules. Called on a thread, after the first frame."""
    from engine.session.open import open_session

    return open_session
