"""The requests on the screen, and a server beside a chat."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest
from textual.widgets import OptionList, Static

from engine.errors import EngineError
from engine.guide import builtin
from engine.llama.backend import LlamaBackend
from engine.model_ref import BuiltInModel
from engine.serving.live import RequestNow, ServerNow, State
from tests.factories import turn_record
from tests.fake_backend import FakeBackend
from tests.tui.host import Host, screen_text, wait_until
from tests.tui.program import program
from tui.drawing.braille import Glyphs
from tui.serving.request import described
from tui.serving.requests import RequestsScreen

WAITING = RequestNow(2, "key\x1b 1", "/v1/messages", State.WAITING, 0, 70.0, 70.0)
RUNNING = RequestNow(1, "10.0.0.7", "/v1/chat/completions", State.DECODING, 0, 2_000.0, 12.0, 1_000, 990, 31, 250.0, 17.5)
NOW = ServerNow(
    "serving", "model\x1b[31m", 8_192, 8, 61.0, 42.5, tuple(range(60)), 1, 1, 8_192, 1_024, 3, 1, 4_321, 250.0, 900.0, (WAITING, RUNNING)
)


class Server:
    """Answers with one state, and keeps what it was asked to do."""

    def __init__(self, now: ServerNow | None = NOW) -> None:
        self.state = now
        self.asked = list[Any]()

    async def now(self) -> ServerNow:
        if self.state is None:
            raise EngineError("The server has ended")
        return self.state

    async def pause(self, paused: bool) -> None:
        self.asked.append(("pause", paused))

    async def drain(self, draining: bool) -> None:
        self.asked.append(("drain", draining))

    async def kick(self, number: int) -> None:
        self.asked.append(("kick", number))


def screen(server: Server, opened: list[RequestNow]) -> RequestsScreen:
    async def open_it(request: RequestNow) -> None:
        opened.append(request)

    return RequestsScreen("http://127.0.0.1:8080", server, Static("the panel"), opened=open_it, glyphs=Glyphs.BRAILLE)


@pytest.mark.parametrize("size", [(40, 12), (80, 24), (120, 40)])
async def test_the_table_shows_what_fits_and_the_keys_ask_the_server(size: tuple[int, int]) -> None:
    app, server, opened = Host(), Server(), list[RequestNow]()
    async with app.run_test(size=size) as pilot:
        await app.push_screen(screen(server, opened))
        await wait_until(pilot, lambda: "decoding" in screen_text(app), "the table")
        text = screen_text(app)
        assert "\x1b" not in text
        assert ("the panel" in text) is (size[0] >= 100)
        assert ("990" in text and "250 ms" in text) is (size[0] >= 80)
        await pilot.press("down", "enter", "k", "p", "d")
        await wait_until(pilot, lambda: len(server.asked) == 3, "the keys")
        assert server.asked == [("kick", 1), ("pause", True), ("drain", True)]
        assert opened == [RUNNING]


async def test_the_selection_stays_with_its_request_while_others_come_and_end() -> None:
    app, server, opened = Host(), Server(), list[RequestNow]()
    many = tuple(msgspec.structs.replace(RUNNING, number=number) for number in range(60, 0, -1))
    server.state = msgspec.structs.replace(NOW, requests=many)
    async with app.run_test(size=(80, 24)) as pilot:
        await app.push_screen(screen(server, opened))
        await wait_until(pilot, lambda: "decoding" in screen_text(app), "the table")
        await pilot.press(*["down"] * 40)
        server.state = msgspec.structs.replace(NOW, state="paused", requests=(msgspec.structs.replace(RUNNING, number=61), *many[:-1]))
        await wait_until(pilot, lambda: "paused" in screen_text(app), "the next state")
        assert app.screen.query_one(OptionList).highlighted == 41
        await pilot.press("k", "p")
        await wait_until(pilot, lambda: len(server.asked) == 2, "the keys")
        assert server.asked == [("kick", 20), ("pause", False)]


async def test_a_server_that_has_ended_says_so() -> None:
    app = Host()
    async with app.run_test(size=(80, 24)) as pilot:
        await app.push_screen(screen(Server(None), []))
        await wait_until(pilot, lambda: "The server has ended" in screen_text(app), "the error")
        await pilot.press("k", "p", "d", "enter", "escape")
        assert not isinstance(app.screen, RequestsScreen)


@pytest.mark.parametrize("width", [20, 60, 100])
def test_a_request_is_shown_as_a_turn_whose_steps_follow_each_other(width: int) -> None:
    lines = described(RUNNING, turn_record(), ["Waiting took most of it\x1b."], width).plain.splitlines()
    bars = [(line.index("█"), line.rindex("█")) for line in lines if "█" in line]
    assert bars == sorted(bars)
    assert len(bars) == 2
    assert "\x1b" not in "".join(lines)
    assert "once it has ended" in described(WAITING, None, [], width).plain


@pytest.mark.slow
async def test_an_engine_that_can_not_be_served_is_refused_and_so_is_nonsense() -> None:
    async with program(FakeBackend()) as run:
        for words, said in (
            ("/serve", "This engine can't be served"),
            ("/serve 8o8o", "Give a port"),
            ("/serve off", "There is no server"),
        ):
            await run.send(words)
            await run.until_noticed(said)


@pytest.mark.slow
async def test_a_chat_serves_its_model_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.serving.beside.database_path", lambda: tmp_path / "xchat.db")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        backend: Any = LlamaBackend(parallel=4, file_of=builtin.file_of, trusted=builtin.is_ours)
        async with program(backend, model=BuiltInModel("Q8_0"), database=tmp_path / "xchat.db") as run:
            await run.send(f"/serve {port}")
            await run.until_noticed("can't listen")
            taken.close()
            await run.send(f"/serve {port}")
            await run.until("No requests yet")
            body = {"messages": [{"role": "user", "content": "What is a token?"}], "max_tokens": 20}
            async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as http:
                answers = await asyncio.gather(*(http.post("/v1/chat/completions", json=body) for _ in range(3)))
                assert [answer.status_code for answer in answers] == [200] * 3
                await run.until("done")
                await run.pilot.press("enter")
                await run.until("Where its time went")
                await run.pilot.press("escape", "escape")
                await run.send("/set temperature 0.5")
                await run.send("What is a token?")
                await run.answered()
                assert run.session.branch[-1].text
                props = (await http.get("/props")).json()
                assert props["default_generation_settings"]["params"]["temperature"] == 0.5
                await run.send("/serve off")
                await run.until_noticed("The server is stopping")
                await wait_until(run.pilot, lambda: run.chat.status_line.status.serving == "", "the status")
