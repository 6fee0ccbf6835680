"""The shipped guide says what the program's registry says today."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from engine.guide import builtin
from engine.guide.respelling import Respelling
from engine.guide.training.speaker import Speaker
from tui.actions.registry import BY_ID, BY_SLASH, action_names, display_key

KEY_QUESTIONS = {
    "stop": "How do I stop the answer?",
    "regenerate": "how can I get another answer?",
    "copy_message": "How do I copy an answer?",
    "new_session": "how do I start a new session",
    "sessions": "How do I find an old session?",
    "models": "Which key do I press to pick a model?",
    "toggle_panel": "how do I show the panel?",
    "palette": "How do I find a command?",
    "theme": "how do I change the theme",
    "help": "How do I get help?",
    "quit": "How do I quit?",
    "bigger_batch": "how do I increase stream_batch?",
}
COMMAND_QUESTIONS = {"regen": "what does /regen do?", "new": "what does /new do?"}


@pytest.fixture(scope="module")
def guide() -> Iterator[Speaker]:
    with Speaker(builtin.path()) as speaker:
        yield speaker


def today(text: str) -> str:
    return Respelling(action_names()).whole(text)


@pytest.mark.parametrize(("action", "question"), KEY_QUESTIONS.items(), ids=KEY_QUESTIONS)
def test_it_names_a_key_of_the_registry(guide: Speaker, action: str, question: str) -> None:
    text = today(guide.ask(question).text)
    assert f"**{display_key(BY_ID[action].keys[0])}**" in text, text


@pytest.mark.parametrize(("command", "question"), COMMAND_QUESTIONS.items(), ids=COMMAND_QUESTIONS)
def test_it_knows_what_commands_do(guide: Speaker, command: str, question: str) -> None:
    text = today(guide.ask(question).text)
    assert display_key(BY_SLASH[command].keys[0]) in text or BY_SLASH[command].sentence.lower() in text.lower()


def test_it_says_what_it_is(guide: Speaker) -> None:
    assert "built-in guide" in guide.ask("who are you?").text


def test_it_knows_where_its_knowledge_ends(guide: Speaker) -> None:
    text = today(guide.ask("what is the capital of France?").text)
    assert ".gguf`" in text or display_key(BY_ID["models"].keys[0]) in text


def test_its_answers_end_by_themselves(guide: Speaker) -> None:
    answer = guide.ask("what is the KV cache?")
    assert answer.ended_itself
    assert 10 < answer.tokens < 400


def test_a_story_is_about_what_was_asked_for_and_ends(guide: Speaker) -> None:
    story = guide.ask("tell me a long story about a lighthouse", max_tokens=1500)
    assert story.ended_itself
    assert 400 <= story.tokens <= 900
    assert "lighthouse" in story.text


def test_it_thinks_when_asked_to(guide: Speaker) -> None:
    assert "</think>" in guide.ask("what is ttft?", thinking=True).text
