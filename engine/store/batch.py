"""The queue of samples and events that are written in batches."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

from engine.records import Sample
from engine.store.rows import LoggedEvent

BATCH_ROWS = 50
"""Rows of a batch; it is also written when its oldest row is BATCH_INTERVAL_S old."""
BATCH_INTERVAL_S = 5.0
"""Seconds of samples that a killed process can lose."""
QUEUE_ROWS = 20_000
"""Most queued rows of a kind while the disk fails: some hours of samples, less than 10 MB."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one transaction."""

    samples: tuple[Sample, ...]
    events: tuple[LoggedEvent, ...]

    def __len__(self) -> int:
        return len(self.samples) + len(self.events)

    def moved(self, session_id: int | None, target_id: int | None) -> Batch:
        """Return the rows for another file, where a session has another id, without other sessions."""

        def id_of(row: Sample | LoggedEvent) -> int | None:
            return target_id if row.session_id == session_id else None

        return Batch(
            tuple(replace(sample, session_id=id_of(sample)) for sample in self.samples),
            tuple(replace(event, session_id=id_of(event)) for event in self.events),
        )


class Waiting:
    """The bounded queue. When it is full, the oldest rows are dropped and counted."""

    def __init__(self, limit: int = QUEUE_ROWS) -> None:
        self._limit = limit
        self._samples: deque[Sample] = deque()
        self._events: deque[LoggedEvent] = deque()
        self.dropped = 0
        """Rows dropped since the start."""

    def __len__(self) -> int:
        return len(self._samples) + len(self._events)

    def add_sample(self, sample: Sample) -> None:
        """Queue a sample."""
        self._samples.append(sample)
        self._bound()

    def add_event(self, event: LoggedEvent) -> None:
        """Queue an event."""
        self._events.append(event)
        self._bound()

    def take(self) -> Batch:
        """Remove and return all rows."""
        batch = Batch(tuple(self._samples), tuple(self._events))
        self._samples.clear()
        self._events.clear()
        return batch

    def put_back(self, batch: Batch) -> None:
        """Put back a batch that could not be written, before newer rows."""
        self._samples.extendleft(reversed(batch.samples))
        self._events.extendleft(reversed(batch.events))
        self._bound()

    def _bound(self) -> None:
        for queue in (self._samples, self._events):
            while len(queue) > self._limit:
                queue.popleft()
                self.dropped += 1
