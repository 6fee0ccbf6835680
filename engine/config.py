"""What a person sets for good: `config.toml`, and `XCHAT_*` variables over it.

Precedence, strongest first: a flag of the command, `XCHAT_*`, `config.toml`, what xchat remembered, the default.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from engine.errors import UsageError
from engine.paths import config_dir

PREFIX = "XCHAT_"


class DatabaseConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[database]`: how the SQLite file is opened."""

    profile: Annotated[str, msgspec.Meta(description="`balanced`, `safe`, `fast`, or `sqlite` for SQLite's own defaults")] = "balanced"
    pragmas: Annotated[
        dict[str, str | int], msgspec.Meta(description="Single pragmas over the profile; `XCHAT_SQLITE_<PRAGMA>` is stronger still")
    ] = {}


class ModelsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[models]`: folders to search for model files."""

    folders: Annotated[list[str], msgspec.Meta(description="Folders beside xchat's own and the caches of other programs")] = []


class MetricsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[metrics]`: what is measured and who may read it."""

    prometheus_port: Annotated[
        Annotated[int, msgspec.Meta(ge=1, le=65535)] | None,
        msgspec.Meta(description="Serve figures to Prometheus on this port of the loopback interface; none serves nothing"),
    ] = None


class RetentionConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[retention]`: what `xchat db retain` may delete; off unless set."""

    max_age_days: Annotated[
        Annotated[int, msgspec.Meta(ge=1)] | None, msgspec.Meta(description="Sessions older than this may go; pinned ones stay")
    ] = None
    max_size_mb: Annotated[
        Annotated[int, msgspec.Meta(ge=1)] | None, msgspec.Meta(description="The oldest sessions may go until the database is this small")
    ] = None


class NotifyConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[notify]`: how the end of a long answer is announced while the terminal is not looked at."""

    bell: Annotated[bool, msgspec.Meta(description="Ring the terminal's bell")] = True
    desktop: Annotated[bool, msgspec.Meta(description="Ask the terminal for a desktop notification (OSC 9 and OSC 777)")] = True
    title: Annotated[bool, msgspec.Meta(description="Show model and progress in the terminal's title")] = True


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole of `config.toml`."""

    model: Annotated[str | None, msgspec.Meta(description="The model to start with: a path or `builtin`; none takes the one used last")] = (
        None
    )
    preset: Annotated[str | None, msgspec.Meta(description="The preset to start with; none takes the one used last")] = None
    theme: Annotated[
        str | None, msgspec.Meta(description="Name of a theme; none takes the one used last, else one that suits the terminal")
    ] = None
    mouse: Annotated[bool, msgspec.Meta(description="Take the mouse; off leaves selecting text to the terminal")] = True
    low_bandwidth: Annotated[
        bool | Literal["auto"],
        msgspec.Meta(description="Fewer colours and calmer charts for slow lines; `auto` switches when the line is noticed to be slow"),
    ] = "auto"
    keys: Annotated[
        dict[str, str | list[str]],
        msgspec.Meta(description='`action = "key"` or a list of keys, over the defaults; `xchat keys --list` shows the actions'),
    ] = {}
    alerts: Annotated[dict[str, float], msgspec.Meta(description="Thresholds of alerts, over the defaults")] = {}
    database: DatabaseConfig = DatabaseConfig()
    models: ModelsConfig = ModelsConfig()
    metrics: MetricsConfig = MetricsConfig()
    notify: NotifyConfig = NotifyConfig()
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
        raise _explained(str(error)[:300], source) from error


def _explained(said: str, source: str) -> UsageError:
    """What msgspec says of a value, with the key's whole name and the nearest valid one."""
    from difflib import get_close_matches

    place = re.search(r" - at `\$\.?([^`]*)`", said)
    at = place[1] if place else ""
    reason = said[: place.start()] if place else said
    unknown = re.search(r"unknown field `([^`]*)`", reason)
    if unknown is None:
        return UsageError(f"{source}: {at} can't have this value", reason, "`xchat config show` lists every key with what it takes.")
    name = f"{at}.{unknown[1]}".lstrip(".")
    near = get_close_matches(name, settings(), n=1, cutoff=0.5) or get_close_matches(
        unknown[1], [key.rpartition(".")[2] for key in settings()], n=1, cutoff=0.6
    )
    meant = f"Did you mean {near[0]}? " if near else ""
    return UsageError(f"{source} has a key that does not exist: {name}", "", f"{meant}`xchat config show` lists every key.")


@dataclass(frozen=True, slots=True)
class ConfigSetting:
    """A key of `config.toml`."""

    key: str
    """With its table: `database.profile`."""
    description: str
    default: Any

    def value_in(self, config: Config) -> Any:
        """Its value."""
        value: Any = config
        for part in self.key.split("."):
            value = getattr(value, part)
        return value


def _settings(kind: type[msgspec.Struct], table: str = "") -> Iterator[ConfigSetting]:
    import msgspec.inspect  # not before the first frame

    for field in msgspec.inspect.type_info(kind).fields:  # type: ignore[attr-defined]
        described = field.type
        if isinstance(described, msgspec.inspect.StructType):
            yield from _settings(described.cls, f"{field.name}.")
            continue
        schema = (described.extra_json_schema or {}) if isinstance(described, msgspec.inspect.Metadata) else {}
        default = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
        yield ConfigSetting(f"{table}{field.name}", str(schema.get("description", "")), default)


@cache
def settings() -> Mapping[str, ConfigSetting]:
    """Every key, in the order of the file."""
    return {setting.key: setting for setting in _settings(Config)}


def sample() -> str:
    """A `config.toml` that says what every key does and changes nothing: each line is a comment."""
    lines = ["# config.toml of xchat. A line without its # sets the key; `xchat config check` reads it over.", ""]
    table = ""
    for setting in sorted(settings().values(), key=lambda setting: "." in setting.key or isinstance(setting.default, dict)):
        head, _, name = setting.key.rpartition(".")
        if isinstance(setting.default, dict) and not head:
            lines += ["", f"# {setting.description}", f"#[{name}]"]
            continue
        if head != table:
            table = head
            lines += ["", f"#[{table}]"]
        lines += [f"# {setting.description}", f"#{name} = {_toml(setting.default)}"]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    return "..." if value is None else msgspec.json.encode(value).decode()
