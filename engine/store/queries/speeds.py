"""Queries the measured speed of each model file on this host, for lists of models."""

from __future__ import annotations

import os
import socket
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from types import MappingProxyType
from typing import Any

from engine.clock import NS_PER_MS
from engine.metrics.alerts import Usual
from engine.paths import database_path
from engine.store.errors import explain
from engine.store.sqlite.connect import open_reader

LOOKED_AT = 2_000
"""Most turns of this host that are read, the newest."""
NEWEST = 20
"""Most turns of a file for its figures, the newest, since old ones may be outdated."""
USUAL_OVER = 100
"""Newest turns of a model for its usual figures."""
FEWEST_USUAL = 8
"""Fewest turns for a usual speed."""
FEWEST_DECODED = 16
FEWEST_PREFILLED = 64
"""Fewest tokens for a speed; over fewer it is mostly noise."""

_FIGURES = ("t.predicted_n", "t.predicted_ms", "t.prompt_n", "t.prompt_ms")


def _number(column: str) -> str:
    """Return SQL for a figure that is 0 where a damaged row has none."""
    return f"CAST(coalesce({column}, 0) AS REAL)"


_QUERY = f"""
    SELECT t.noisy IS NULL, t.model_path, t.model_fingerprint, t.started_ms, {", ".join(map(_number, _FIGURES))}
    FROM turns AS t JOIN processes AS p ON p.id = t.process_id
    WHERE p.host = ? AND t.judged AND t.stop_reason <> 'error' AND typeof(t.model_path) = 'text' AND typeof(t.started_ms) = 'integer'
    ORDER BY t.id DESC LIMIT {LOOKED_AT}
"""


_OF_MODEL = f"""
    SELECT t.id, t.session_id, t.predicted_n, t.predicted_ms FROM turns AS t JOIN processes AS p ON p.id = t.process_id
    WHERE p.host = ? AND t.model_fingerprint = ? AND t.predicted_n >= {FEWEST_DECODED} AND t.predicted_ms > 0 AND t.stop_reason <> 'error'
    ORDER BY t.id DESC LIMIT {USUAL_OVER}
"""


_QUALITIES = """
    SELECT json_extract(q.value, '$.path'), json_extract(q.value, '$.kld'), r.started_ms
    FROM (SELECT id, started_ms, facts FROM lab_runs WHERE kind IN ('quality', 'family') AND json_valid(facts)) AS r,
        json_each(r.facts, '$.quality') AS q
    WHERE json_type(q.value, '$.path') = 'text' AND json_type(q.value, '$.kld') = 'real'
    ORDER BY r.id
"""


@dataclass(frozen=True, slots=True)
class MeasuredSpeed:
    """Medians over the newest clean turns of a model file on this host, with any settings."""

    predicted_per_second: float | None
    """Decode speed; None when no turn was long enough."""
    prompt_per_second: float | None
    """Prefill speed; None when no prompt was long enough."""
    turns: int
    last_ms: int
    """Start of the newest of them, Unix time."""
    disturbed: bool = False
    """Whether these turns were disturbed, as there are no clean ones; the file is faster than this."""


@dataclass(slots=True)
class _Turns:
    fingerprint: str
    last_ms: int
    decoding: list[float]
    prefilling: list[float]
    count: int = 0


class MeasuredSpeeds:
    """The measured speeds and the quality of the files of this machine."""

    def __init__(self, by_file: Mapping[str, MeasuredSpeed], qualities: Mapping[str, tuple[float, int]] = MappingProxyType({})) -> None:
        """Both are by the logged paths; `qualities` has KL divergences with the Unix time of their measurement."""
        self._by_file = {os.path.realpath(path): speed for path, speed in reversed(list(by_file.items()))}
        self._qualities = {os.path.realpath(path): found for path, found in qualities.items()}

    def kld(self, path: Path) -> float | None:
        """Return the newest mean KL divergence of a quant from the reference, in nats; None if unknown or if the file changed since."""
        known = self._qualities.get(os.path.realpath(path))
        return known[0] if known is not None and _written_before(path, known[1]) else None

    def of(self, path: Path) -> MeasuredSpeed | None:
        """Return the speeds of a file; None if unknown or if the file changed since."""
        known = self._by_file.get(os.path.realpath(path))
        return known if known is not None and _written_before(path, known.last_ms) else None


