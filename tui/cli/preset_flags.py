"""`--preset NAME` and one flag for each of its settings, for every command that loads a model."""

from __future__ import annotations

import argparse

from engine.config import Config
from engine.errors import UsageError
from engine.last_used import recall
from engine.presets.preset import Preset
from engine.presets.settings import KEYS, allowed, with_text

DEFAULT = "daily"
"""The preset of a first start."""

SHORT = {"n_ctx": ("--ctx",), "max_tokens": ("-n",), "sampling.temperature": ("--temp",)}
"""Other spellings that people know."""

OWN_FLAGS = frozenset({"model", "description"})
"""Settings that are no flags: the model is an argument of every command."""

MEANINGS = {
    "quant": "quant of the model's family, such as Q4_K_M",
    "threads": "threads that decode, one token at a time",
    "threads_batch": "threads that prefill",
    "n_ctx": "size of the context window in tokens",
    "n_batch": "most prompt tokens in one decode call",
    "n_ubatch": "most tokens in one compute graph: smaller stops sooner, larger prefills faster",
    "type_k": "type of the K half of the KV cache",
    "type_v": "type of the V half of the KV cache",
    "flash_attn": "fused attention kernels",
    "mmap": "map the file instead of reading it into memory",
    "repack": "keep a rearranged copy of the weights: faster prefill, more memory",
    "stream_batch": "tokens that travel together to the screen",
    "max_tokens": "longest answer in tokens",
    "system": "system prompt",
    "thinking": "ask the model to think, or not to",
    "sampling.temperature": "0 is greedy, higher is more adventurous",
    "sampling.top_k": "keep so many of the most likely tokens, 0 all",
    "sampling.top_p": "keep the most likely tokens up to this probability, 1 all",
    "sampling.min_p": "drop tokens less likely than this share of the likeliest",
    "sampling.repeat_penalty": "make recent tokens less likely, 1 is off",
    "sampling.repeat_last_n": "tokens that the penalty looks at",
    "sampling.seed": "the same seed gives the same answer",
}
"""What each flag is for, in the help."""


def add_preset_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags; their values stay text until they are put over a preset."""
    group = parser.add_argument_group("preset", "settings of the engine; flags go over the preset")
    group.add_argument("--preset", metavar="NAME", help="start from this preset (`xchat presets list`)")
    group.add_argument("--force", action="store_true", help="load also a model that is predicted not to fit into memory")
    for key in KEYS:
        if key not in OWN_FLAGS:
            names = (*SHORT.get(key, ()), f"--{key.rpartition('.')[2].replace('_', '-')}")
            group.add_argument(*names, dest=f"preset:{key}", metavar="X", help=f"{MEANINGS[key]}: {allowed(key)}")


def asks_for_settings(options: argparse.Namespace, config: Config) -> bool:
    """Whether a preset or a flag was named, which may be wrong and is then told before anything starts."""
    named = options.preset or config.preset
    return named is not None or any(getattr(options, f"preset:{key}", None) is not None for key in KEYS)


def preset_of(options: argparse.Namespace, config: Config) -> Preset:
    """The preset that was asked for, else the config's, else the one used last, with the flags (and the model asked for) over it.

    Raises:
        UsageError: There is no such preset, or a flag has a value it can't have.
    """
    # Looking at the machine for the shipped presets takes 10 ms that a first frame need not wait for.
    from engine.presets.folder import PresetFolder

    shelf = PresetFolder().load()
    asked = options.preset or config.preset
    usual = shelf.presets.get(recall().preset or DEFAULT, shelf.presets[DEFAULT])
    preset = usual if asked is None else shelf.get(asked)
    flags = {key: value for key in KEYS if (value := getattr(options, f"preset:{key}", None)) is not None}
    if options.model is not None:
        flags["model"] = options.model
    try:
        return with_text(preset, flags)
    except UsageError as error:
        raise UsageError(f"A flag can't be used: {error.title}", error.detail, error.hint) from error
