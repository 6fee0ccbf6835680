from __future__ import annotations

import json
import re
from importlib.resources import files
from itertools import chain
from random import Random

import pytest

from engine.guide.training.corpus import keys
from engine.guide.training.corpus.asked import asked
from engine.guide.training.corpus.dialogues import FOLLOW_UPS, LONG_EVERY, TERM_QUESTIONS, Writer
from engine.guide.training.corpus.facts import load_facts
from engine.guide.training.corpus.grammar import expand
from engine.guide.training.corpus.program import IDENTITY, PROGRAM
from engine.guide.training.corpus.smalltalk import SMALLTALK
from engine.guide.training.corpus.synonyms import reworded, synonyms
from engine.guide.training.corpus.trade import TRADE
from engine.guide.training.heldout import IN_SCOPE, OUTSIDE

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def writer() -> Writer:
    return Writer(load_facts())


def plain(text: str) -> str:
    return " ".join(re.findall(r"[\w+/]+", text.lower()))


def test_a_choice_takes_one_alternative_and_may_be_empty() -> None:
    assert {expand("a{b|{c|d}|}", Random(seed)) for seed in range(40)} == {"ab", "ac", "ad", "a"}


def test_slots_are_filled_and_their_fillings_expanded() -> None:
    assert expand("$x {$y}s ${key:z}", Random(1), {"x": "{1|1}", "y": ["2"], "key:z": "Ctrl+Z"}) == "1 2s Ctrl+Z"


def test_a_wording_with_an_unknown_slot_is_not_written() -> None:
    with pytest.raises(KeyError):
        expand("press ${key:gone}", Random(1), {})


def test_unbalanced_braces_are_an_error() -> None:
    with pytest.raises(ValueError, match="unbalanced"):
        expand("{a|b", Random(1))


def test_questions_are_said_with_other_words() -> None:
    said = {reworded(Random(seed), "how do i stop the answer") for seed in range(200)}
    assert {"how do i stop the answer", "how do i stop the reply", "how would i stop the answer"} <= said
    assert len(said) > 50


def test_the_longest_phrase_is_replaced_as_a_whole() -> None:
    said = {reworded(Random(seed), "how do i leave") for seed in range(200)}
    assert any(text.startswith("what lets me ") for text in said)
    assert not any(text.startswith("what lets me do") for text in said)


def test_every_synonym_has_alternatives_and_is_written_in_small_letters() -> None:
    for head, others in synonyms().items():
        assert others, head
        assert head == head.lower().strip(), head
        assert head not in others, head


@pytest.mark.parametrize("text", ["/stop", "`open`", "ctrl+end", "end-to-end", "self-help"])
def test_keys_commands_and_parts_of_words_keep_their_name(text: str) -> None:
    assert {reworded(Random(seed), text) for seed in range(40)} == {text}


def test_the_same_seed_and_number_give_the_same_dialogue(writer: Writer) -> None:
    again = Writer(load_facts())
    assert [writer.dialogue(3, number) for number in range(50)] == [again.dialogue(3, number) for number in range(50)]
    assert writer.dialogue(3, 1) != writer.dialogue(4, 1)


def test_every_turn_is_about_something_that_can_be_named(writer: Writer) -> None:
    for dialogue in (*(writer.dialogue(3, number) for number in range(300)), *(writer.brief(3, number) for number in range(300))):
        assert len(dialogue.subjects) == len(dialogue.turns)
        assert set(dialogue.subjects) <= set(writer.subjects)


def test_some_dialogues_fill_the_context(writer: Writer) -> None:
    dialogue = writer.dialogue(1, LONG_EVERY - 1)
    assert sum(len(question) + len(answer) for question, answer in dialogue.turns) > 11_000


def test_texts_that_name_a_lost_key_are_left_out() -> None:
    facts = json.loads(files("engine.guide").joinpath("taught.json").read_text())
    facts["actions"] = [action for action in facts["actions"] if action["id"] != "theme"]
    ids = {topic.id for topic in Writer(load_facts(json.dumps(facts))).topics}
    assert "themes" not in ids
    assert "kv-cache" in ids


