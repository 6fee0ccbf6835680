"""Reads the configuration: `config.toml`, and `XCHAT_*` variables over it.

Precedence, highest first: a flag of the command, `XCHAT_*`, `config.toml`, the value of the last start, the default.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec

from engine.errors import UsageError
from engine.paths import config_dir

PREFIX = "XCHAT_"


class DatabaseConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[database]`: how the SQLite file is opened."""

    profile: Annotated[str, msgspec.Meta(description="`balanced`, `safe`, `fast`, or `sqlite` for SQLite's own defaults")] = "balanced"
    pragmas: Annotated[
        dict[str, str | int], msgspec.Meta(description="Single pragmas over the profile; `XCHAT_SQLITE_<PRAGMA>` overrides them")
    ] = {}


class ModelsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[models]`: folders to search for model files."""

    folders: Annotated[list[str], msgspec.Meta(description="Folders in addition to xchat's own and the caches of other programs")] = []


class MetricsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[metrics]`: access to the figures."""

    prometheus_port: Annotated[
        Annotated[int, msgspec.Meta(ge=1, le=65535)] | None,
        msgspec.Meta(description="Serve figures to Prometheus on this port of the loopback interface; none disables it"),
    ] = None


class ResultCacheConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[result_cache]`: limits of the stored answers; the setting `result_cache` of a preset uses them."""

    size_mb: Annotated[Annotated[int, msgspec.Meta(ge=1, le=1_000_000)], msgspec.Meta(description="Most megabytes of answers")] = 256
    ttl_hours: Annotated[
        Annotated[float, msgspec.Meta(gt=0, le=1_000_000)], msgspec.Meta(description="An answer older than this is made again")
    ] = 720.0


class RetentionConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[retention]`: the sessions that `xchat db retain` may delete; off unless set."""

    max_age_days: Annotated[
        Annotated[int, msgspec.Meta(ge=1)] | None, msgspec.Meta(description="Sessions older than this may be deleted, except pinned ones")
    ] = None
    max_size_mb: Annotated[
        Annotated[int, msgspec.Meta(ge=1)] | None,
        msgspec.Meta(description="The oldest sessions may be deleted until the database is this small"),
    ] = None


class NotifyConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[notify]`: how the end of a long answer is notified while the terminal does not have the focus."""

    bell: Annotated[bool, msgspec.Meta(description="Ring the terminal's bell")] = True
    desktop: Annotated[bool, msgspec.Meta(description="Ask the terminal for a desktop notification (OSC 9 and OSC 777)")] = True
    title: Annotated[bool, msgspec.Meta(description="Show model and progress in the terminal's title")] = True


class EngineConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`[[engines]]`: a server with an OpenAI-compatible API, whose models are in the list beside those of this machine."""

    name: Annotated[str, msgspec.Meta(description="Name of the engine: its models are `NAME/MODEL`")]
    base_url: Annotated[
        str | None, msgspec.Meta(description="Where its API is, such as `http://gpu-box:8080`; `/v1` is added where there is no path")
    ] = None
    base_urls: Annotated[
        list[str], msgspec.Meta(description="Instead: several servers of the same models; the least busy one answers, others step in")
    ] = []
    api_key_env: Annotated[
        str | None, msgspec.Meta(description="The environment variable, else the entry of the keyring, that has the API key")
    ] = None
    requests_per_minute: Annotated[
        Annotated[int, msgspec.Meta(ge=1)] | None,
        msgspec.Meta(description="Most requests in a minute; further ones wait. None is no limit"),
    ] = None
    model: Annotated[str | None, msgspec.Meta(description="The model that `NAME` alone means; none takes the first of its list")] = None

    def __post_init__(self) -> None:
        """Refuse what can't be used, naming the key. Raises ValueError."""
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}", self.name) or self.name.lower() in {"builtin", "hf", "remote", "ollama"}:
            raise ValueError("name: letters, digits, `.`, `_` and `-`, at most 40; not a word that already names a kind of model")
        if (self.base_url is None) == (not self.base_urls):
            raise ValueError("base_url: either it or base_urls is needed, and not both")
        for url in self.urls:
            if problem := _problem_of(url):
                raise ValueError(f"{'base_urls' if self.base_urls else 'base_url'}: {problem}")
        if self.api_key_env is not None and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", self.api_key_env):
            raise ValueError("api_key_env: it names an environment variable; the key itself does not belong into this file")
        if self.model == "":
            raise ValueError("model: it is empty; leave it out to take the first of the list")

    @property
    def urls(self) -> tuple[str, ...]:
        """The addresses of its servers, as they are written."""
        return (self.base_url,) if self.base_url is not None else tuple(self.base_urls)


