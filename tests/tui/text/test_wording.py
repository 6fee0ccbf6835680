"""Facts as sentences."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.backend import StopReason
from engine.errors import EngineError
from engine.events import PromptEvaluated
from engine.messages import Role
from engine.presets.preset import Preset
from engine.records import Message, MessageStatus
from tests.factories import turn_record
from tui.text import wording


@pytest.mark.parametrize(("ms", "said"), [(312.0, "0.31 s"), (12_400, "12 s"), (200_000, "3 min 20 s")])
def test_durations(ms: float, said: str) -> None:
    assert wording.duration(ms) == said


def test_the_small_print_has_tokens_speed_and_time_to_the_first_token() -> None:
    line = wording.timing_line(turn_record(thinking_n=3))
    assert line == "10 tokens (3 thinking)  ·  50.0 tokens/s  ·  first token after 0.30 s  ·  5 of 25 prompt tokens reused"


def test_the_speed_of_a_single_token_is_not_told() -> None:
    turn = turn_record()
    assert "tokens/s" not in wording.timing_line(replace(turn, timings=replace(turn.timings, predicted_n=1)))


def message(status: MessageStatus) -> Message:
    return Message(1, None, Role.ASSISTANT, "text", status=status)


def test_an_answer_that_ended_early_says_why_and_how_to_go_on() -> None:
    whole, cut = message(MessageStatus.COMPLETE), message(MessageStatus.PARTIAL)
    assert wording.ending(whole, turn_record(), None, continue_key="Alt+C") == ""
    assert wording.ending(cut, turn_record(stop_reason=StopReason.CANCELLED), None, continue_key="Alt+C") == "Stopped. Continue: Alt+C."
    assert "limit of tokens" in wording.ending(cut, turn_record(stop_reason=StopReason.LENGTH), None, continue_key="/continue")
    error = EngineError("The engine died", "an assertion failed")
    assert (
        wording.ending(cut, turn_record(stop_reason=StopReason.ERROR), error, continue_key="/continue")
        == "The engine died: an assertion failed"
    )


def test_reading_the_prompt_says_how_far_and_how_long() -> None:
    event = PromptEvaluated(1, 0, 900, 2000, 500.0, 1300.0, 0, None, "")
    assert wording.prefill(event) == "reading the prompt  45% of 2,000 tokens, 1.30 s left"


def test_the_knob_says_whether_it_turns_by_itself() -> None:
    assert wording.batch(Preset(stream_batch="auto"), 4) == "4 auto"
    assert wording.batch(Preset(stream_batch=16), 16) == "16"
