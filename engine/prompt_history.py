"""The file of sent messages, for the prompt's history: a JSON string per line, readable by its owner only.

Blocking.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Collection
from pathlib import Path

import msgspec

from engine import paths
from engine.atomic_write import write_atomically
from engine.regular_file import open_regular, read_regular

KEPT = 1000
"""Most messages kept; older ones are dropped."""
LONGEST = 100_000
"""Longest message that is saved, in characters."""


def history_path() -> Path:
    """Return the path of the file."""
    return paths.state_dir() / "prompts.jsonl"


def read_prompts(path: Path) -> list[str]:
    """Read the last messages, oldest first; none when the file is missing or can't be read. Truncates a long file."""
    lines = _lines(path)
    prompts = [prompt for prompt in map(_parse, lines) if prompt]
    if len(lines) > 2 * KEPT:
        with contextlib.suppress(OSError):
            _write(path, prompts[-KEPT:])
    return prompts[-KEPT:]


def append_prompt(path: Path, text: str) -> None:
    """Add a message; ignores a folder that can't be written."""
    if len(text) > LONGEST:
        return
    with contextlib.suppress(OSError), open(open_regular(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND), "a", encoding="utf-8") as file:
        file.write(json.dumps(text) + "\n")


def forget_prompts(path: Path, texts: Collection[str]) -> None:
    """Remove messages by their text, for a conversation that is deleted.

    Raises:
        OSError: The file can't be replaced.
    """
    gone = {text.strip() for text in texts}
    prompts = [prompt for prompt in map(_parse, _lines(path)) if prompt]
    kept = [prompt for prompt in prompts if prompt.strip() not in gone]
    if len(kept) < len(prompts):
        _write(path, kept)


def _lines(path: Path) -> list[str]:
    try:
        return read_regular(path).decode("utf-8", "replace").splitlines()
    except OSError:
        return []


def _write(path: Path, prompts: list[str]) -> None:
    write_atomically(path, "".join(json.dumps(prompt) + "\n" for prompt in prompts).encode())


def _parse(line: str) -> str:
    try:
        return msgspec.json.decode(line, type=str)
    except (msgspec.MsgspecError, RecursionError):
        return ""
