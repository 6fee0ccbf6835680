"""Reads and sets options of this terminal's tmux server."""

from __future__ import annotations

import os
import subprocess

TIMEOUT_S = 2.0


def tmux_option(name: str) -> str | None:
    """Return the value of an option, set or default; None when tmux does not answer or does not know it."""
    for scope in ("-gsv", "-gv", "-gwv"):  # server, session, window
        answer = _tmux("show-options", scope, name)
        if answer is not None:
            return answer.strip()
    return None


def set_tmux_option(name: str, value: str | None) -> bool:
    """Set a server option, or reset it with None; returns whether tmux did."""
    arguments = ("set-option", "-s", "-u", name) if value is None else ("set-option", "-s", name, value)
    return _tmux(*arguments) is not None


def _tmux(*arguments: str) -> str | None:
    if not os.environ.get("TMUX"):
        return None
    try:
        done = subprocess.run(["tmux", *arguments], capture_output=True, timeout=TIMEOUT_S, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None
