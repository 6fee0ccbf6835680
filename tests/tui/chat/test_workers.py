"""What fails in the background is reported, and the conversation goes on."""

from __future__ import annotations

import asyncio

import pytest

from engine.errors import XchatError
from tests.tui.program import Running, program

pytestmark = pytest.mark.slow


async def fail(error: Exception) -> None:
    await asyncio.sleep(0)
    raise error


def on_the_app(running: Running, error: Exception) -> None:
    running.app.run_worker(fail(error))


def on_the_screen(running: Running, error: Exception) -> None:
    running.chat.run_worker(fail(error), exclusive=True)


def on_a_widget(running: Running, error: Exception) -> None:
    running.chat.transcript.run_worker(fail(error))


def on_a_thread(running: Running, error: Exception) -> None:
    def raising() -> None:
        raise error

    running.chat.run_worker(raising, thread=True)


@pytest.mark.parametrize("start", [on_the_app, on_the_screen, on_a_widget, on_a_thread])
async def test_a_worker_that_fails_is_shown_and_logged_and_ends_nothing(start: object, capfd: pytest.CaptureFixture[str]) -> None:
    assert callable(start)
    async with program() as running:
        start(running, KeyError("odd"))
        await running.until_noticed("Internal error: KeyError: 'odd'")
        start(running, XchatError("The disk is full", "", "Make room"))
        await running.until_noticed("The disk is full")
        await running.send("Hi")
        await running.answered()
        await running.until("Hello there.")
        assert [type(error) for error in running.app.worker_errors] == [KeyError, XchatError]
        running.app.worker_errors.clear()
    logged = capfd.readouterr().err
    assert "KeyError: 'odd'" in logged
    assert "Traceback" in logged
    assert "The disk is full" not in logged
