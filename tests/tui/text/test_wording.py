"""Facts as sentences."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from engine.backend import StopReason
from engine.events import PromptEvaluated
from engine.messages import Role
from engine.presets.preset import Preset, Sampling
from engine.records import Message, MessageStatus
from tests.factories import turn_record
from tui.text import wording
from tui.text.switch_text import Made, switch_line


@pytest.mark.parametrize(("ms", "said"), [(312.0, "312 ms"), (12_400, "12.4 s"), (200_000, "3 min 20 s")])
def test_durations(ms: float, said: str) -> None:
    assert wording.duration(ms) == said


def test_the_small_print_has_tokens_speed_and_time_to_the_first_token() -> None:
    line = wording.timing_line(turn_record(thinking_n=3))
    assert line == "10 tokens (3 thinking)  ·  50.0 tokens/s  ·  first token after 300 ms  ·  5 of 25 prompt tokens reused"


def test_the_speed_of_a_single_token_is_not_told() -> None:
    turn = turn_record()
    assert "tokens/s" not in wording.timing_line(replace(turn, timings=replace(turn.timings, predicted_n=1)))


def test_the_speed_without_others_is_said_only_where_it_is_more() -> None:
    turn = turn_record(disturbed=0.15, quiet_per_second=62.0)
    assert "~ 15 % of the time taken by other programs, about 62.0 tokens/s without them" in wording.timing_line(turn)
    assert "without them" not in wording.timing_line(replace(turn, quiet_per_second=turn.timings.predicted_per_second))


def message(status: MessageStatus) -> Message:
    return Message(1, None, Role.ASSISTANT, "text", status=status)


def test_an_answer_that_ended_early_says_why_and_how_to_go_on() -> None:
    whole, cut = message(MessageStatus.COMPLETE), message(MessageStatus.PARTIAL)
    assert wording.ending(whole, turn_record(), continue_key="Alt+C") == ""
    assert wording.ending(cut, turn_record(stop_reason=StopReason.CANCELLED), continue_key="Alt+C") == "Stopped. Continue: Alt+C."
    failed = turn_record(stop_reason=StopReason.ERROR, error="The engine died: an assertion failed")
    assert wording.ending(cut, failed, continue_key="") == "The engine died: an assertion failed"


def test_an_answer_that_was_cut_says_by_which_of_the_two_limits() -> None:
    cut, turn = message(MessageStatus.PARTIAL), turn_record(stop_reason=StopReason.LENGTH)
    limited = replace(turn, preset_json=encoded(Preset(max_tokens=turn.timings.predicted_n)))
    assert wording.ending(cut, limited, continue_key="Alt+C") == "The limit of tokens was reached: max_tokens is 10. Continue: Alt+C."
    full = replace(turn, preset_json=encoded(Preset(max_tokens=None)), n_ctx=4096)
    assert wording.ending(cut, full, continue_key="Alt+C") == "The end of the context window was reached: n_ctx is 4,096 tokens."


def encoded(preset: Preset) -> str:
    return msgspec.json.encode(preset).decode()


def test_an_answer_after_a_switch_has_the_speed_of_the_answer_before_it() -> None:
    before, after = turn_record(quant="Q8_0"), turn_record(quant="Q4_K_M")
    assert "50.0 tokens/s (50.0 before the switch)" in wording.timing_line(after, before)
    assert "before the switch" not in wording.timing_line(after, turn_record(quant="Q4_K_M"))


@pytest.mark.parametrize(
    ("preset", "quant", "said"),
    [
        (Preset(threads=2), "Q8_0", "Switched: threads auto → 2"),
        (Preset(), "Q4_K_M", "Switched: Q8_0 → Q4_K_M"),
        (Preset(name="fast", sampling=Sampling(temperature=0.2)), "Q8_0", "Switched: preset daily → fast, temperature 0.7 → 0.2"),
        (Preset(stream_batch=16), "Q8_0", ""),
    ],
)
def test_a_switch_is_a_line_with_both_values(preset: Preset, quant: str, said: str) -> None:
    assert switch_line(Made("tiny", "Q8_0", Preset()), Made("tiny", quant, preset)) == said


def test_reading_the_prompt_says_how_far_and_how_long() -> None:
    event = PromptEvaluated(1, 0, 900, 2000, 500.0, 1300.0, 0, None, "")
    assert wording.prefill(event) == "reading the prompt  45% of 2,000 tokens, 1.30 s left"


def test_the_knob_says_whether_it_turns_by_itself() -> None:
    assert wording.batch(Preset(stream_batch="auto"), 4) == "4 auto"
    assert wording.batch(Preset(stream_batch=16), 16) == "16"
