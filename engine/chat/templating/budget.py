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
"""Steps of one rendering; a conversation of 2,000 messages takes some 100,000."""

MAX_SECONDS = 3.0
"""Most processor time of one rendering; only harmful templates come near it."""

SECONDS_PER_ITEM = 0.001
STEPS_PER_ITEM = 200
"""What a conversation adds for each of its elements (five a message): some real templates read all messages again for each one."""

LONGEST_SECONDS = 15.0
"""Most processor time of one rendering of a long conversation."""

STEPS_PER_LOOK = 16
"""Steps between two readings of the processor time."""

BASE_SIZE = 4_000_000
"""Characters that any value, and all output together, may have; a conversation adds eight times its own length."""

BASE_ITEMS = 50_000
"""Elements that any value may have, nested ones included; a conversation adds eight times its own."""

MAX_DEPTH = 100
"""How deep lists may be nested."""

MAX_NUMBER = 2**64
"""Largest magnitude of a whole number."""

MAX_COUNT = 10_000
"""Largest number that a filter or a text method takes as a width or a count."""


_END = object()


class TemplateLimitError(TemplateError):
    """The template asked for more time or memory than a chat template can need."""


class Meter:
    """The budget of one rendering."""

    def __init__(self, *, max_steps: int = MAX_STEPS, max_seconds: float = MAX_SECONDS) -> None:
        self._max_steps, self._max_ns = max_steps, int(max_seconds * NS_PER_S)
        self.begin({})

    def begin(self, variables: Mapping[str, object]) -> None:
        """Fill the budget for a rendering with these variables."""
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
                raise TemplateLimitError("the template does not come to an end")

    def text(self, value: str) -> str:
        """Charge a text that was made; raise when it is far too long."""
        self.room_for(len(value))
        self.step(1 + len(value) // 1024)
        return value

    def room_for(self, size: int) -> None:
        """Raise when a text of this size would be far too long."""
        if size > self.max_size:
            raise TemplateLimitError("the template makes far too long a text")

    def output(self, piece: str) -> str:
        """Charge a piece of output, captured pieces included."""
        self.step()
        self._output -= len(piece)
        if self._output < 0:
            raise TemplateLimitError("the template prints far too much")
        return piece

    def texts(self, values: Iterable[object]) -> Iterator[str]:
        """Values as they are printed; raises when together they are far too long."""
        total = 0
        for value in values:
            text = self.printed(value)
            total += len(text)
            self.room_for(total)
            yield text

    def printed(self, value: object) -> str:
        """A value as it is printed, measured before."""
        if not isinstance(value, str):
            self.weigh(value)
        return str(value)

    def settled(self, value: Any) -> Any:
        """A value that was made, weighed; generators become lists, so that nothing goes on without the meter."""
        if isinstance(value, str):
            return self.text(str(value))
        if isinstance(value, Iterator) and not isinstance(value, (Cycler, Joiner)):
            value = self.listed(value)
        if isinstance(value, (list, tuple, dict)):
            self.weigh(value)
        return value

    def listed(self, values: Iterable[Any]) -> list[Any]:
        """The elements, up to one more than a list may have."""
        return list(islice(values, self.max_items + 1))

    def weigh(self, value: object) -> int:
        """The characters in a value with everything inside it, refused when it is far too big.

        A list that holds the same list twice counts it twice: that is what printing or comparing it costs.
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
                raise TemplateLimitError("the template makes far too big a list")
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
    """The characters and elements in a value of our own, which needs no metering."""
    if isinstance(value, str):
        return len(value), 1
    inner = [_weight(part) for part in _parts(value) or ()]
    return sum(characters for characters, _ in inner), 1 + sum(items for _, items in inner)
