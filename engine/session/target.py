"""From where to where a switch goes: presets on files, what lies between two of them, and how to say it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from engine.errors import ModelError
from engine.model_ref import ModelRef
from engine.presets.folder import Shelf
from engine.presets.preset import Cost, Preset, cost_of_change
from engine.presets.settings import difference, shown
from engine.session.model_finder import ModelFinder, label
from engine.text import printable


@dataclass(frozen=True, slots=True)
class Point:
    """A preset and a model: the current ones, or those to switch to."""

    preset: Preset
    model: ModelRef | None
    """None before anything is loaded."""


def of_no_model(preset: Preset) -> Preset:
    """The preset without a model of its own: what it means when a file is loaded by its path."""
    return msgspec.structs.replace(preset, model=None, quant=None)


def comparable(here: Point, goal: Point) -> tuple[Preset, Preset]:
    """Both presets, comparing their models by file, not by name."""
    if here.model == goal.model:
        return here.preset, msgspec.structs.replace(goal.preset, model=here.preset.model, quant=here.preset.quant)
    before, after = (
        msgspec.structs.replace(point.preset, model=label(point.model) if point.model is not None else None, quant=None)
        for point in (here, goal)
    )
    return before, after if before.model != after.model else msgspec.structs.replace(after, model=str(goal.model))


def cost_between(here: Point, goal: Point) -> Cost | None:
    """What it takes to get there."""
    return cost_of_change(*comparable(here, goal))


def rebased(goal: Preset, before: Preset, after: Preset) -> Preset:
    """A preset that is still to come, with what was changed meanwhile."""
    changed = {field: getattr(after, field) for field in Preset.__struct_fields__ if getattr(before, field) != getattr(after, field)}
    return msgspec.structs.replace(goal, **changed)


def describe(here: Point, goal: Point) -> str:
    """Where a switch leads, in a few words."""
    if goal.preset.name != here.preset.name:
        return f"preset {printable(goal.preset.name, 40)}"
    if goal.model != here.model and goal.model is not None:
        return label(goal.model)
    changes = difference(*comparable(here, goal))
    return (
        ", ".join(f"{change.key} {printable(shown(change.after), 40)}" for change in changes[:3])
        or f"preset {printable(goal.preset.name, 40)}"
    )


def loaded(here: Point) -> ModelRef:
    """The model in use. Raises ModelError when there is none."""
    if here.model is None:
        raise ModelError("No model is loaded", "", "Pick one.", "models")
    return here.model


class Targets:
    """Steps from a point to the one that is asked for. They read files, so they belong on a thread; each may raise XchatError."""

    def __init__(self, finder: ModelFinder, shelf: Callable[[], Shelf]) -> None:
        """`shelf` has all presets of this person."""
        self.finder = finder
        self.shelf = shelf

    def settings(self, preset: Preset, here: Point) -> Point:
        """To these settings."""
        same = (preset.model, preset.quant) == (here.preset.model, here.preset.quant)
        return Point(preset, here.model if same else self.finder.find(preset, here.model))

    def named(self, name: str, here: Point) -> Point:
        """To the preset of that name."""
        preset = self.shelf().get(name)
        return Point(preset, self.finder.find(preset, here.model))

    def next_preset(self, step: int, here: Point) -> Point:
        """That many presets further, around the ends of the list."""
        presets = self.shelf().presets
        names = list(presets)
        at = names.index(here.preset.name) if here.preset.name in names else -1 if step > 0 else 0
        preset = presets[names[(at + step) % len(names)]]
        return Point(preset, self.finder.find(preset, here.model))

    def quant(self, quant: str, here: Point) -> Point:
        """To that quant of the model in use."""
        ref = self.finder.quant(loaded(here), quant)
        return Point(msgspec.structs.replace(here.preset, quant=quant), ref)

    def next_quant(self, step: int, here: Point) -> Point:
        """To a smaller (+1) or larger (-1) quant of the model in use."""
        quant, ref = self.finder.neighbour(loaded(here), step)
        return Point(msgspec.structs.replace(here.preset, quant=quant), ref)