def _problem_of(url: str) -> str:
    """Why an address can't be used; empty when it can."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "it is not an address: write http://HOST:PORT or https://HOST"
    if parts.scheme not in {"http", "https"} or not host:
        return "it needs a scheme and a host: write http://HOST:PORT or https://HOST"
    if "@" in parts.netloc:
        return "it has a user or a password: name the variable of the key in api_key_env instead"
    if parts.query or parts.fragment or not url.isprintable() or " " in url:
        return "it ends with the path of the API, such as /v1; there is no ?, # or space in it"
    return ""


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole of `config.toml`."""

    model: Annotated[str | None, msgspec.Meta(description="The model to start with: a path or `builtin`; none uses the last one")] = None
    preset: Annotated[str | None, msgspec.Meta(description="The preset to start with; none uses the last one")] = None
    theme: Annotated[str | None, msgspec.Meta(description="Name of a theme; none uses the last one, else one that suits the terminal")] = (
        None
    )
    mouse: Annotated[bool, msgspec.Meta(description="Use the mouse; off leaves it to the terminal, for its own text selection")] = True
    low_bandwidth: Annotated[
        bool | Literal["auto"],
        msgspec.Meta(description="Fewer colours and chart updates for slow connections; `auto` switches when the connection is slow"),
    ] = "auto"
    keys: Annotated[
        dict[str, str | list[str]],
        msgspec.Meta(description='`action = "key"` or a list of keys, over the defaults; `xchat keys --list` shows the actions'),
    ] = {}
    alerts: Annotated[dict[str, float], msgspec.Meta(description="Thresholds of alerts, over the defaults")] = {}
    database: DatabaseConfig = DatabaseConfig()
    models: ModelsConfig = ModelsConfig()
    result_cache: ResultCacheConfig = ResultCacheConfig()
    metrics: MetricsConfig = MetricsConfig()
    notify: NotifyConfig = NotifyConfig()
    retention: RetentionConfig = RetentionConfig()
    engines: Annotated[
        list[EngineConfig],
        msgspec.Meta(description="Servers with an OpenAI-compatible API, a table for each; `xchat models list` shows their models"),
    ] = []

    def __post_init__(self) -> None:
        """Refuse two engines of one name. Raises ValueError."""
        names = [engine.name for engine in self.engines]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"engines: two have the name {twice}")


def config_path() -> Path:
    """`config.toml` in the config folder; it need not exist."""
    return config_dir() / "config.toml"


def load_config(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> Config:
    """Read the config file, with the variables over it.

    Raises UsageError when the file is not TOML, or a key or variable has an invalid value.
    """
    path = path or config_path()
    values: dict[str, Any] = {}
    if path.exists():
        from engine.regular_file import read_toml  # imported here, since the parser takes 10 ms and is needed only with a config file

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
    """Make an error from msgspec's message, with the key's whole name and the nearest valid one."""
    from difflib import get_close_matches

    place = re.search(r" - at `\$\.?([^`]*)`", said)
    at = place[1] if place else ""
    reason = said[: place.start()] if place else said
    unknown = re.search(r"unknown field `([^`]*)`", reason)
    key, colon, why = reason.partition(": ")
    if colon and key.isidentifier():  # raised by a table that checks itself
        at, reason = f"{at}.{key}".lstrip("."), why
    if unknown is None:
        return UsageError(f"{source}: invalid value of {at}", reason, "`xchat config show` lists every key with its meaning.")
    name = f"{at}.{unknown[1]}".lstrip(".")
    known = [*settings(), *(f"{table.key}.{entry.key}" for table in settings().values() for entry in table.entries)]
    near = get_close_matches(name, known, n=1, cutoff=0.5) or get_close_matches(
        unknown[1], [key.rpartition(".")[2] for key in known], n=1, cutoff=0.6
    )
    meant = f"Did you mean {near[0]}? " if near else ""
    return UsageError(f"{source} has a key that does not exist: {name}", "", f"{meant}`xchat config show` lists every key.")


@dataclass(frozen=True, slots=True)
class ConfigSetting:
    """A key of `config.toml`."""

    key: str
    """Name with its table: `database.profile`."""
    description: str
    default: Any
    entries: tuple[ConfigSetting, ...] = ()
    """The keys of each of its tables, where there may be several."""

    def value_in(self, config: Config) -> Any:
        """Return its value."""
        value: Any = config
        for part in self.key.split("."):
            value = getattr(value, part)
        return value


def _settings(kind: type[msgspec.Struct], table: str = "") -> Iterator[ConfigSetting]:
    import msgspec.inspect  # not needed before the first frame

    for field in msgspec.inspect.type_info(kind).fields:  # type: ignore[attr-defined]
        described = field.type
        if isinstance(described, msgspec.inspect.StructType):
            yield from _settings(described.cls, f"{field.name}.")
            continue
        schema: dict[str, Any] = {}
        if isinstance(described, msgspec.inspect.Metadata):
            schema, described = described.extra_json_schema or {}, described.type
        item = described.item_type if isinstance(described, msgspec.inspect.ListType) else None
        entries = tuple(_settings(item.cls)) if isinstance(item, msgspec.inspect.StructType) else ()
        default = None if field.required else field.default_factory() if field.default is msgspec.NODEFAULT else field.default
        yield ConfigSetting(f"{table}{field.name}", str(schema.get("description", "")), default, entries)


@cache
def settings() -> Mapping[str, ConfigSetting]:
    """Return every key, in the order of the file."""
    return {setting.key: setting for setting in _settings(Config)}


def sample() -> str:
    """Make a `config.toml` that describes every key; each line is a comment."""
    lines = ["# config.toml of xchat. Remove the # of a line to set its key; `xchat config check` checks the file.", ""]
    table = ""
    for setting in sorted(settings().values(), key=lambda setting: "." in setting.key or bool(setting.entries) or setting.default == {}):
        head, _, name = setting.key.rpartition(".")
        if setting.entries:
            lines += ["", f"# {setting.description}", f"#[[{name}]]"]
            for entry in setting.entries:
                lines += [f"# {entry.description}", f"#{entry.key} = {_toml(entry.default)}"]
            table = name
            continue
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
