"""Several answers to one message."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from engine.errors import ModelError, UsageError
from engine.events import BranchChanged, ColumnChanged, ComparisonEnded, ComparisonStarted, Event, TurnFinished
from engine.presets.folder import Shelf
from engine.presets.preset import Preset, Sampling
from engine.records import MessageStatus
from engine.session.instruments import BESIDE
from engine.session.many.side_by_side import same_sides, sides_of
from engine.session.model_finder import ModelFinder
from engine.session.target import Point
from tests.engine.session.logged_chat import Chat, rows
from tests.engine.session.watched import MODEL, Watched


async def whole(watched: Watched) -> None:
    await watched.until(lambda event: isinstance(event, ComparisonEnded))


def ends(watched: Watched) -> dict[int, TurnFinished]:
    changes = [event for event in watched.events if isinstance(event, ColumnChanged)]
    return {change.column: change.event for change in changes if isinstance(change.event, TurnFinished)}


def errors(watched: Watched) -> dict[int, Event | Exception]:
    changes = [event for event in watched.events if isinstance(event, ColumnChanged)]
    return {change.column: change.event for change in changes if isinstance(change.event, Exception)}


async def test_settings_of_a_turn_are_compared_at_once_on_the_loaded_model(chat: Chat) -> None:
    await chat.session.sides.compare(["current", "temperature=0.1"], "Hi")
    await whole(chat)

    assert [request.sampling.temperature for request in chat.backend.requests] == [Preset().sampling.temperature, 0.1]
    assert len(chat.backend.loads) == 1
    assert {column: (end.answer.text, end.turn.noisy) for column, end in ends(chat).items()} == {
        0: ("Hello there.", BESIDE),
        1: ("Hello there.", BESIDE),
    }
    (first, second) = (ends(chat)[column].answer for column in (0, 1))
    assert first.parent_id == second.parent_id
    assert chat.session.turns.conversation.siblings(second.id) == (1, 2)
    assert chat.session.branch[-1].id == first.id
    assert not chat.session.busy


async def test_the_answer_that_is_kept_is_the_branch_also_in_the_log(chat: Chat) -> None:
    chat.session.sides.repeat(3, "Hi")
    await whole(chat)
    kept = ends(chat)[2].answer
    chat.session.show_message(kept.id)

    assert chat.session.branch[-1].id == kept.id
    await chat.session.library.logged()
    assert rows(chat.path, "SELECT head_id FROM sessions") == [(kept.id,)]
    assert rows(chat.path, "SELECT count(*) FROM turns") == [(3,)]


async def test_other_contexts_are_made_one_after_the_other_and_what_was_in_use_is_restored(chat: Chat) -> None:
    await chat.session.sides.compare(["n_ctx=1024", "current", "n_ctx=2048"], "Hi")
    await whole(chat)

    assert [preset.n_ctx for _, preset, _ in chat.backend.loads] == ["auto", 1024, 2048, "auto"]
    assert {column: end.turn.preset_json.count('"n_ctx":1024') for column, end in ends(chat).items()} == {1: 0, 0: 1, 2: 0}
    assert chat.session.preset.n_ctx == "auto"
    assert {end.turn.noisy for end in ends(chat).values()} == {None}


async def test_an_error_of_one_leaves_the_others(chat: Chat) -> None:
    chat.backend.load_error = ModelError("It can't be loaded")
    await chat.session.sides.compare(["current", "n_ctx=1024"], "Hi")
    await whole(chat)

    assert list(ends(chat)) == [0]
    assert [str(error) for error in errors(chat).values()] == ["It can't be loaded."]


async def test_the_last_message_is_answered_again_and_its_answer_stays_the_branch(chat: Chat) -> None:
    before = (await chat.answered(chat.session.send("Hi"))).answer
    chat.session.sides.repeat(2)
    await whole(chat)

    assert chat.session.branch[-1].id == before.id
    assert chat.session.turns.conversation.siblings(before.id) == (0, 3)
    assert isinstance(chat.events[-2], BranchChanged)


async def test_stopping_ends_all_and_begins_no_other(chat: Chat) -> None:
    chat.backend.at_once = chat.backend.gated = True
    await chat.session.sides.compare(["current", "temperature=0.1", "n_ctx=1024"], "Hi")
    await chat.until(lambda event: isinstance(event, ColumnChanged) and event.column == 1)
    with pytest.raises(UsageError):
        chat.session.send("More")
    with pytest.raises(UsageError, match="compared"):
        chat.session.new_session()
    chat.session.stop()
    await whole(chat)

    assert {end.answer.status for end in ends(chat).values()} == {MessageStatus.PARTIAL}
    assert (sorted(ends(chat)), list(errors(chat))) == ([0, 1], [2])
    assert len(chat.backend.loads) == 1
    assert not chat.session.busy


async def test_what_is_compared_is_named_before_it_begins(chat: Chat) -> None:
    await chat.session.sides.compare(["temperature=0.1"], "Hi")
    (started,) = [event for event in chat.events if isinstance(event, ComparisonStarted)]
    await whole(chat)
    assert [column.name for column in started.columns] == ["current", "temperature=0.1"]
    assert started.user.text == "Hi"


class TestNames:
    HERE = Point(Preset(), MODEL)

    def sides(self, *words: str) -> list[Point]:
        shelf = Shelf({"fast": Preset(name="fast", n_ctx=2048)}, frozenset(), ())
        return [side.point for side in sides_of(words, self.HERE, shelf, ModelFinder())]

    def test_a_preset_keeps_the_model_that_it_does_not_name(self) -> None:
        here, fast = self.sides("fast")
        assert (here, fast.model, fast.preset.n_ctx) == (self.HERE, MODEL, 2048)

    def test_a_quant_is_another_file_of_the_family(self, quants: dict[str, Path]) -> None:
        here = Point(Preset(), quants["F16"])
        found = sides_of(["q8_0", "Q4_0"], here, Shelf({}, frozenset(), ()), ModelFinder())
        assert [side.point.model for side in found] == [quants["Q8_0"], quants["Q4_0"]]

    @pytest.mark.parametrize("words", [(), ("a", "b", "c", "d", "e")])
    def test_too_few_and_too_many_are_refused(self, words: tuple[str, ...]) -> None:
        with pytest.raises(UsageError):
            self.sides(*words)

    def test_what_is_neither_preset_nor_model_is_refused(self) -> None:
        with pytest.raises(ModelError, match="nosuch"):
            self.sides("nosuch")
        with pytest.raises(UsageError):
            self.sides("temperature=hot")

    @pytest.mark.parametrize("count", [0, 1, 5, 10_000])
    def test_a_number_of_answers_that_can_not_be_shown_is_refused(self, count: int) -> None:
        with pytest.raises(UsageError):
            same_sides(count, self.HERE)

    def test_answers_that_would_be_the_same_are_refused_and_seeds_differ(self) -> None:
        greedy = Point(msgspec.structs.replace(Preset(), sampling=Sampling(temperature=0)), MODEL)
        with pytest.raises(UsageError, match="the same"):
            same_sides(2, greedy)
        seeded = Point(msgspec.structs.replace(Preset(), sampling=Sampling(seed=7)), MODEL)
        assert [side.point.preset.sampling.seed for side in same_sides(3, seeded)] == [7, 8, 9]
