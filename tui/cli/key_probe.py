"""What this terminal delivers for each key, and what xchat understands by it."""

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

INTRODUCTION = "Press keys to see what arrives; q or Ctrl+C ends.\n\n"


def watch() -> None:
    """Read the keyboard until q or Ctrl+C, and say for each key what arrived.

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
        raw[1] |= termios.OPOST  # lines of output still begin at the left
        termios.tcsetattr(keyboard, termios.TCSADRAIN, raw)
        sys.stdout.write(INTRODUCTION)
        sys.stdout.flush()
        while data := os.read(keyboard, READ_BYTES):
            keys = list(keys_in(data))
            for key in keys or ["nothing that xchat knows"]:
                sys.stdout.write(f"{shown(data):<24}{key:<28}{meaning(key)}\n")
            sys.stdout.flush()
            if keys in (["q"], ["ctrl+c"]):
                return
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)


def keys_in(data: bytes) -> Iterator[str]:
    """The keys that Textual makes of what arrived, in its spelling."""
    parser = XTermParser()
    for message in [*parser.feed(data.decode("utf-8", "replace")), *parser.feed("")]:
        if isinstance(message, events.Key):
            yield message.key


def shown(data: bytes) -> str:
    """The bytes as people write them in terminfo: ^[ for ESC, ^A for 1."""
    return "".join(
        f"^{chr(byte + 64)}" if byte < 32 else "^?" if byte == 127 else chr(byte) if byte < 127 else f"\\x{byte:02x}" for byte in data
    )


def meaning(key: str) -> str:
    """What xchat does with a key by default."""
    return "; ".join(described(action) for action in ACTIONS if key in action.keys)


def described(action: Action) -> str:
    """An action in a line."""
    return f"{action.sentence} ({action.scope.value})"
