"""How compared answers look, in columns and stacked. A change that is meant: `just snap`, and look at the difference."""

from __future__ import annotations

import msgspec
import pytest

from engine.errors import ModelError
from engine.events import AnswerGrew, Column, ColumnChanged, ComparisonEnded, ComparisonStarted, TurnFinished, TurnStarted
from engine.messages import Role
from engine.presets.preset import Preset, Sampling
from engine.records import Message
from tests.factories import turn_record
from tests.snapshots.picture import compare
from tests.tui.host import Host
from tui.chat.many.choose import ChooseScreen
from tui.chat.many.screen import AnswersScreen

ASKED = Message(1, None, Role.USER, "What is the KV cache?")
FAST = msgspec.structs.replace(Preset(name="fast"), n_ctx=2048, sampling=Sampling(temperature=0.2))
COLUMNS = (Column("current", "tiny-Q8_0", Preset()), Column("fast", "tiny-Q8_0", FAST), Column("q4_k_m", "tiny-Q4_K_M", Preset()))
TEXTS = ("It keeps **keys** and *values* of every token.", "A cache.\n\n1. prefill fills it\n2. decode reads it")


def events(number: int) -> list[ColumnChanged]:
    """A finished answer, one that grows, and one that can't be made."""
    if number == 2:
        return [ColumnChanged(2, ModelError("The model can't be used", "Its file is gone"))]
    begun: list[TurnStarted | AnswerGrew | TurnFinished] = [
        TurnStarted(ASKED, 10 + number, 0, 0),
        AnswerGrew(10 + number, TEXTS[number], "", False, tuple(range(0, 10**9, 10**8)), 20),
    ]
    answer = Message(10, 1, Role.ASSISTANT, TEXTS[0])
    end = [TurnFinished(answer, turn_record(id=10, model="tiny", quant="Q8_0", preset="daily"))] if number == 0 else []
    return [ColumnChanged(number, event) for event in [*begun, *end]]


@pytest.mark.parametrize("size", [(80, 24), (120, 20)], ids=lambda size: f"{size[0]}x{size[1]}")
async def test_while_answers_are_made(size: tuple[int, int]) -> None:
    host = Host()
    async with host.run_test(size=size) as pilot:
        screen = AnswersScreen(ComparisonStarted(ASKED, COLUMNS), stop=lambda: None, pause=lambda: 0.001, due=lambda: True)
        await host.push_screen(screen)
        await pilot.pause()
        for number in range(3):
            for event in events(number):
                screen.handle(event)
        await pilot.pause(0.05)
        compare(host, f"answers-{size[0]}x{size[1]}")


async def test_when_all_are_made() -> None:
    host = Host()
    async with host.run_test(size=(120, 20)) as pilot:
        screen = AnswersScreen(ComparisonStarted(ASKED, COLUMNS[:2]), stop=lambda: None, pause=lambda: 0.001, due=lambda: True)
        await host.push_screen(screen)
        await pilot.pause()
        for event in [*events(0), *events(1)]:
            screen.handle(event)
        screen.handle(
            ColumnChanged(1, TurnFinished(Message(11, 1, Role.ASSISTANT, TEXTS[1]), turn_record(id=11, model="tiny", quant="Q8_0")))
        )
        screen.handle(ComparisonEnded())
        await pilot.press("right")
        await pilot.pause(0.05)
        compare(host, "answers-made-120x20")


async def test_what_to_compare() -> None:
    host = Host()
    rows = [("current", "the settings in use"), ("fast", "Speed first"), ("Q4_K_M", "quant of this model")]
    async with host.run_test(size=(80, 14)) as pilot:
        await host.push_screen(ChooseScreen(rows, marked="current", most=4))
        await pilot.press("down", "space")
        await pilot.pause()
        compare(host, "compare-80")
