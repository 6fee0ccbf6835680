"""`xchat config`: show the settings of `config.toml` with their origin, edit the file, check it."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from functools import partial
from importlib.resources import files

from engine.atomic_write import write_atomically
from engine.config import PREFIX, Config, config_path, load_config, sample, settings
from engine.errors import ModelError, UsageError
from engine.paths import config_dir
from tui.cli.output import write_json
from tui.terminal.editor import editor_command

EXAMPLES = """\
examples:
  xchat config show
  xchat config show --sample > sample.toml
  xchat config edit
  xchat config check
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `config` to the command line."""
    parser = subparsers.add_parser(
        "config",
        help="show, edit and check config.toml",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    one = actions.add_parser("show", help="every key with its value, origin and meaning")
    one.add_argument("--json", action="store_true", help="as JSON")
    one.add_argument("--sample", action="store_true", help="a config.toml with every key as a comment instead")
    one.set_defaults(run=show)
    actions.add_parser("edit", help="open config.toml in $VISUAL or $EDITOR; a new one has every key as a comment").set_defaults(run=edit)
    actions.add_parser("check", help="check config.toml for errors").set_defaults(run=check)


def show(options: argparse.Namespace) -> int:
    """Print every setting."""
    if options.sample:
        sys.stdout.write(sample())
        return 0
    config, in_file = load_config(), load_config(environ={})
    rows = [
        {
            "key": setting.key,
            "value": setting.value_in(config),
            "origin": _origin(setting.key, config, in_file),
            "description": setting.description,
        }
        for setting in settings().values()
    ]
    if options.json:
        write_json(rows)
        return 0
    for row in rows:
        value = "none" if row["value"] is None else str(row["value"])
        sys.stdout.write(f"{row['key']:<24}{value:<16} {row['origin']:<12} {row['description']}\n")
    return 0


def _origin(key: str, config: Config, in_file: Config) -> str:
    """Name the origin of a value."""
    setting = settings()[key]
    if f"{PREFIX}{key.upper()}" in os.environ and setting.value_in(config) != setting.value_in(in_file):
        return f"{PREFIX}{key.upper()}"
    return "config.toml" if setting.value_in(in_file) != setting.default else "default"


def edit(options: argparse.Namespace) -> int:
    """Open the file in the user's editor, then check it."""
    path = config_path()
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, sample().encode())
    editor = editor_command(os.environ)
    try:
        ended = subprocess.run([*editor, str(path)], check=False).returncode
    except OSError as error:
        raise UsageError(f"The editor {editor[0]} can't be started", error.strerror or "", "Set VISUAL or EDITOR.") from error
    return ended or check(options)


def check(_: argparse.Namespace) -> int:
    """Print the errors of the file; return 0 when there are none."""
    config = load_config()
    problems = [str(problem) for part in (_keys, _alerts, _database, _theme, _engines) for problem in part(config)]
    for problem in problems:
        sys.stderr.write(f"{config_path()}: {problem}\n")
    if not problems:
        there = "is valid" if config_path().exists() else "does not exist; all keys have their defaults"
        sys.stdout.write(f"{config_path()} {there}\n")
    return UsageError.exit_code if problems else 0


def _keys(config: Config) -> tuple[str, ...]:
    from tui.actions.registry import BY_ID

    unknown = [name for name in config.keys if name not in BY_ID]
    return tuple(f"there is no action {name!r}. {_nearest(name, BY_ID)}" for name in unknown)


def _nearest(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"Did you mean {near[0]}?" if near else f"Known are {', '.join(known)}."


def _alerts(config: Config) -> tuple[str, ...]:
    from engine.metrics.alerts import Alerts

    return _refusal(lambda: Alerts(config.alerts))


def _database(config: Config) -> tuple[str, ...]:
    from engine.store.sqlite.pragmas import Profile

    return _refusal(lambda: Profile.of(config.database.profile, config.database.pragmas))


def _theme(config: Config) -> tuple[str, ...]:
    own = config_dir() / "themes"
    names = sorted(
        {
            entry.name.removesuffix(".toml")
            for folder in (files("themes"), own)
            if folder.is_dir()
            for entry in folder.iterdir()
            if entry.name.endswith(".toml")
        }
    )
    return (
        () if config.theme is None or config.theme in names else (f"there is no theme {config.theme!r}. {_nearest(config.theme, names)}",)
    )


def _engines(config: Config) -> tuple[str, ...]:
    if not config.engines:
        return ()
    from engine.remote.connection import key_of

    return tuple(problem for engine in config.engines for problem in _refusal(partial(key_of, engine)))


def _refusal(use: Callable[[], object]) -> tuple[str, ...]:
    try:
        use()
    except (UsageError, ModelError) as error:
        return (str(error),)
    return ()
