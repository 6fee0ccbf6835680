"""Compares the settings of the selected turns: their differences and their speeds."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from engine.metrics.ratio import Ratio, ratio_of
from engine.numbers import significant
from engine.store.export.run_card import RunCard, run_cards
from engine.store.export.tables import Selection
from engine.store.queries.speeds import FEWEST_DECODED, FEWEST_PREFILLED

MOST_LABELLED = 3
"""Most differences in a label."""

UNNAMED = frozenset({"Model file", "Model hash", "CPU flags", "Memory", "Kernel"})
"""Circumstances that follow from others, left out of labels."""
LONGEST_VALUE = 40
"""Most characters of a value in a label."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A setting with the medians of its turns."""

    label: str
    """Its values of the settings that differ, in a few words."""
    card: RunCard
    decode: tuple[float, ...]
    """Tokens/s of each compared turn, oldest first."""
    prefill: float | None
    ttft_ms: float | None
    disturbed: bool
    """Whether the figures are of disturbed turns, as there are no clean ones."""

    @property
    def decode_speed(self) -> float:
        """Return the median decode speed in tokens/s; 0 without decoded tokens."""
        return median(self.decode) if self.decode else 0.0


def settings_measured(db: sqlite3.Connection, selection: Selection) -> tuple[Measured, ...]:
    """Return every setting, the fastest first."""
    cards = run_cards(db, selection)
    labels = labels_of([card.facts() for card in cards])
    found = (_measured(db, card, label) for card, label in zip(cards, labels, strict=True))
    return tuple(sorted(found, key=lambda setting: -setting.decode_speed))


def differing(settings: Iterable[Mapping[str, str]]) -> tuple[str, ...]:
    """Return the names of the facts in which settings differ."""
    known = list(settings)
    names = dict.fromkeys(name for facts in known for name in facts)
    return tuple(name for name in names if len({facts.get(name, "") for facts in known}) > 1)


def labels_of(settings: Sequence[Mapping[str, str]]) -> tuple[str, ...]:
    """Label each setting by its differing values, the most important first; a single setting by model and quant."""
    names = [name for name in differing(settings) if name not in UNNAMED][:MOST_LABELLED] or ["Model", "Quant"]
    labels = [", ".join(filter(None, (_in_words(name, facts.get(name, "")) for name in names))) for facts in settings]
    return tuple(label if labels.count(label) == 1 else f"{label}, set {number}" for number, label in enumerate(labels, start=1))


def _in_words(name: str, value: str) -> str:
    value = value if len(value) <= LONGEST_VALUE else f"{value[: LONGEST_VALUE - 1]}…"
    if name in {"Model", "Quant"}:
        return value
    if name.endswith("hreads"):
        return f"{value} {name.lower() if value != '1' else name.lower().removesuffix('s')}"
    return f"{name if name[0].islower() else name.lower()} {value}"


def _measured(db: sqlite3.Connection, card: RunCard, label: str) -> Measured:
    rows = db.execute(
        "SELECT predicted_n, predicted_per_second, prompt_n, prompt_per_second, ttft_ms, clean FROM v_turns "
        "WHERE turn_id IN (SELECT value FROM json_each(?)) AND stop_reason <> 'error' ORDER BY turn_id",
        (json.dumps(card.turn_ids),),
    ).fetchall()
    clean = [row for row in rows if row[-1]]
    compared = clean or rows
    return Measured(
        label,
        card,
        tuple(speed for n, speed, *_ in compared if speed and n >= FEWEST_DECODED),
        _median(speed for _, _, n, speed, *_ in compared if speed and n >= FEWEST_PREFILLED),
        _median(ttft for *_, ttft, _ in compared if ttft is not None),
        bool(rows) and not clean,
    )


def _median(values: Iterable[float]) -> float | None:
    found = list(values)
    return median(found) if found else None


def result_in_words(settings: Sequence[Measured]) -> str:
    """Say which setting decoded fastest, by how much, and with which certainty."""
    fast = [setting for setting in settings if setting.decode]
    if not fast:
        return "No turn decoded enough tokens for a speed." if settings else "No turns were measured."
    first = fast[0]
    speed = f"{'~' if first.disturbed else ''}{figure(first.decode_speed)} tokens/s"
    if len(fast) == 1:
        return f"{first.label} decoded {speed} (median of {len(first.decode):,} turn{'s' if len(first.decode) > 1 else ''})."
    second, ratio = fast[1], ratio_of(first.decode, fast[1].decode)
    than = f"{first.label} was fastest with {speed}, {ratio_in_words(ratio)} than {second.label}"
    if ratio.low is None:
        return f"{than}. Too few turns to be sure: at least 4 of each are needed."
    if not ratio.sure:
        return f"{than}, possibly by chance. `xchat race` measures both alternately."
    return f"{than}. The difference is significant: equal settings differ like this in less than 5 % of comparisons."


def ratio_in_words(ratio: Ratio) -> str:
    """Format a ratio, such as `12 % faster (+7 to +18 %)`."""
    interval = "" if ratio.low is None or ratio.high is None else f" ({_per_cent(ratio.low):+.3g} to {_per_cent(ratio.high):+.3g} %)"
    change = _per_cent(ratio.estimate)
    return f"{abs(change):g} % {'faster' if change >= 0 else 'slower'}{interval}"


def _per_cent(ratio: float) -> float:
    change = 100 * (ratio - 1)
    return round(change, 0 if abs(change) >= 10 else 1)


def figure(value: float | None) -> str:
    """Format a number with three significant digits; empty for None."""
    return "" if value is None else significant(value)