def test_every_action_is_asked_about_and_answered_with_its_key(writer: Writer) -> None:
    rng = Random(5)
    answered: dict[str, set[bool]] = {}
    for _ in range(6000):
        action, _, answer = keys.key_exchange(rng, writer.facts)
        if action is not None:
            names = [*action.keys, *(f"/{name}" for name in action.slash)]
            answered.setdefault(action.id, set()).add(any(name in answer for name in names))
    assert answered == {action.id: {True} for action in writer.facts.actions}


def test_keys_named_as_free_are_free(writer: Writer) -> None:
    taken = {key for action in writer.facts.actions for key in action.keys}
    rng = Random(6)
    for _ in range(2000):
        action, _, answer = keys.key_exchange(rng, writer.facts)
        if action is None:
            named = re.search(r"\*\*(.+?)\*\*", answer)
            assert named is not None
            assert named[1] not in taken


def test_no_held_out_question_is_in_the_corpus(writer: Writer) -> None:
    held_out = {plain(question.said[-1]) for question in IN_SCOPE + OUTSIDE}
    said = {plain(question) for number in range(4000) for question, _ in writer.dialogue(20, number).turns}
    assert held_out.isdisjoint(said)


def test_no_held_out_question_is_a_training_template(writer: Writer) -> None:
    terms = {plain(term) for topic in writer.topics for term in topic.terms}
    tasks = {plain(form) for action in writer.facts.actions for task in keys.tasks_of(action) for form in (task, keys.doing(task))}
    rng = Random(8)
    templates = {
        plain(expand(pattern, rng, dict.fromkeys(("term", "task", "doing", "key", "command"), "slot")))
        for pattern in (
            *TERM_QUESTIONS,
            *keys.DO_QUESTIONS,
            *keys.DOING_QUESTIONS,
            *keys.COMMAND_QUESTIONS,
            *keys.KEY_QUESTIONS,
            *keys.SLASH_QUESTIONS,
        )
        for _ in range(60)
    }
    templates.discard("slot")
    for question in IN_SCOPE:
        text = plain(question.said[-1])
        skeletons = {text.replace(part, "slot", 1) for part in (*terms, *tasks) if len(part) > 2 and f" {part} " in f" {text} "}
        assert skeletons.isdisjoint(templates), text


def test_no_whole_question_of_the_corpus_is_part_of_a_held_out_one(writer: Writer) -> None:
    questions = [*(ask for topic in writer.topics for ask in writer.questions(topic)), *chain(*asked("keys").values())]
    known = {plain(expand(ask, Random(1), writer.slots | {"person": "x"})) for ask in questions}
    for question in IN_SCOPE:
        text = f" {plain(question.said[-1])} "
        assert not [ask for ask in known if (ask.count(" ") >= 2 and f" {ask} " in text) or text in f" {ask} "], text


def test_no_whole_question_from_outside_is_a_held_out_one() -> None:
    known = {plain(ask) for ask in chain(*asked("outside").values())}
    assert known.isdisjoint({plain(question.said[-1]) for question in OUTSIDE})


def test_every_wording_belongs_to_something_the_guide_knows(writer: Writer) -> None:
    assert set(asked("topics")) <= {topic.id for topic in IDENTITY + PROGRAM + TRADE + SMALLTALK}
    assert set(asked("keys")) <= {action.id for action in writer.facts.actions}
    assert set(asked("follow-ups")) == set(FOLLOW_UPS)
    assert set(asked("stories")) == {"long", "short"}


def test_every_held_out_criterion_can_be_filled(writer: Writer) -> None:
    for question in IN_SCOPE + OUTSIDE:
        for pattern in question.must:
            filled = re.sub(r"\$\{([^}]+)\}", lambda match: re.escape(writer.slots[match[1]]), pattern)
            re.compile(filled)
