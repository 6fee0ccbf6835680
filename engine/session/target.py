"""The two ends of a switch: a preset on a model, the cost between two of them, and its description."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from engine.errors import ModelError
from engine.model_ref import ModelRef
from engine.presets.preset import Cost, Preset, cost_of_change
from engine.presets.settings import difference, shown
from engine.session.model_finder import label
from engine.text import printable


@dataclass(frozen=True, slots=True)
class Point:
    """A preset and a model: the current ones, or those to switch to."""

    preset: Preset
    model: ModelRef | None
    """None before anything is loaded."""


def of_no_model(preset: Preset) -> Preset:
    """Return the preset without its model, for a file that is loaded by its path."""
    return msgspec.structs.replace(preset, model=None, quant=None)


def comparable(here: Point, goal: Point) -> tuple[Preset, Preset]:
    """Both presets with comparable models: by file, not by name."""
    if here.model == goal.model:
        return here.preset, msgspec.structs.replace(goal.preset, model=here.preset.model, quant=here.preset.quant)
    before, after = (
        msgspec.structs.replace(point.preset, model=label(point.model) if point.model is not None else None, quant=None)
        for point in (here, goal)
    )
    return before, after if before.model != after.model else msgspec.structs.replace(after, model=str(goal.model))


def cost_between(here: Point, goal: Point) -> Cost | None:
    """Return the cost class of the switch; None when nothing changes."""
    return cost_of_change(*comparable(here, goal))


def rebased(goal: Preset, before: Preset, after: Preset) -> Preset:
    """Apply the changes from `before` to `after` to a preset that is still to be loaded."""
    changed = {field: getattr(after, field) for field in Preset.__struct_fields__ if getattr(before, field) != getattr(after, field)}
    return msgspec.structs.replace(goal, **changed)


def describe(here: Point, goal: Point) -> str:
    """Describe the switch in a few words."""
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
    """Return the model in use. Raises ModelError when there is none."""
    if here.model is None:
        raise ModelError("No model is loaded", "", "Pick one.", "models")
    return here.model
