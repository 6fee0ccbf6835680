"""Makes the run card: the circumstances that determine whether measurements are comparable."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from engine.numbers import byte_size
from engine.presets.preset import SAMPLING, SETTINGS, Preset, value_of
from engine.store.export.llama_bench import command_line
from engine.store.export.tables import Selection, preset_settings, where, without_texts
from engine.store.host import Host

MOST_CARDS = 50
"""Most combinations on a page, those with the most turns first."""

GOVERNOR_KIND = "governor"
"""Kind of the events with the thread governor's decisions."""

_MOST_DECISIONS = 20

_SAID_BETTER = frozenset({"description", "model", "quant", "threads", "threads_batch", "n_ctx"})
"""Settings that turns have their own values for, and those without effect on measurements."""

_Decision = tuple[str, str | None, str | None]
"""A sentence, and the model and preset of its turn."""
_OF_NO_TURN = (None, None)

_HOST_COLUMNS = "p.host, p.kernel, p.cpu, p.cpu_flags, p.cores, p.memory_bytes, p.xchat_version, p.llama_cpp_version"
_SETTING_COLUMNS = "t.model, t.model_path, t.model_fingerprint, t.quant, t.preset, t.preset_json, t.n_ctx, t.threads, t.threads_batch"


@dataclass(frozen=True, slots=True)
class RunCard:
    """Turns measured under the same circumstances."""

    host: Host | None
    """None if unknown."""
    model: str
    model_path: str
    model_fingerprint: str
    quant: str
    preset: str
    preset_json: str
    """The preset, whole or without its system prompt."""
    n_ctx: int
    threads: int
    threads_batch: int
    turn_ids: tuple[int, ...]
    noise: tuple[tuple[str, int], ...]
    """The reasons why turns are noisy, with the number of turns."""
    decisions: tuple[str, ...]
    """The last decisions of the thread governor under this model and preset."""
    repeat: str
    """The llama-bench command line that repeats the measurement."""

    @property
    def turns(self) -> int:
        """Number of turns."""
        return len(self.turn_ids)

    @property
    def clean_turns(self) -> int:
        """Number of clean turns."""
        return self.turns - sum(count for _, count in self.noise)

    def facts(self) -> dict[str, str]:
        """Return the circumstances by name, the most important first."""
        host = self.host
        return {
            "Model": self.model,
            "Quant": self.quant,
            "Threads": str(self.threads),
            "Prefill threads": str(self.threads_batch),
            "Preset": self.preset,
            **self._settings(),
            "Context window": f"{self.n_ctx:,} tokens",
            "Host": host.name if host else "unknown",
            "CPU": f"{host.cpu}, {host.cores} cores" if host else "unknown",
            "CPU flags": (host.cpu_flags if host else "") or "unknown",
            "Memory": byte_size(host.memory_bytes) if host else "unknown",
            "Kernel": host.kernel if host else "unknown",
            "llama.cpp": (host.llama_cpp_version if host else "") or "unknown",
            "xchat": host.xchat_version if host else "unknown",
            "Model file": self.model_path,
            "Model hash": self.model_fingerprint,
        }

    def lines(self) -> tuple[tuple[str, str], ...]:
        """Return the measurements under these circumstances as headings and values."""
        noise = ", ".join(f"{reason} ({count})" for reason, count in self.noise) or "none detected"
        return (
            ("Turns", f"{self.turns:,}, of which {self.clean_turns:,} clean"),
            ("Noise", noise),
            ("Governor", "; ".join(self.decisions) or "none logged"),
            ("Repeat with", self.repeat),
        )

    def _settings(self) -> dict[str, str]:
        """Return the preset's settings without own values in turns, by their names."""
        preset = preset_settings(self.preset_json)
        nested = preset.get(SAMPLING)
        given = preset | {f"{SAMPLING}.{key}": value for key, value in (nested if isinstance(nested, dict) else {}).items()}
        values = {key: given.get(key, value_of(Preset(), key)) for key in SETTINGS if key not in _SAID_BETTER}
        return {key.removeprefix(f"{SAMPLING}."): _in_words(value) for key, value in values.items() if value not in (None, "")}


def _in_words(value: object) -> str:
    return ("on" if value else "off") if isinstance(value, bool) else str(value)


def run_cards(db: sqlite3.Connection, selection: Selection) -> tuple[RunCard, ...]:
    """Make a card for each combination of host, versions, model, preset and threads among the selected turns."""
    condition, values = where(selection, "t.session_id")
    cursor = db.execute(
        f"""
        SELECT {_HOST_COLUMNS}, {_SETTING_COLUMNS}, json_group_array(t.id),
            json_group_array(coalesce(t.noisy, CASE WHEN t.stop_reason = 'error' THEN 'failed' WHEN NOT t.judged THEN 'not judged' END)),
            CAST(avg(t.prompt_n) AS INTEGER), CAST(avg(t.predicted_n) AS INTEGER), CAST(avg(t.cache_n) AS INTEGER)
        FROM turns AS t LEFT JOIN processes AS p ON p.id = t.process_id
        WHERE {condition}
        GROUP BY {_HOST_COLUMNS}, {_SETTING_COLUMNS} ORDER BY count(*) DESC, max(t.id) DESC LIMIT {MOST_CARDS}
        """,
        values,
    )
    decisions = _decisions(db, selection)
    return tuple(_card(row, selection, decisions) for row in cursor)


def _card(row: Sequence[Any], selection: Selection, decisions: Sequence[_Decision]) -> RunCard:
    host, settings, (turns, noise, n_prompt, n_gen, n_depth) = row[:8], row[8:17], row[17:]
    model, path, fingerprint, quant, preset, preset_json, n_ctx, threads, threads_batch = settings
    return RunCard(
        host=None if host[0] is None else Host(*host),
        model=model,
        model_path=path,
        model_fingerprint=fingerprint,
        quant=quant,
        preset=preset,
        preset_json=preset_json if selection.texts else without_texts(preset_json),
        n_ctx=n_ctx,
        threads=threads,
        threads_batch=threads_batch,
        turn_ids=tuple(sorted(json.loads(turns))),
        noise=tuple(sorted(Counter(reason for reason in json.loads(noise) if reason is not None).items())),
        decisions=tuple(text for text, *under in decisions if tuple(under) in {(fingerprint, preset_json), _OF_NO_TURN})[-_MOST_DECISIONS:],
        repeat=command_line(model_path=path, preset_json=preset_json, threads=threads, n_prompt=n_prompt, n_gen=n_gen, n_depth=n_depth),
    )


def _decisions(db: sqlite3.Connection, selection: Selection) -> Sequence[_Decision]:
    """Return the decisions, the oldest first, each once."""
    condition, values = where(selection, "e.session_id")
    cursor = db.execute(
        f"""
        SELECT e.text, t.model_fingerprint, t.preset_json FROM events AS e LEFT JOIN turns AS t ON t.id = e.turn_id
        WHERE e.kind = '{GOVERNOR_KIND}' AND {condition} GROUP BY 1, 2, 3 ORDER BY max(e.id) DESC LIMIT {MOST_CARDS * _MOST_DECISIONS}
        """,
        values,
    )
    return tuple(cursor)[::-1]
