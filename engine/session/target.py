"""From where to where a switch goes: presets on files, what lies between two of them, and how to say it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from engine.errors import ModelError
from engine.presets.preset import Cost, Preset, cost_of_change
from engine.presets.settings import difference, shown
from engine.text import file_name, printable


@dataclass(frozen=True, slots=True)
class Point:
    """Where one is, or wants to be: a preset in force on a file."""

    preset: Preset
    path: Path | None
    """None before anything is loaded."""


def of_no_model(preset: Preset) -> Preset:
    """The preset without a model of its own: what it means when a file is loaded by its path."""
    return msgspec.structs.replace(preset, model=None, quant=None)


def comparable(here: Point, goal: Point) -> tuple[Preset, Preset]:
    """Both presets, with their models told apart by the file that they mean and not by how it was named."""
    if here.path == goal.path:
        return here.preset, msgspec.structs.replace(goal.preset, model=here.preset.model, quant=here.preset.quant)
    before, after = (
        msgspec.structs.replace(point.preset, model=file_name(point.path) if point.path is not None else None, quant=None)
        for point in (here, goal)
    )
    return before, after if before.model != after.model else msgspec.structs.replace(after, model=str(goal.path))


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
    if goal.path != here.path and goal.path is not None:
        return file_name(goal.path)
    changes = difference(*comparable(here, goal))
    return (
        ", ".join(f"{change.key} {printable(shown(change.after), 40)}" for change in changes[:3])
        or f"preset {printable(goal.preset.name, 40)}"
    )


def loaded(here: Point) -> Path:
    """The file in use. Raises ModelError when there is none."""
    if here.path is None:
        raise ModelError("No model is loaded", "", "Pick one.", "models")
    return here.path
