"""Show the input that this terminal sends for each key, and its action."""

from __future__ import annotations

import os
import sys
import termios
import tty
from collections.abc import Iterator

from textual import events
from textual._xterm_parser import XTermParser

from engine.errors import UsageError
from tui.actions.registry import ACTIONS, Action

READ_BYTES = 1024

INTRODUCTION = "Press keys to see what the terminal sends. q or Ctrl+C ends.\n\n"


def watch() -> None:
    """Read the keyboard until q or Ctrl+C, and print the input, key and action of each.

    Raises:
        UsageError: Standard input is not a terminal.
    """
    if not sys.stdin.isatty():
        raise UsageError("This is not a terminal", "", "`xchat keys --list` works anywhere.")
    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)
    try:
        tty.setraw(keyboard)
        raw = termios.tcgetattr(keyboard)
        raw[1] |= termios.OPOST  # keep newline translation of output
        termios.tcsetattr(keyboard, termios.TCSADRAIN, raw)
        sys.stdout.write(INTRODUCTION)
        sys.stdout.flush()
        while data := os.read(keyboard, READ_BYTES):
            keys = list(keys_in(data))
            for key in keys or ["unknown"]:
                sys.stdout.write(f"{shown(data):<24}{key:<28}{meaning(key)}\n")
            sys.stdout.flush()
            if keys in (["q"], ["ctrl+c"]):
                return
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)


def keys_in(data: bytes) -> Iterator[str]:
    """Parse input into Textual's key names."""
    parser = XTermParser()
    for message in [*parser.feed(data.decode("utf-8", "replace")), *parser.feed("")]:
        if isinstance(message, events.Key):
            yield message.key


def shown(data: bytes) -> str:
    """Format bytes as in terminfo: ^[ for ESC, ^A for 1."""
    return "".join(
        f"^{chr(byte + 64)}" if byte < 32 else "^?" if byte == 127 else chr(byte) if byte < 127 else f"\\x{byte:02x}" for byte in data
    )


def meaning(key: str) -> str:
    """Default actions of a key."""
    return "; ".join(described(action) for action in ACTIONS if key in action.keys)


def described(action: Action) -> str:
    """Format an action with its scope."""
    return f"{action.sentence} ({action.scope.value})"
