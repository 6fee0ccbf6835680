"""Waits on the main thread for work of a compute thread; an interrupt is seen at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from typing import Final, TypeVar

from engine.llama.backend import STACK_BYTES

_STEP_S: Final = 0.5
"""CPython 3.11 sees a signal that arrives between its last check and a lock's wait only when the wait ends: none is endless."""

Returned = TypeVar("Returned")


def result_of(future: Future[Returned], ended: Callable[[], bool] = lambda: False) -> Returned:
    """Wait for the result; raises what the work raised, and KeyboardInterrupt, also when `ended` and no result follows at once."""
    while not future.done():
        if ended() and not wait_for([future], _STEP_S).done:
            raise KeyboardInterrupt
        wait_for([future], _STEP_S)
    return future.result()


def on_compute_thread(work: Callable[[], Returned], interrupted: Callable[[], None]) -> Returned:
    """Run `work` on a compute thread of its own, for a process without a backend.

    SIGINT calls `interrupted`, and `work` is waited for; once more raises KeyboardInterrupt.
    """
    future: Future[Returned] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - the edge of the thread: raised again below
            future.set_exception(error)

    usual = threading.stack_size(STACK_BYTES)
    try:
        threading.Thread(target=run, name="xchat-compute", daemon=True).start()
        threading.stack_size(usual)
        return result_of(future)
    except KeyboardInterrupt:
        interrupted()
        return result_of(future)