def _written_before(path: Path, at_ms: int) -> bool:
    try:
        return path.stat().st_mtime_ns // NS_PER_MS <= at_ms
    except OSError:
        return False


def measured_speeds(path: Path | None = None, *, host: str | None = None) -> MeasuredSpeeds:
    """Read the speeds from the database; empty when there is none. Blocks for some milliseconds.

    Raises StoreError when the database can't be read.
    """
    path = path if path is not None else database_path()
    if not path.exists():
        return MeasuredSpeeds({})
    with closing(open_reader(path)) as db:
        try:
            found = speeds_by_file(db, host if host is not None else socket.gethostname())
            laboratory = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'lab_runs'").fetchone()
            return MeasuredSpeeds(found, {file: (kld, at_ms) for file, kld, at_ms in db.execute(_QUALITIES)} if laboratory else {})
        except sqlite3.Error as error:
            raise explain(error, path) from error


def usual_of(db: sqlite3.Connection, host: str, fingerprint: str) -> Usual | None:
    """Return the usual speed of a model on a host, busy or not; None with too few turns."""
    rows = db.execute(_OF_MODEL, (host, fingerprint)).fetchall()
    if len(rows) < FEWEST_USUAL:
        return None
    turns, sessions = {row[0] for row in rows}, {row[1] for row in rows}
    marks = db.execute(
        f"SELECT turn_id FROM events WHERE kind = 'stall' AND session_id IN ({', '.join('?' * len(sessions))})", tuple(sessions)
    )
    stalls = sum(turn in turns for (turn,) in marks)
    minutes = sum(row[3] for row in rows) / 60_000
    return Usual(median(n / ms * 1e3 for _, _, n, ms in rows), stalls / minutes, len(rows))


def speeds_by_file(db: sqlite3.Connection, host: str) -> dict[str, MeasuredSpeed]:
    """Return the speeds by the path of the model file, the last used first; of disturbed turns only where there are no clean ones.

    Turns of other weights under the same path do not count.
    """
    rows = db.execute(_QUERY, (host,)).fetchall()
    quiet = _by_file([row[1:] for row in rows if row[0]])
    rough = {file: replace(speed, disturbed=True) for file, speed in _by_file([row[1:] for row in rows if not row[0]]).items()}
    known = rough | quiet
    return {file: known[file] for file in dict.fromkeys(row[1] for row in rows) if file in known}


def _by_file(rows: Iterable[Sequence[Any]]) -> dict[str, MeasuredSpeed]:
    files: dict[str, _Turns] = {}
    for file, fingerprint, started_ms, predicted_n, predicted_ms, prompt_n, prompt_ms in rows:
        turns = files.setdefault(file, _Turns(fingerprint, started_ms, [], []))
        if turns.fingerprint != fingerprint or turns.count == NEWEST:
            continue
        turns.count += 1
        if predicted_n >= FEWEST_DECODED and predicted_ms > 0:
            turns.decoding.append(predicted_n / predicted_ms * 1e3)
        if prompt_n >= FEWEST_PREFILLED and prompt_ms > 0:
            turns.prefilling.append(prompt_n / prompt_ms * 1e3)
    return {
        file: MeasuredSpeed(_median(turns.decoding), _median(turns.prefilling), turns.count, turns.last_ms)
        for file, turns in files.items()
        if turns.decoding or turns.prefilling
    }


def _median(speeds: list[float]) -> float | None:
    return median(speeds) if speeds else None
