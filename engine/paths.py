"""Where xchat keeps its files, after the XDG base directory specification (platformdirs knows each platform's own)."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from platformdirs import PlatformDirs

_DIRS = PlatformDirs("xchat", appauthor=False)


NO_HOME = Path("/nonexistent")
"""Stands for the home folder of a user without one: nothing is found there, and nothing can be written."""
HINT = "Set HOME, or XDG_CONFIG_HOME, XDG_DATA_HOME, XDG_STATE_HOME and XDG_CACHE_HOME, to folders that you can write to."


def _private(path: Path) -> Path:
    """Make the folder readable by its owner only, since conversations are private; one that can't be made is just missing."""
    with suppress(OSError):
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


def _own(folder: str) -> Path:
    try:
        return _private(Path(getattr(_DIRS, folder)))
    except RuntimeError:  # neither HOME nor an entry of this user
        return NO_HOME / "xchat"


def expanded(text: str, environ: Mapping[str, str] = os.environ) -> Path:
    """A path as a person or a variable writes it, with `~` and `$VAR` replaced; those that mean nothing stay."""
    full = re.sub(r"\$(?:\{(\w+)\}|(\w+))", lambda match: environ.get(match[1] or match[2], match[0]), text)
    if full == "~" or full.startswith("~/"):
        full = environ.get("HOME", "~") + full[1:]
    return Path(os.path.expanduser(full))


def config_dir() -> Path:
    """`config.toml`, `presets/`, `themes/`: what a person writes."""
    return _own("user_config_dir")


def data_dir() -> Path:
    """`xchat.db` and `models/`: what can't be made again."""
    return _own("user_data_dir")


def state_dir() -> Path:
    """Logs, the last used model, the prompt's history."""
    return _own("user_state_dir")


def cache_dir() -> Path:
    """What can be made again: quants of the built-in model, parsed headers, KV states."""
    return _own("user_cache_dir")


def is_own(path: Path) -> bool:
    """Whether a path lies in one of xchat's folders."""
    return any(path.is_relative_to(folder()) for folder in (config_dir, data_dir, state_dir, cache_dir))


def database_path() -> Path:
    """The one SQLite file."""
    return data_dir() / "xchat.db"


def models_dir() -> Path:
    """The folder of GGUF files that is xchat's own."""
    return _private(data_dir() / "models")


def log_path() -> Path:
    """The log of the program and of the native library."""
    return state_dir() / "xchat.log"
