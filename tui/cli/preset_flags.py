"""`--preset NAME` and one flag for each of its settings, for every command that loads a model."""

from __future__ import annotations

import argparse

from engine.config import Config
from engine.errors import UsageError
from engine.last_used import recall
from engine.presets.answer_forms import with_contents
from engine.presets.preset import SETTINGS, Preset
from engine.presets.settings import KEYS, allowed, with_text

DEFAULT = "daily"
"""The default preset."""

OWN_FLAGS = frozenset({"model", "description"})
"""Settings without a flag: the model is an argument of every command."""


def add_preset_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags; their values are parsed by `preset_of`."""
    group = parser.add_argument_group("preset", "settings of the engine; flags override the preset")
    group.add_argument("--preset", metavar="NAME", help="start from this preset (`xchat presets list`)")
    group.add_argument("--force", action="store_true", help="load a model even if it is predicted not to fit into memory")
    for key, setting in SETTINGS.items():
        if key not in OWN_FLAGS:
            group.add_argument(*flags_of(key), dest=f"preset:{key}", metavar="X", help=f"{setting.meaning}: {allowed(key)}")


def flags_of(key: str) -> tuple[str, ...]:
    """Return the flags of a setting, the one derived from its key last."""
    return (*SETTINGS[key].flags.split(), f"--{key.rpartition('.')[2].replace('_', '-')}")


def preset_of(options: argparse.Namespace, config: Config) -> Preset:
    """Return the preset of the command line, else of the config, else the last one used, overridden by flags and model.

    Raises:
        UsageError: The preset does not exist, or a flag has an invalid value.
    """
    # Imported here: reading the machine's topology for the shipped presets takes 10 ms of the first frame.
    from engine.presets.folder import PresetFolder

    shelf = PresetFolder().load()
    asked = options.preset or config.preset
    usual = shelf.presets.get(recall().preset or DEFAULT, shelf.presets[DEFAULT])
    preset = usual if asked is None else shelf.get(asked)
    flags = {key: value for key in KEYS if (value := getattr(options, f"preset:{key}", None)) is not None}
    if options.model is not None:
        flags["model"] = options.model
    try:
        return with_text(preset, with_contents(flags))
    except UsageError as error:
        raise error.with_title(f"A flag can't be used: {error.title}") from error
