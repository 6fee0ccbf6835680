"""The whole program on the fake backend, headless."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

from textual.pilot import Pilot

from engine.presets.preset import Preset
from engine.session.session import Session
from engine.store.reader import Reader
from engine.store.sqlite.pragmas import Profile
from engine.store.writer import Store
from tests.fake_backend import FakeBackend
from tests.tui.host import screen_text, wait_until
from tui.app import XchatApp
from tui.chat.screen import ChatScreen
from tui.options import AppOptions
from tui.terminal.terminal import read_terminal

MODEL = Path("/models/fake-Q4_K_M.gguf")


class WatchedApp(XchatApp):
    """The program, which keeps what its workers raised."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.worker_errors: list[BaseException] = []

    def worker_failed(self, error: BaseException) -> None:
        self.worker_errors.append(error)
        super().worker_failed(error)


class Running:
    """A running program and what tests ask of it."""

    def __init__(self, app: WatchedApp, pilot: Pilot[None], backend: FakeBackend) -> None:
        self.app = app
        self.pilot = pilot
        self.backend = backend

    @property
    def chat(self) -> ChatScreen:
        chat = self.app.chat
        assert chat is not None
        return chat

    @property
    def session(self) -> Session:
        return self.chat.context.live()

    @property
    def text(self) -> str:
        return screen_text(self.app)

    @property
    def notices(self) -> str:
        return "\n".join(f"{notice.title}: {notice.detail}\n{notice.hint}" for notice in self.app.past_notices)

    async def until(self, shown: str) -> None:
        """Wait until this is on the screen."""
        await wait_until(self.pilot, lambda: shown in self.text, f"{shown!r} on\n{self.text}")

    async def until_noticed(self, said: str) -> None:
        """Wait until a notice says this."""
        await wait_until(self.pilot, lambda: said in self.notices, f"notice {said!r} among\n{self.notices}")

    async def send(self, text: str) -> None:
        """Type and send."""
        self.chat.prompt.put(text)
        self.chat.prompt.action_send()
        await self.pilot.pause()

    async def answered(self) -> None:
        """Wait until no turn is under way and the screen knows."""
        await self.session.wait_idle()
        await wait_until(self.pilot, lambda: self.chat.status_line.status.activity == "", "the answer is shown")


@asynccontextmanager
async def program(
    backend: FakeBackend | None = None,
    *,
    size: tuple[int, int] = (120, 36),
    database: Path | None = None,
    ready: bool = True,
    alerts: Mapping[str, float] | None = None,
    environment: Mapping[str, str] = MappingProxyType({"TERM": "xterm-256color"}),
    **options: Any,
) -> AsyncIterator[Running]:
    """Run the program; with `ready`, once its model is loaded."""
    backend = backend or FakeBackend()

    async def open_session() -> Session:
        if database is None:
            return Session(backend, preset=Preset(), alerts=alerts)
        store = await Store.open(database, Profile.of("balanced", {}))
        return Session(backend, preset=Preset(), store=store, reader=await Reader.open(database), alerts=alerts)

    app = WatchedApp(open_session, AppOptions(**({"model": MODEL} | options)), read_terminal(dict(environment), encoding="utf-8"))
    async with app.run_test(size=size, notifications=True) as pilot:
        running = Running(app, pilot, backend)
        await wait_until(pilot, lambda: app.chat is not None and app.chat.context.session is not None, "the session is open")
        if ready:
            await wait_until(pilot, lambda: running.session.engine is not None, "the model is loaded")
            await wait_until(pilot, lambda: not running.chat.models.first_expected, "the screen knows that the model is loaded")
        try:
            yield running
        finally:
            await running.session.close()
    assert app.worker_errors == []
