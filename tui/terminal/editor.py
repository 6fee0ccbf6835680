"""Edits a text in the user's own editor on the terminal. Imports no Textual."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from engine.atomic_write import remove_left
from engine.errors import UsageError

LONGEST = 4_000_000
"""Longest edited text, in bytes."""
_PREFIX, _SUFFIX = "message-", ".md"


def editor_command(environ: Mapping[str, str]) -> list[str]:
    """Return the user's editor: `VISUAL`, else `EDITOR`, else `vi`; blank ones count as unset.

    Raises UsageError when it can't be split into words, or the first is empty.
    """
    command = next((text for name in ("VISUAL", "EDITOR") if (text := environ.get(name, "").strip())), "vi")
    try:
        words = shlex.split(command)
        if not words[0]:
            raise ValueError("its name is empty")
        return words
    except ValueError as error:
        raise UsageError(f"The editor can't be started: {command}", str(error), "Set VISUAL or EDITOR.") from error


async def edit_text(suspend: Callable[[], AbstractContextManager[None]], text: str, folder: Path) -> str:
    """Let the user edit a text in a private file in `folder`; return the edited text.

    `suspend` (of the app) releases the terminal. Raises UsageError when the editor can't be started or fails, or the file can't be written
    or read.
    """
    command = editor_command(os.environ)
    try:
        path = await asyncio.to_thread(_private_file, text, folder)
    except OSError as error:
        raise UsageError(
            "The message can't be edited", f"{folder} can't be written: {error.strerror}", "Free space on the disk."
        ) from error
    try:
        with suspend():
            # Ctrl+C in the editor reaches this process too.
            before = signal.signal(signal.SIGINT, lambda *_: None)
            try:
                ended = await asyncio.to_thread(_run, [*command, str(path)])
            finally:
                signal.signal(signal.SIGINT, before)
        if ended:
            raise UsageError(f"{Path(command[0]).name} ended with status {ended}", "The message is unchanged")
        return await asyncio.to_thread(_read, path)
    except OSError as error:
        raise UsageError(f"{command[0]} can't be started", error.strerror or str(error), "Set VISUAL or EDITOR.") from error
    finally:
        await asyncio.to_thread(path.unlink, missing_ok=True)


def remove_left_messages(folder: Path) -> None:
    """Remove files of edited messages in `folder` that killed programs left."""
    remove_left(folder, _PREFIX, rf"-\w+{re.escape(_SUFFIX)}")


def _private_file(text: str, folder: Path) -> Path:
    handle, name = tempfile.mkstemp(prefix=f"{_PREFIX}{os.getpid()}-", suffix=_SUFFIX, dir=folder)
    with open(handle, "w", encoding="utf-8", errors="replace") as file:
        file.write(text)
    return Path(name)


def _run(command: list[str]) -> int:
    """Run a program on the terminal; this process's own output goes to the log."""
    with open("/dev/tty", "r+b", buffering=0) as tty:
        return subprocess.run(command, stdin=tty, stdout=tty, stderr=tty, check=False).returncode


def _read(path: Path) -> str:
    with path.open("rb") as file:
        data = file.read(LONGEST + 1)
    if len(data) > LONGEST:
        raise UsageError("The edited message is too long", f"It has more than {LONGEST:,} bytes")
    return data.decode("utf-8", "replace").removesuffix("\n")
