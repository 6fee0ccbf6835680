"""Limits of a chat template: steps, time, and sizes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from jinja2 import TemplateError
from jinja2.utils import Cycler, Joiner, Namespace

from engine.clock import NS_PER_S

MAX_STEPS = 2_000_000
"""Most steps of one rendering; a conversation of 2,000 messages needs about 100,000."""

MAX_SECONDS = 3.0
"""Most CPU seconds of one rendering; only harmful templates come near it."""

SECONDS_PER_ITEM = 0.001
STEPS_PER_ITEM = 200
"""Steps added for each element of a conversation (five a message): some real templates read all messages for each one."""

LONGEST_SECONDS = 15.0
"""Most CPU seconds of one rendering of a long conversation."""

STEPS_PER_LOOK = 16
"""Steps between two readings of the CPU time."""

BASE_SIZE = 4_000_000
"""Most characters of a value, and of all output; a conversation adds eight times its own length."""

BASE_ITEMS = 50_000
"""Most elements of a value, nested ones included; a conversation adds eight times its own."""

MAX_DEPTH = 100
"""Deepest nesting of lists."""

MAX_NUMBER = 2**64
"""Largest magnitude of a whole number."""

MAX_COUNT = 10_000
"""Largest width or count of a filter or a text method."""


_END = object()


class TemplateLimitError(TemplateError):
    """The template needs too much time or memory."""


class Meter:
    """The budget of one rendering."""

    def __init__(self, *, max_steps: int = MAX_STEPS, max_seconds: float = MAX_SECONDS) -> None:
        self._max_steps, self._max_ns = max_steps, int(max_seconds * NS_PER_S)
        self.begin({})

    def begin(self, variables: Mapping[str, object]) -> None:
        """Reset the budget for a rendering with these variables."""
        characters, items = _weight(variables)
        self.max_size = BASE_SIZE + 8 * characters
        self.max_items = BASE_ITEMS + 8 * items
        self._output = self.max_size
        self._steps = self._max_steps + items * STEPS_PER_ITEM
        self._next_look = self._steps
        most_ns = max(self._max_ns, int(LONGEST_SECONDS * NS_PER_S))
        self._deadline_ns = time.thread_time_ns() + min(most_ns, self._max_ns + int(items * SECONDS_PER_ITEM * NS_PER_S))

    def step(self, cost: int = 1) -> None:
        """Charge steps, and check the processor time of this thread."""
        self._steps -= cost
        if self._steps < self._next_look:
            self._next_look = self._steps - STEPS_PER_LOOK
            if self._steps < 0 or time.thread_time_ns() > self._deadline_ns:
                raise TemplateLimitError("the template does not terminate")

    def text(self, value: str) -> str:
        """Charge a new text; raise when it is too long."""
        self.room_for(len(value))
        self.step(1 + len(value) // 1024)
        return value

    def room_for(self, size: int) -> None:
        """Raise when a text of this size would be too long."""
        if size > self.max_size:
            raise TemplateLimitError("the template makes a text that is too long")

    def output(self, piece: str) -> str:
        """Charge a piece of output, captured pieces included."""
        self.step()
        self._output -= len(piece)
        if self._output < 0:
            raise TemplateLimitError("the template's output is too long")
        return piece

    def texts(self, values: Iterable[object]) -> Iterator[str]:
        """Yield values as they are printed; raises when together they are too long."""
        total = 0
        for value in values:
            text = self.printed(value)
            total += len(text)
            self.room_for(total)
            yield text

    def printed(self, value: object) -> str:
        """Return a value as it is printed, metered before."""
        if not isinstance(value, str):
            self.weigh(value)
        return str(value)

    def settled(self, value: Any) -> Any:
        """Weigh and return a new value; generators become lists, so that nothing runs without the meter."""
        if isinstance(value, str):
            return self.text(str(value))
        if isinstance(value, Iterator) and not isinstance(value, (Cycler, Joiner)):
            value = self.listed(value)
        if isinstance(value, (list, tuple, dict)):
            self.weigh(value)
        return value

    def listed(self, values: Iterable[Any]) -> list[Any]:
        """Return the elements, up to one more than a list may have."""
        return list(islice(values, self.max_items + 1))

    def weigh(self, value: object) -> int:
        """Return the characters in a value with everything inside it; raises when it is too big.

        A list that contains the same list twice counts it twice, as printing or comparing it does.
        """
        size = items = 0
        waiting: list[Iterator[object]] = [iter((value,))]
        while waiting:
            part = next(waiting[-1], _END)
            if part is _END:
                waiting.pop()
                continue
            items += 1
            if items > self.max_items or len(waiting) > MAX_DEPTH:
                raise TemplateLimitError("the template makes a list that is too long")
            if isinstance(part, str):
                size += len(part)
            elif (inner := _parts(part)) is not None:
                waiting.append(inner)
        self.step(1 + items // 16)
        self.room_for(size)
        return size + items


def _parts(value: object) -> Iterator[object] | None:
    if isinstance(value, Mapping):
        return (part for pair in value.items() for part in pair)
    if isinstance(value, (list, tuple, set, frozenset)):
        return iter(value)
    if isinstance(value, Namespace):
        return iter(tuple(object.__getattribute__(value, "_Namespace__attrs").values()))
    return None


def _weight(value: object) -> tuple[int, int]:
    """Return the characters and elements in a trusted value, without metering."""
    if isinstance(value, str):
        return len(value), 1
    inner = [_weight(part) for part in _parts(value) or ()]
    return sum(characters for characters, _ in inner), 1 + sum(items for _, items in inner)
