"""Compares a model's predicted memory with the free memory, and finds settings that fit."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from engine.errors import ModelError
from engine.host.topology import Room
from engine.models.facts import ModelFacts
from engine.models.memory import KV_PAD, MemoryEstimate, kv_misfit, predict, row_bytes, window_of
from engine.numbers import byte_size
from engine.presets.preset import Preset

SMALLEST_CONTEXT = 1024
"""Smallest window that is offered as a remedy."""
MOST_REMEDIES = 3


@dataclass(frozen=True, slots=True)
class Remedy:
    """A change that would make a model fit."""

    sentence: str
    changes: Mapping[str, Any]
    """Preset keys and their new values."""
    needed: int
    """Bytes needed with the change."""


@dataclass(frozen=True, slots=True)
class Fit:
    """A prediction and the free memory."""

    estimate: MemoryEstimate
    room: Room
    remedies: tuple[Remedy, ...] = ()
    """At most three, the mildest first; empty when it fits."""

    @property
    def fits(self) -> bool:
        """Whether it fits."""
        return self.estimate.needed <= self.room.available

    @property
    def sentence(self) -> str:
        """The verdict with its numbers."""
        whose = "the cgroup limit leaves" if self.room.limited else "are available"
        verb = "needs" if self.fits else "does not fit: it needs"
        middle = f"{byte_size(self.room.available)} {whose}" if not self.room.limited else f"{whose} {byte_size(self.room.available)}"
        return f"{verb} {byte_size(self.estimate.needed)}, {middle} of {byte_size(self.room.total)}"


class TooLargeError(ModelError):
    """A model that doesn't fit into memory; the hint names the changes that would make it fit, `verdict` has the numbers."""

    def __init__(self, name: str, verdict: Fit) -> None:
        """`name`: the file's name, safe to print."""
        ways = "; ".join(f"{number}. {remedy.sentence}" for number, remedy in enumerate(verdict.remedies, 1))
        super().__init__(
            f"{name} is too large for this machine", verdict.sentence, ways or "Choose a smaller model, or a smaller quant of it"
        )
        self.verdict = verdict


def fit(
    facts: ModelFacts,
    preset: Preset,
    room: Room,
    *,
    features: Collection[str],
    siblings: Mapping[str, ModelFacts] | None = None,
    n_seq: int | None = None,
) -> Fit:
    """Compare a prediction with the free memory. `siblings` are other quants of the family by name, for the remedies."""
    estimate = predict(facts, preset, features=features, n_seq=n_seq)
    if estimate.needed <= room.available:
        return Fit(estimate, room)
    search = _Search(preset, room, features, n_seq)
    milder = list(itertools.islice(search.remedies(facts), MOST_REMEDIES))
    smaller = [(quant, other) for quant, other in (siblings or {}).items() if other.weight_bytes < facts.weight_bytes]
    smaller.sort(key=lambda item: item[1].weight_bytes, reverse=True)
    quants = (search.remedy({}, other, quant) for quant, other in smaller)
    if (best := next(filter(None, quants), None)) is not None:
        milder = [*milder[: MOST_REMEDIES - 1], best]
    if not milder:
        least = predict(facts, _smallest(facts, preset), features=features).needed
        sentence = f"Use a smaller model: with the smallest settings this one still needs {byte_size(least)}"
        milder = [Remedy(sentence, {}, least)]
    return Fit(estimate, room, tuple(milder))


class _Search:
    """Finds changes of one preset that fit into the free memory."""

    def __init__(self, preset: Preset, room: Room, features: Collection[str], n_seq: int | None) -> None:
        self._preset = preset
        self._room = room
        self._features = features
        self._n_seq = n_seq

    def remedies(self, facts: ModelFacts) -> Iterator[Remedy]:
        """Yield changes of settings that fit: single ones before combinations, cheap ones first."""
        single: list[dict[str, Any]] = [{"repack": False}] if self._preset.repack else []
        for kind in ("q8_0", "q4_0"):
            smaller = msgspec.structs.replace(self._preset, type_k=kind, type_v=kind)
            saves = any(row_bytes(group, smaller) < row_bytes(group, self._preset) for group in facts.kv)
            if saves and self._preset.flash_attn != "off" and not kv_misfit(facts, smaller):
                single.append({"type_k": kind, "type_v": kind})
        pairs = (one | other for one, other in itertools.combinations(single, 2) if not one.keys() & other.keys())
        whole = (self.remedy(changes, facts) for changes in single)
        window = iter([self._with_smaller_window({}, facts)])
        combined = (self.remedy(changes, facts) or self._with_smaller_window(changes, facts) for changes in (*pairs, *reversed(single)))
        seen = set[str]()
        for remedy in itertools.chain(whole, window, combined):
            if remedy is not None and remedy.sentence not in seen:
                seen.add(remedy.sentence)
                yield remedy

    def remedy(self, changes: Mapping[str, Any], facts: ModelFacts, quant: str = "") -> Remedy | None:
        """Return these changes as a remedy, optionally with another quant's facts; None when they are not enough."""
        needed = self._needed(changes, facts)
        if needed > self._room.available:
            return None
        named = {**changes, "quant": quant} if quant else changes
        return Remedy(_sentence(named, needed), named, needed)

    def _needed(self, changes: Mapping[str, Any], facts: ModelFacts) -> int:
        changed = msgspec.structs.replace(self._preset, **changes)
        return predict(facts, changed, features=self._features, n_seq=self._n_seq).needed

    def _with_smaller_window(self, changes: Mapping[str, Any], facts: ModelFacts) -> Remedy | None:
        """Return these changes with the largest window that fits and that the model was trained for; None when none fits."""
        low, high = SMALLEST_CONTEXT // KV_PAD, window_of(self._preset, facts) // KV_PAD
        if facts.n_ctx_train:
            high = min(high, facts.n_ctx_train // KV_PAD + 1)
        if high <= low or self.remedy({**changes, "n_ctx": low * KV_PAD}, facts) is None:
            return None
        while low + 1 < high:
            middle = (low + high) // 2
            fits = self._needed({**changes, "n_ctx": middle * KV_PAD}, facts) <= self._room.available
            low, high = (middle, high) if fits else (low, middle)
        return self.remedy({**changes, "n_ctx": low * KV_PAD}, facts)


def _smallest(facts: ModelFacts, preset: Preset) -> Preset:
    smallest = msgspec.structs.replace(preset, repack=False, mmap=True, n_ctx=SMALLEST_CONTEXT, n_ubatch=32)
    quantized = msgspec.structs.replace(smallest, type_k="q4_0", type_v="q4_0", flash_attn="auto")
    return smallest if kv_misfit(facts, quantized) else quantized


def _sentence(changes: Mapping[str, Any], needed: int) -> str:
    words = []
    for key, value in changes.items():
        if key == "repack":
            words.append("do not repack the weights (slower prefill)")
        elif key == "type_k":
            words.append(f"store the KV cache as {value}")
        elif key == "n_ctx":
            words.append(f"use n_ctx {value:,}")
        elif key == "quant":
            words.append(f"use the quant {value}")
    text = ", ".join(words)
    return f"{text[0].upper()}{text[1:]}: needs {byte_size(needed)}"
