from __future__ import annotations

from engine.guide.training.evaluate import Outcome, Report, judge, loops, table
from engine.guide.training.heldout import IN_SCOPE, OUTSIDE, Question
from engine.guide.training.speaker import Answer


def test_six_words_said_three_times_are_a_loop() -> None:
    assert loops("and so it goes on and " * 3)
    assert not loops("and so it goes on and on, for as long as anybody can remember. " * 2)


def test_counting_is_no_loop() -> None:
    assert not loops(", ".join(str(number) for number in range(200)))


def test_an_answer_is_right_when_it_says_all_it_must() -> None:
    question = Question(("how?",), ("${key:stop}", "answers?"))
    assert judge(question, "Press **Esc**: stop the answer.", {"key:stop": "Esc"})
    assert not judge(question, "Press **Esc**.", {"key:stop": "Esc"})
    assert not judge(question, "Stop the answer.", {"key:stop": "Esc"})


def test_keys_in_criteria_are_taken_literally() -> None:
    assert not judge(Question(("how?",), ("${key:x}",)), "CtrllR", {"key:x": "Ctrl+R"})


def test_the_held_out_sets_are_large_enough() -> None:
    assert len(IN_SCOPE) >= 200
    assert len(OUTSIDE) >= 100
    assert len(set(IN_SCOPE + OUTSIDE)) == len(IN_SCOPE + OUTSIDE)


def test_the_table_has_a_column_for_each_file() -> None:
    answer = Answer("Ctrl+R", 3, ended_itself=True)
    outcomes = tuple(Outcome(question, answer, right=True) for question in IN_SCOPE + OUTSIDE)
    reports = [Report(f"xchat-guide-{quant}.gguf", outcomes, outcomes, (answer,)) for quant in ("F16", "Q8_0")]
    lines = table(reports).splitlines()
    assert lines[0] == "| | F16 | Q8_0 |"
    assert "| **100.0%** | **100.0%** |" in table(reports)
    assert {line.count("|") for line in lines} == {4}
