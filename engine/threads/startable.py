"""Finds out whether threads can be started, before libgomp tries: where it can't, it ends the process."""

from __future__ import annotations

import threading

from engine.errors import EngineError


def require_threads(count: int) -> None:
    """Start so many threads at once, and end them again. Raises EngineError when memory or a limit does not allow them."""
    end = threading.Event()
    started: list[threading.Thread] = []
    try:
        for _ in range(count):
            thread = threading.Thread(target=end.wait, name="xchat-startable", daemon=True)
            thread.start()
            started.append(thread)
    except RuntimeError as error:
        raise EngineError(
            f"The engine can't start {count} threads",
            f"Memory or a limit of this process (ulimit -u, ulimit -v) allows {len(started)} more.",
            "Take fewer threads or a smaller n_ctx, or raise the limit.",
        ) from error
    finally:
        end.set()
        for thread in started:
            thread.join()
