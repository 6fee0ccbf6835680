"""Waits on the main thread for a compute thread's work; an interrupt takes effect at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from typing import Final, TypeVar

from engine.llama.backend import STACK_BYTES

_STEP_S: Final = 0.5
"""Longest wait for a lock: CPython 3.11 handles a signal that arrives just before the wait only after it."""

Returned = TypeVar("Returned")


def result_of(future: Future[Returned], ended: Callable[[], bool] = lambda: False) -> Returned:
    """Wait for the result; raises the work's exceptions, and KeyboardInterrupt, also when `ended` is set without a result."""
    while not future.done():
        if ended() and not wait_for([future], _STEP_S).done:
            raise KeyboardInterrupt
        wait_for([future], _STEP_S)
    return future.result()


def on_compute_thread(work: Callable[[], Returned], interrupted: Callable[[], None]) -> Returned:
    """Run `work` on a compute thread of its own, for a process without a backend.

    The first SIGINT calls `interrupted` and waits for `work`; the second raises KeyboardInterrupt.
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
