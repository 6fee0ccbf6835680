"""Read the files that a person writes (settings, presets, themes), whatever lies in their place."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import msgspec

from engine.errors import UsageError

MOST_BYTES = 1 << 20
"""Nobody writes a longer one; a larger file is something else."""


def read_written(path: Path) -> str:
    """The text of a file.

    Raises:
        FileNotFoundError: There is none.
        UsageError: It is a pipe, a device or a folder, too long, not UTF-8, or can't be read.
    """
    try:
        if path.exists() and not path.is_file():
            raise UsageError(f"{path} is not a regular file", "", f"Remove {path}, or put a file in its place")
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise UsageError(f"{path} can't be read", "It is longer than a mebibyte", f"Shorten or remove {path}")
        return data.decode("utf-8")
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} can't be read", str(error), f"Fix or remove {path}") from error


def read_toml(path: Path) -> tuple[str, dict[str, Any]]:
    """The text of a TOML file, and its values. Raises as `read_written` does, and UsageError that names the line for what is not TOML."""
    text = read_written(path)
    try:
        values = tomllib.loads(text)
        # Numbers beyond 64 bits and endless nesting parse, but can be neither compared nor printed.
        msgspec.json.encode(values)
    except (ValueError, OverflowError, RecursionError) as error:
        raise UsageError(
            f"{path} is not valid TOML", str(error)[:300], f"Fix the line, or remove {path} to go back to the defaults"
        ) from error
    return text, values
