"""An answer never leaves its form, and ends with it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.backend import EngineInfo, PromptReady, StopReason, TokensDecoded
from engine.errors import UsageError
from engine.llama.backend import LlamaBackend
from engine.llama.constraints import grammar
from engine.messages import ChatMessage, ChatPrompt, Constraint, ConstraintKind, Role
from engine.presets.preset import Sampling
from tests import ggufs
from tests.engine.llama.driver import PATIENCE_S, SMALL, Driver, text_prompt

Load = Callable[..., EngineInfo]
SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {"name": {"type": "string", "maxLength": 6}, "age": {"type": "integer", "minimum": 0, "maximum": 120}},
        "required": ["name", "age"],
        "additionalProperties": False,
    }
)
HOT = Sampling(temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, seed=1)
GBNF = 'root ::= "<" [a-c]+ ">" ("!" | "?")'
DOUBLING = "\n".join(f"T{number}: T{number + 1} T{number + 1}" for number in range(40)) + '\nT40: "c"\nstart: T0'
LARK = 'start: "<" /[a-c]{1,9}/ ">" ("!" | "?")'


def schema(text: str = SCHEMA) -> Constraint:
    return Constraint(ConstraintKind.JSON_SCHEMA, text)


def asked(text: str, **options: object) -> ChatPrompt:
    return ChatPrompt((ChatMessage(Role.USER, text),), **options)  # type: ignore[arg-type]


@pytest.fixture
def dense(load: Load, driver: Driver) -> Driver:
    load("dense")
    return driver


@pytest.mark.parametrize(
    "sampling", [Sampling(temperature=0.0), HOT, Sampling(seed=2, ignore_eos=True, repeat_penalty=1.3)], ids=["greedy", "hot", "penalised"]
)
def test_an_answer_satisfies_its_schema_and_ends_with_it(dense: Driver, sampling: Sampling) -> None:
    for number in range(3):
        answer = dense.ask(text_prompt(f"number {number}"), sampling=sampling, constraint=schema())
        value = json.loads(answer.text)
        assert (len(value["name"]) <= 6, 0 <= value["age"] <= 120, set(value)) == (True, True, {"name", "age"})
        assert answer.finished.reason is StopReason.EOG


@pytest.mark.parametrize(
    ("kind", "text", "form"),
    [
        (ConstraintKind.REGEX, r"<[a-c/]{1,9}>(!|\?)", r"<[a-c/]{1,9}>(!|\?)"),
        (ConstraintKind.LARK, LARK, r"<[a-c]{1,9}>(!|\?)"),
        (ConstraintKind.GBNF, GBNF, r"<[a-c]+>(!|\?)"),
    ],
)
def test_each_language_of_constraints_holds(dense: Driver, kind: ConstraintKind, text: str, form: str) -> None:
    assert re.fullmatch(form, dense.ask(text_prompt("x"), sampling=HOT, constraint=Constraint(kind, text)).text)


def test_what_is_cut_is_a_beginning_of_the_form_and_says_so(dense: Driver) -> None:
    answer = dense.ask(text_prompt("x"), sampling=HOT, constraint=schema(), max_tokens=4)
    assert answer.finished.reason is StopReason.LENGTH
    assert answer.text.startswith("{")
    stopped = dense.ask(text_prompt("x"), sampling=HOT, constraint=schema(), stop=['"age"'])
    assert (stopped.finished.reason, "age" in stopped.text) == (StopReason.STOP_STRING, False)


def test_the_same_seed_gives_the_same_answer(dense: Driver) -> None:
    first, again = (dense.ask(text_prompt("x"), sampling=HOT, constraint=schema(), repeatable=True).tokens for _ in range(2))
    assert first == again


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (ConstraintKind.JSON_SCHEMA, "{"),
        (ConstraintKind.JSON_SCHEMA, "false"),
        (ConstraintKind.JSON_SCHEMA, "7"),
        (ConstraintKind.JSON_SCHEMA, '{"type": "strange"}'),
        (ConstraintKind.JSON_SCHEMA, '{"type":"string","minLength":5,"maxLength":2}'),
        (ConstraintKind.JSON_SCHEMA, '{"type":"object","required":["a"],"properties":{"a":{"$ref":"#"}}}'),
        (ConstraintKind.JSON_SCHEMA, '{"$ref":"https://example.org/x.json"}'),
        (ConstraintKind.JSON_SCHEMA, '{"items":' * 5_000 + "{}" + "}" * 5_000),
        (ConstraintKind.JSON_SCHEMA, '{"items":' * 90_000),
        (ConstraintKind.JSON_SCHEMA, '{"enum":["' + "x" * grammar.MOST_TEXT + '"]}'),
        (ConstraintKind.JSON_SCHEMA, json.dumps({"properties": {f"p{number}": {} for number in range(5_000)}})),
        (ConstraintKind.JSON_SCHEMA, '{"type":"integer","multipleOf":999983,"minimum":1}'),
        (ConstraintKind.REGEX, "a{1,"),
        (ConstraintKind.REGEX, r"[^\s\S]"),
        (ConstraintKind.REGEX, "(?=a)b"),
        (ConstraintKind.REGEX, "(" * 20_000 + ")" * 20_000),
        (ConstraintKind.LARK, 'start: ((("a"'),
        (ConstraintKind.LARK, 'other: "a"'),
        (ConstraintKind.LARK, 'start: "a" start'),
        (ConstraintKind.LARK, 'start: start "a"'),
        (ConstraintKind.LARK, "start: @nowhere"),
        pytest.param(ConstraintKind.LARK, DOUBLING, marks=pytest.mark.slow),
        (ConstraintKind.GBNF, "root ::= ((("),
        (ConstraintKind.GBNF, "nothing"),
        (ConstraintKind.GBNF, ""),
        (ConstraintKind.GBNF, 'root ::= "a" root'),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_constraint_that_cannot_be_used_is_an_error_before_anything_is_evaluated(dense: Driver, kind: ConstraintKind, text: str) -> None:
    answer = dense.ask(text_prompt("x"), constraint=Constraint(kind, text))
    assert answer.finished.reason is StopReason.ERROR
    assert isinstance(answer.finished.error, UsageError)
    assert answer.finished.error.title.endswith("can't be used")
    assert answer.finished.error.detail
    assert not answer.all(PromptReady)


def test_the_longest_chain_of_rules_is_compiled_without_a_stack_overflow(dense: Driver) -> None:
    rules = (grammar.MOST_TEXT - 60) // 15
    text = "\n".join(f'r{number}:"a"r{number + 1}' for number in range(rules)) + f'\nr{rules}:"b"\nstart:r0'
    answer = dense.ask(text_prompt("x"), constraint=Constraint(ConstraintKind.LARK, text), max_tokens=5)
    assert (answer.text, answer.finished.reason) == ("aaaaa", StopReason.LENGTH)


def test_a_constraint_is_compiled_beside_a_turn_that_runs(load: Load, driver: Driver) -> None:
    load("dense", SMALL)
    wide = schema(
        json.dumps({"type": "object", "properties": {f"p{number}": {"type": "null"} for number in range(300)}, "required": ["p7"]})
    )
    running = driver.start(text_prompt("x"), max_tokens=400)
    running.wait_for(TokensDecoded)
    shaped = driver.start(text_prompt("y"), sampling=HOT, constraint=wide, max_tokens=30)
    assert shaped.finish().text.startswith("{")
    assert len(running.finish().tokens) == 400


def test_a_turn_is_cancelled_while_its_constraint_is_compiled(dense: Driver) -> None:
    wide = schema(json.dumps({"type": "object", "properties": {f"p{number}": {"type": "null"} for number in range(1_500)}}))
    conversation = dense.start(text_prompt("x"), constraint=wide)
    dense.backend.stop(conversation.turn)
    assert conversation.finish().finished.reason is StopReason.CANCELLED


def test_an_answer_goes_on_in_its_form_where_it_was_cut(dense: Driver) -> None:
    begun = '{"name":"Li","ag'
    messages = (ChatMessage(Role.USER, "Who?"), ChatMessage(Role.ASSISTANT, begun))
    answer = dense.ask(ChatPrompt(messages, continue_answer=True), sampling=HOT, constraint=schema())
    assert json.loads(begun + answer.text)["name"] == "Li"
    other = (messages[0], ChatMessage(Role.ASSISTANT, "Of course: "))
    refused = dense.ask(ChatPrompt(other, continue_answer=True), constraint=schema()).finished.error
    assert refused is not None
    assert "answer so far" in refused.detail


@pytest.fixture(scope="module")
def thinker(tmp_path_factory: pytest.TempPathFactory, backend: LlamaBackend) -> Callable[..., Driver]:
    """Loads a scripted model whose thinking markers are tokens, and that wants to write a text."""

    def load(*pieces: str, opens: bool = False, kind: str = "user_defined") -> Driver:
        template = ggufs.CHATML.replace("assistant\n'", "assistant\n<think>\n'") if opens else ggufs.CHATML
        marks = {kind: ("<think>", "</think>")} if kind == "user_defined" else {kind: ("<think>", "</think>", "<|im_start|>", "<|im_end|>")}
        path: Path = ggufs.scripted(tmp_path_factory.mktemp("thinker") / "m.gguf", pieces, template=template + "{# </think> #}", **marks)
        backend.load(path, SMALL, lambda _event: None).result(PATIENCE_S)
        return Driver(backend)

    return load


@pytest.mark.parametrize("kind", ["user_defined", "controls"])
@pytest.mark.parametrize("opens", [False, True])
def test_the_form_begins_behind_the_thinking(thinker: Callable[..., Driver], kind: str, opens: bool) -> None:
    script = ("Let me", " see {", "</think>", "\n\n", "The age is", " 7")
    driver = thinker(*(script if opens else ("<think>", *script)), opens=opens, kind=kind)
    answer = driver.ask(asked("Who?"), constraint=Constraint(ConstraintKind.REGEX, "[0-9]{2}"))
    head = "" if opens else "<think>"
    assert re.fullmatch(rf"{head}Let me see \{{</think>\s*\d\d", answer.text), answer.text
    assert answer.finished.reason is StopReason.EOG


def test_thinking_that_is_switched_off_is_not_in_the_form(thinker: Callable[..., Driver]) -> None:
    driver = thinker("<think>", "Let me", " see", "</think>", "7")
    answer = driver.ask(asked("Who?", thinking="off"), constraint=Constraint(ConstraintKind.REGEX, "[0-9]{2}"))
    assert re.fullmatch(r"\d\d", answer.text)


def test_free_text_becomes_a_form_at_a_trigger(thinker: Callable[..., Driver]) -> None:
    driver = thinker("I will", " look", "<call>", " nothing", " more")
    call = Constraint(ConstraintKind.LARK, r'start: /[a-c]{3}/ "</call>"', triggers=("<call>",))
    answer = driver.ask(asked("Who?"), constraint=call, max_tokens=20)
    assert re.match(r"I will look<call>[a-c]{3}</call>", answer.text), answer.text
    free = thinker("I will", " not").ask(asked("Who?"), constraint=call)
    assert (free.text, free.finished.reason) == ("I will not", StopReason.EOG)
