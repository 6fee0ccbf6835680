"""Copies text from a local or remote terminal: through tmux's buffer, the terminal's clipboard, or a file."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

OSC52_LIMIT = 74_000
"""Longest sequence in characters: xterm and others silently drop longer ones."""
TMUX_TIMEOUT_S = 2.0
FILE_NAME = "copied.txt"


class Way(Enum):
    """The way a text was copied."""

    TMUX = auto()
    TERMINAL = auto()
    FILE = auto()


@dataclass(frozen=True, slots=True)
class Copied:
    """Result of copying."""

    way: Way
    sentence: str


def osc52(text: str) -> str:
    """Return the escape sequence that copies `text` to the terminal's clipboard."""
    return f"\x1b]52;c;{base64.b64encode(text.encode('utf-8', 'replace')).decode('ascii')}\x07"


async def _into_tmux(text: str) -> bool:
    """Copy `text` to tmux's buffer and to the clipboard of the outer terminal (`-w`)."""
    try:
        process = await asyncio.create_subprocess_exec(
            "tmux",
            "load-buffer",
            "-w",
            "-",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError:
        return False
    try:
        await asyncio.wait_for(process.communicate(text.encode("utf-8", "replace")), TMUX_TIMEOUT_S)
    except TimeoutError:
        process.kill()
        await process.wait()
        return False
    return process.returncode == 0


def _into_file(text: str, folder: Path) -> Path:
    path = folder / FILE_NAME
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8", errors="replace") as file:
        file.write(text)
    return path


async def copy(text: str, *, write: Callable[[str], None], folder: Path, environ: Mapping[str, str]) -> Copied:
    """Copy `text` by the best available way; `write` sends to the terminal; `folder`: for the file of a text that is too long for it.

    Raises:
        OSError: The text is too long for the terminal, and the file can't be written.

    """
    size = f"{len(text):,} {'character' if len(text) == 1 else 'characters'}"
    if environ.get("TMUX") and await _into_tmux(text):
        return Copied(Way.TMUX, f"{size} to tmux's buffer and the terminal's clipboard; paste with the tmux prefix and ]")
    sequence = osc52(text)
    if len(sequence) <= OSC52_LIMIT and environ.get("TERM_PROGRAM") != "Apple_Terminal":
        write(sequence)
        return Copied(Way.TERMINAL, f"{size} to the terminal's clipboard (OSC 52)")
    path = await asyncio.to_thread(_into_file, text, folder)
    return Copied(
        Way.FILE, f"{size} to {path}, since {'it is too long for' if len(sequence) > OSC52_LIMIT else 'this terminal has no'} OSC 52"
    )
