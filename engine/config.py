"""What a person sets for good: `config.toml`, and `XCHAT_*` variables over it.

Precedence, strongest first: a flag of the command, `XCHAT_*`, `config.toml`, what xchat remembered, the default.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from engine.errors import UsageError
from engine.paths import config_dir

PREFIX = "XCHAT_"


class DatabaseConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[database]`: how the SQLite file is opened."""

    profile: str = "balanced"
    """`balanced`, `safe`, `fast`, or `sqlite` for SQLite's own defaults."""
    pragmas: dict[str, str | int] = {}
    """Single pragmas over the profile; `XCHAT_SQLITE_<PRAGMA>` is stronger still."""


class ModelsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[models]`: folders to search for model files."""

    folders: list[str] = []
    """Folders beside xchat's own and the caches of other programs."""


class MetricsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[metrics]`: what is measured and who may read it."""

    prometheus_port: Annotated[int, msgspec.Meta(ge=1, le=65535)] | None = None
    """Serve figures to Prometheus on this port of the loopback interface; none serves nothing."""


class RetentionConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[retention]`: what `xchat db retain` may delete; off unless set."""

    max_age_days: Annotated[int, msgspec.Meta(ge=1)] | None = None
    max_size_mb: Annotated[int, msgspec.Meta(ge=1)] | None = None


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole of `config.toml`."""

    model: str | None = None
    """The model to start with: a path or `builtin`; none takes the one used last."""
    preset: str | None = None
    """The preset to start with; none takes the one used last."""
    theme: str | None = None
    """Name of a theme; none takes the one used last, else one that suits the terminal."""
    mouse: bool = True
    """Take the mouse; off leaves selecting text to the terminal."""
    low_bandwidth: bool | Literal["auto"] = "auto"
    """Fewer colours and calmer charts for slow lines; `auto` switches when the line is noticed to be slow."""
    keys: dict[str, str | list[str]] = {}
    """`action = "key"` or a list of keys, over the defaults; `xchat keys --list` shows the actions."""
    alerts: dict[str, float] = {}
    """Thresholds of alerts, over the defaults."""
    database: DatabaseConfig = DatabaseConfig()
    models: ModelsConfig = ModelsConfig()
    metrics: MetricsConfig = MetricsConfig()
    retention: RetentionConfig = RetentionConfig()


def config_path() -> Path:
    """`config.toml` in the config folder; it need not exist."""
    return config_dir() / "config.toml"


def load_config(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> Config:
    """Read the config file, with the variables over it.

    Raises UsageError when the file is no TOML, or a key or variable has a value it can't have.
    """
    path = path or config_path()
    values: dict[str, Any] = {}
    if path.exists():
        from engine.written_files import read_toml  # 10 ms for the parser that nobody without a config file need wait for

        _, values = read_toml(path)
    config = _convert(values, str(path))
    over = {field: environ[PREFIX + field.upper()] for field in _SCALARS if PREFIX + field.upper() in environ}
    if not over:
        return config
    return _convert(msgspec.to_builtins(config) | over, "the XCHAT_ variables", strict=False)


_SCALARS = ("model", "preset", "theme", "mouse", "low_bandwidth")


def _convert(values: dict[str, Any], source: str, *, strict: bool = True) -> Config:
    try:
        return msgspec.convert(values, Config, strict=strict)
    except msgspec.ValidationError as error:
        raise UsageError(f"{source} has a setting that can't be used", str(error)[:300], "Fix or remove it.") from error
