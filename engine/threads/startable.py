"""Checks whether threads can be started, since libgomp ends the process when it can't start them."""

from __future__ import annotations

import threading

from engine.errors import EngineError


def require_threads(count: int) -> None:
    """Start `count` threads and end them again. Raises EngineError when memory or a limit does not allow them."""
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
            "Use fewer threads or a smaller n_ctx, or raise the limit.",
        ) from error
    finally:
        end.set()
        for thread in started:
            thread.join()
