"""Formats the settings of an answer, and the switch between two answers. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import msgspec

from engine.backend import EngineInfo
from engine.errors import XchatError
from engine.presets.preset import Preset
from engine.presets.settings import difference, shown
from engine.records import TurnRecord
from engine.text import one_line, printable

SEPARATOR = " · "
MOST_CHANGES = 4
"""Most settings in one line."""


@dataclass(frozen=True, slots=True)
class Made:
    """The model and settings of an answer."""

    model: str
    quant: str
    preset: Preset

    @classmethod
    def of_turn(cls, turn: TurnRecord) -> Made:
        """Return those of a recorded answer; the defaults replace settings of an unreadable preset."""
        return cls(turn.model, turn.quant, _preset(turn.preset_json, turn.preset))

    @classmethod
    def of_engine(cls, engine: EngineInfo, preset: Preset) -> Made:
        """Return those of the next answer."""
        return cls(engine.model.name, engine.model.quant, preset)


@lru_cache(maxsize=64)
def _preset(encoded: str, name: str) -> Preset:
    try:
        return msgspec.json.decode(encoded, type=Preset)
    except (msgspec.MsgspecError, ValueError, XchatError):
        return Preset(name=name)


def made_with(quant: str, preset: str, threads: int) -> str:
    """Format the text beside the name of an answer's model; `threads` is 0 if unknown."""
    count = f"{threads} thread{'' if threads == 1 else 's'}" if threads else ""
    return SEPARATOR.join(filter(None, (one_line(quant), one_line(preset), count)))


def switch_line(before: Made, after: Made) -> str:
    """Describe the switch, such as `Switched: Q8_0 → Q4_K_M, threads auto → 2`; empty when nothing relevant changed."""
    changes = []
    if before.model != after.model:
        changes.append(f"{one_line(before.model)} {before.quant} → {one_line(after.model)} {after.quant}")
    elif before.quant != after.quant:
        changes.append(f"{before.quant} → {after.quant}")
    if before.preset.name != after.preset.name:
        changes.append(f"preset {one_line(before.preset.name)} → {one_line(after.preset.name)}")
    changes += [
        f"{change.key.removeprefix('sampling.')} {printable(shown(change.before), 30)} → {printable(shown(change.after), 30)}"
        for change in difference(before.preset, after.preset)
        if change.key not in {"model", "quant", "stream_batch"}
    ]
    more = len(changes) - MOST_CHANGES
    named = changes[:MOST_CHANGES] + ([f"{more} more"] if more > 0 else [])
    return f"Switched: {', '.join(named)}" if named else ""
