"""Explains the time of logged turns by the model's file and this machine's limits; files are read on a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from pathlib import Path

import msgspec

from engine.errors import XchatError
from engine.host.bandwidth import remembered
from engine.metrics.bottlenecks import Bottleneck, bottlenecks, turn_ms
from engine.metrics.roofline import ModelTraffic
from engine.models.check import parts_of
from engine.models.facts_cache import FactsCache
from engine.models.memory import traffic_of
from engine.presets.preset import Preset
from engine.records import TurnRecord
from engine.store.queries.turns import major_faults_of, turns_between
from engine.store.reader import Reader


@dataclass(frozen=True, slots=True)
class Explained:
    """A turn and the causes of its time."""

    turn: TurnRecord
    seconds: float
    """Time from submitting to the last token."""
    causes: tuple[Bottleneck, ...]
    """The largest first; may be empty."""


async def explain(reader: Reader, turns: Sequence[TurnRecord]) -> tuple[Explained, ...]:
    """Return the turns with their causes, in their order. Raises StoreError when the database can't be read."""
    faults = await reader.read(major_faults_of, [turn.id for turn in turns])
    return await asyncio.to_thread(lambda: tuple(_explained(turn, faults.get(turn.id, 0.0)) for turn in turns))


async def slowest_of(reader: Reader, day: date, limit: int) -> tuple[Explained, ...]:
    """Return the slowest turns of a day (local time) with their causes; raises the errors of `explain`."""
    began, end = (datetime.combine(one, time.min).astimezone() for one in (day, day + timedelta(days=1)))
    turns = await reader.read(turns_between, round(began.timestamp() * 1e3), round(end.timestamp() * 1e3))
    return await explain(reader, sorted(turns, key=turn_ms, reverse=True)[:limit])


def _explained(turn: TurnRecord, major_faults: float) -> Explained:
    traffic, smaller_kv = _traffic(turn.model_path, turn.preset_json)
    return Explained(turn, turn_ms(turn) / 1e3, bottlenecks(turn, traffic, remembered(turn.threads), major_faults, smaller_kv))


@lru_cache(maxsize=64)
def _traffic(path: str, preset_json: str) -> tuple[ModelTraffic | None, ModelTraffic | None]:
    """Return the memory traffic per token, and that with a q8_0 KV cache where it is less; None where unknown."""
    if not path:
        return None, None
    try:
        preset = msgspec.json.decode(preset_json, type=Preset)
        facts = FactsCache().facts(parts_of(Path(path)))
        now, other = (traffic_of(facts, one) for one in (preset, msgspec.structs.replace(preset, type_k="q8_0", type_v="q8_0")))
    except (XchatError, msgspec.MsgspecError, OSError):
        return None, None
    return now, other if other.bytes_per_token(0) < now.bytes_per_token(0) else None
