"""Parses the arms of a race: settings (`threads=1`), presets, quants and models."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import msgspec

from engine.config import Config
from engine.errors import UsageError, XchatError
from engine.guide import builtin
from engine.host.topology import cpu_features
from engine.lab.race import Arm, Use
from engine.llama.measuring.work import Setup
from engine.model_ref import ModelRef
from engine.models.check import check_model
from engine.models.memory import predict
from engine.presets.folder import PresetFolder
from engine.presets.preset import SETTINGS, Cost, Preset, value_of
from engine.presets.settings import difference, parse_assignments, with_text
from engine.session.open import first_model, model_finder
from engine.text import one_line, printable

CURRENT: Final = "current"
"""Name of the arm without changes."""
LIBRARY: Final = "lib="
"""Prefix of an arm that is measured with another build of the library."""
MEASURED: Final = frozenset(
    {"model", "quant", "threads", "threads_batch", *(key for key, setting in SETTINGS.items() if setting.cost is Cost.REBUILD)}
) | {"mmap", "repack"}
"""Settings that affect the laboratory's measurements."""
_PREFILL_ONLY: Final = frozenset({"threads_batch", "n_batch", "n_ubatch"})


@dataclass(frozen=True, slots=True)
class Base:
    """The starting point of every arm."""

    ref: ModelRef
    preset: Preset
    config: Config


def arms_of(words: Sequence[str], base: Base) -> list[Arm]:
    """Parse the named arms.

    Raises:
        UsageError: A setting is invalid, or does not affect the measurement.
        ModelError: There is no such model, quant or preset here.
    """
    return [Arm(one_line(word), _setup(word, base)) for word in words]


def use_of(arms: Sequence[Arm]) -> Use:
    """Choose the use to compare by the settings that differ."""
    first = arms[0].setup
    if any((arm.setup.ref, arm.setup.library) != (first.ref, first.library) for arm in arms):
        return Use.CHAT
    keys = {change.key for arm in arms[1:] for change in difference(first.preset, arm.setup.preset)} & MEASURED
    if keys and keys <= _PREFILL_ONLY:
        return Use.PREFILL
    return Use.DECODE if keys <= {"threads"} else Use.CHAT


def memory_of(base: Base) -> Callable[[Setup], int]:
    """Return a function that predicts a setup's memory in bytes with the n_ctx of `base`; 0 where its file can't be read."""

    def needed(setup: Setup) -> int:
        try:
            path = builtin.file_of(setup.ref)
            facts = check_model(path).facts if path is not None else None
        except XchatError:
            facts = None
        if facts is None:
            return 0
        preset = msgspec.structs.replace(setup.preset, n_ctx=base.preset.n_ctx)
        return predict(facts, preset, features=cpu_features()).needed

    return needed


def preset_with(base: Base, setup: Setup, description: str) -> Preset:
    """Return the preset of `base` with the changes of a setup; without a name yet."""
    changed = {change.key: change.after for change in difference(_measured(base.preset), setup.preset)}
    model = {} if setup.ref == base.ref else {"model": str(setup.ref), "quant": None}
    return msgspec.structs.replace(base.preset, name="tuned", description=description or base.preset.description, **changed, **model)


def _setup(word: str, base: Base) -> Setup:
    if word == CURRENT:
        return Setup(base.ref, _measured(base.preset))
    if word.startswith(LIBRARY):
        folder, comma, changes = word.removeprefix(LIBRARY).partition(",")
        library = Path(folder).expanduser()
        if not any(library.glob("libllama.*")):
            raise UsageError(
                f"{printable(str(library))} is not a build of llama.cpp", "libllama is not there", "Give the folder that contains libllama."
            )
        return replace(_changed(changes, base) if comma else Setup(base.ref, _measured(base.preset)), library=library.resolve())
    if "=" in word and not word.startswith(("/", "~", ".")):
        return _changed(word, base)
    shelf = PresetFolder().load()
    if word in shelf.presets:
        preset = shelf.presets[word]
        return Setup(model_finder(base.config).find(preset, base.ref) or base.ref, _measured(preset))
    finder = model_finder(base.config)
    quants = {choice.quant.lower() for choice in finder.quants(base.ref)}
    ref = finder.quant(base.ref, word) if word.lower() in quants else first_model(word, base.config)
    return Setup(ref, _measured(base.preset))


def _changed(word: str, base: Base) -> Setup:
    preset = with_text(base.preset, parse_assignments(word.split(",")))
    for change in difference(base.preset, preset):
        if change.key not in MEASURED:
            names = ", ".join(sorted(MEASURED))
            raise UsageError(f"{change.key} does not affect a race", f"These settings do: {names}", "Use one of them.")
    named = {key: value_of(preset, key) for key in ("model", "quant")}
    asked = any(value_of(base.preset, key) != value for key, value in named.items())
    ref = model_finder(base.config).find(preset, base.ref) if asked else base.ref
    measured = _measured(preset)
    if preset.n_ctx != base.preset.n_ctx:
        measured = msgspec.structs.replace(measured, n_ctx=preset.n_ctx)
    return Setup(ref or base.ref, measured)


def _measured(preset: Preset) -> Preset:
    """Reset the settings that don't affect the measurement, so that arms differing only in them are equal; `n_ctx` too."""
    return msgspec.structs.replace(Preset(), **{key: value_of(preset, key) for key in MEASURED - {"model", "quant", "n_ctx"}})
