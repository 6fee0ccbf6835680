"""Several answers to one message: from other presets, quants and models, or from the same settings.

Answers that differ only in settings of a turn are generated in parallel on the loaded model; for the others model or context are switched
in turn, and the original ones restored at the end. All answers are versions of the next message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from engine.errors import EngineError, UsageError, XchatError
from engine.events import (
    AnswerGrew,
    BranchChanged,
    Column,
    ColumnChanged,
    ComparisonEnded,
    ComparisonStarted,
    Event,
    PromptEvaluated,
    TurnFinished,
    TurnStarted,
)
from engine.model_ref import ModelRef
from engine.presets.folder import PresetFolder, Shelf
from engine.presets.preset import SETTINGS, Cost, Preset, value_of
from engine.presets.settings import parse_assignments, with_text
from engine.session.conversation import Question
from engine.session.model_finder import ModelFinder, label
from engine.session.target import Point, loaded
from engine.session.turns import Turns

MOST_COLUMNS = 4
CURRENT = "current"
"""The name of the settings in use."""
OF_A_TURN = frozenset(key for key, setting in SETTINGS.items() if setting.cost is Cost.HOT) - {"threads", "threads_batch", "stream_batch"}
"""Settings in which parallel answers may differ."""


@dataclass(frozen=True, slots=True)
class Side:
    """An answer to generate."""

    name: str
    point: Point


def sides_of(words: Sequence[str], here: Point, shelf: Shelf, finder: ModelFinder) -> list[Side]:
    """Return the sides named by words: presets, quants, models, `KEY=VALUE` and `current`. One word is compared with the settings in use.

    Reads files. Raises UsageError, or ModelError for a model that is not here.
    """
    words = [CURRENT, *words] if len(words) == 1 else words
    if not 2 <= len(words) <= MOST_COLUMNS:
        raise UsageError(
            f"{len(words)} answers can't be compared", "", f"Name 2 to {MOST_COLUMNS} presets, quants or models, such as `q8_0 q4_k_m`."
        )
    return [Side(word, _point(word, here, shelf, finder)) for word in words]


def same_sides(count: int, here: Point) -> list[Side]:
    """Return `count` sides with the settings in use, each with its own seed. Raises UsageError where the answers would be the same."""
    if not 2 <= count <= MOST_COLUMNS:
        raise UsageError(f"{count:,} answers can't be compared", "", f"Ask for 2 to {MOST_COLUMNS}.")
    sampling = here.preset.sampling
    if sampling.temperature == 0:
        raise UsageError("Every answer would be the same", "The temperature is 0", "Raise it: `/set temperature 0.8`.")
    seeds = [None if sampling.seed is None else sampling.seed + number for number in range(count)]
    presets = [msgspec.structs.replace(here.preset, sampling=msgspec.structs.replace(sampling, seed=seed)) for seed in seeds]
    return [Side(preset.name, Point(preset, here.model)) for preset in presets]


def _point(word: str, here: Point, shelf: Shelf, finder: ModelFinder) -> Point:
    if word == CURRENT:
        return here
    if word in shelf.presets:
        preset = shelf.presets[word]
        return Point(preset, finder.find(preset, here.model))
    if "=" in word and not word.startswith(("/", "~", ".")):
        preset = with_text(here.preset, parse_assignments(word.split(",")))
        changed = (preset.model, preset.quant) != (here.preset.model, here.preset.quant)
        return Point(preset, finder.find(preset, here.model) if changed else here.model)
    if word.lower() in {choice.quant.lower() for choice in finder.quants(loaded(here))}:
        return Point(msgspec.structs.replace(here.preset, quant=word.upper()), finder.quant(loaded(here), word))
    preset = msgspec.structs.replace(here.preset, model=word, quant=None)
    return Point(preset, finder.find(preset, here.model))


class SideBySide:
    """Generates the answers of one comparison at a time. For the event loop's thread."""

    def __init__(self, turns: Turns, finder: ModelFinder, *, switch: Callable[[ModelRef, Preset], Awaitable[object]]) -> None:
        """Create it; `switch` loads a model with settings."""
        self._turns = turns
        self._finder = finder
        self._switch = switch
        self._task: asyncio.Task[None] | None = None
        self._stopped = False
        self._closing = False

    @property
    def here(self) -> Point:
        """The settings and the model in use."""
        slot = self._turns.slot
        return Point(slot.preset, slot.ready().model.ref)

    async def compare(self, words: Sequence[str], text: str = "") -> None:
        """Answer `text`, or the last message of the branch, with each preset, quant, model or setting named by words.

        Events report the answers; each is a version of the next message. Raises as `Session.send` does, and ModelError for a
        missing model.
        """
        self._turns.refuse_while_busy()
        here = self.here
        self._begin(await asyncio.to_thread(lambda: sides_of(words, here, PresetFolder().load(), self._finder)), text)

    def repeat(self, count: int, text: str = "") -> None:
        """Answer `text`, or the last message of the branch, `count` times with the settings in use. Raises as `Session.send` does."""
        self._begin(same_sides(count, self.here), text)

    def _begin(self, sides: Sequence[Side], text: str) -> None:
        """Answer on every side, in the background."""
        turns, here = self._turns, self.here
        turns.refuse_while_busy()
        conversation = turns.conversation
        before = conversation.tree.head
        asked = conversation.new_message(text) if text else conversation.regenerate()
        head = before.id if before is not None and asked.user.id in conversation.tree else None
        self._stopped = False
        turns.hold()
        columns = tuple(Column(side.name, label(side.point.model) if side.point.model else "", side.point.preset) for side in sides)
        turns.emit(ComparisonStarted(asked.user, columns))
        self._task = asyncio.create_task(self._run(sides, here, asked, head), name="side by side")

    def stop(self) -> None:
        """Stop all answers and start no further ones."""
        self._stopped = True
        self._turns.stop()
        if self._turns.held:
            self._turns.slot.cancel_load()

    async def close(self) -> None:
        """Stop, and keep the model that is loaded now."""
        self._closing = True
        self.stop()
        if self._task is not None:
            with suppress(asyncio.CancelledError):
                await self._task

    async def _run(self, sides: Sequence[Side], here: Point, asked: Question, head: int | None) -> None:
        turns, conversation = self._turns, self._turns.conversation
        ended: dict[int, int] = {}
        try:
            for group in _grouped(sides, here):
                await self._answer(group, sides, asked, ended)
            if not self._closing and not _together(here, self.here):
                with suppress(XchatError, asyncio.CancelledError):  # ModelFailed has reported it
                    await self._switch_to(here)
        except EngineError:
            pass  # the engine died, or has no model: EngineDied or ModelFailed has reported it
        finally:
            turns.release()
            shown = head if head is not None else ended[min(ended)] if ended else asked.user.id
            if shown in conversation.tree:
                conversation.tree.set_head(shown)
                turns.keep_head()
            turns.emit(BranchChanged(conversation.tree.branch()))
            turns.emit(ComparisonEnded())

    async def _switch_to(self, point: Point) -> None:
        assert point.model is not None
        await self._switch(point.model, point.preset)

    async def _answer(self, group: Sequence[int], sides: Sequence[Side], asked: Question, ended: dict[int, int]) -> None:
        """Generate the answers of the sides that run in parallel on one engine."""
        turns, goal = self._turns, sides[group[0]].point
        failure: XchatError | None = None
        if self._stopped:
            failure = UsageError("Stopped")
        elif not _together(self.here, goal):
            try:
                await self._switch_to(goal)
            except XchatError as error:
                failure = error
            except asyncio.CancelledError:
                failure = UsageError("Stopped")
        alone = len(group) == 1
        for column in group:
            try:
                if failure is not None:
                    raise failure
                turns.start(asked, sides[column].point.preset, self._listener(column, ended, watched=alone))
            except XchatError as error:
                turns.emit(ColumnChanged(column, error))
        for one in turns.current:
            await one.done.wait()

    def _listener(self, column: int, ended: dict[int, int], *, watched: bool) -> Callable[[Event], None]:
        """Return a handler of one answer's events; an answer without parallel ones is measured as usual."""
        turns = self._turns

        def handle(event: Event) -> None:
            assert isinstance(event, TurnStarted | PromptEvaluated | AnswerGrew | TurnFinished)
            if watched:
                turns.instruments.handle(event)
            else:
                turns.instruments.wake()
            if isinstance(event, TurnFinished):
                ended[column] = event.answer.id
            turns.emit(ColumnChanged(column, event))

        return handle


def _grouped(sides: Sequence[Side], here: Point) -> list[list[int]]:
    """Return the indexes of the sides that can run in parallel; groups without a switch first."""
    groups: list[list[int]] = []
    for number, side in enumerate(sides):
        group = next((group for group in groups if _together(sides[group[0]].point, side.point)), None)
        if group is None:
            groups.append([number])
        else:
            group.append(number)
    return sorted(groups, key=lambda group: not _together(here, sides[group[0]].point))


def _together(one: Point, other: Point) -> bool:
    """Return whether the same loaded model and context serve both."""
    return one.model == other.model and all(
        value_of(one.preset, key) == value_of(other.preset, key)
        for key, setting in SETTINGS.items()
        if setting.cost is not None and key not in OF_A_TURN and key not in {"model", "quant", "stream_batch"}
    )
