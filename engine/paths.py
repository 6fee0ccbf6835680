"""The paths of xchat's files, by the XDG base directory specification (platformdirs has each platform's own)."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from platformdirs import PlatformDirs

_DIRS = PlatformDirs("xchat", appauthor=False)


NO_HOME = Path("/nonexistent")
"""Placeholder for the home folder of a user without one, where nothing can be read or written."""
HINT = "Set HOME, or XDG_CONFIG_HOME, XDG_DATA_HOME, XDG_STATE_HOME and XDG_CACHE_HOME, to folders that you can write to."


def _private(path: Path) -> Path:
    """Create the folder for its owner only, since conversations are private; ignore failures."""
    with suppress(OSError):
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path


def _own(folder: str) -> Path:
    try:
        return _private(Path(getattr(_DIRS, folder)))
    except RuntimeError:  # neither HOME nor an entry of this user
        return NO_HOME / "xchat"


def expanded(text: str, environ: Mapping[str, str] = os.environ) -> Path:
    """Expand `~` and `$VAR` in a path; unknown ones stay."""
    full = re.sub(r"\$(?:\{(\w+)\}|(\w+))", lambda match: environ.get(match[1] or match[2], match[0]), text)
    if full == "~" or full.startswith("~/"):
        full = environ.get("HOME", "~") + full[1:]
    return Path(os.path.expanduser(full))


def config_dir() -> Path:
    """Return the folder of `config.toml`, `presets/` and `themes/`, written by the person."""
    return _own("user_config_dir")


def data_dir() -> Path:
    """Return the folder of `xchat.db` and `models/`, which can't be recreated."""
    return _own("user_data_dir")


def state_dir() -> Path:
    """Return the folder of logs, the last used model, and the prompt's history."""
    return _own("user_state_dir")


def cache_dir() -> Path:
    """Return the folder of files that can be recreated: quants of the built-in model, parsed headers, KV states."""
    return _own("user_cache_dir")


def is_own(path: Path) -> bool:
    """Return whether a path is in one of xchat's folders."""
    return any(path.is_relative_to(folder()) for folder in (config_dir, data_dir, state_dir, cache_dir))


def database_path() -> Path:
    """Return the path of the SQLite file."""
    return data_dir() / "xchat.db"


def models_dir() -> Path:
    """Return xchat's own folder of GGUF files."""
    return _private(data_dir() / "models")


def log_path() -> Path:
    """Return the path of the log of the program and of the native library."""
    return state_dir() / "xchat.log"
