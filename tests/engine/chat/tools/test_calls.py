"""Tools in prompts, and calls in answers, for the families of models."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.chat.markers import unmarked
from engine.chat.rendered import Entry
from engine.chat.template import ChatFormat
from engine.chat.tools import HERMES, LLAMA, MISTRAL, ToolParser, ToolStyle
from engine.messages import Role, ToolCall
from tests.engine.chat.vocabulary import WordVocabulary

CALL = '{"name": "add", "arguments": {"a": 1, "b": "}"}}'
ADD = ToolCall("add", '{"a": 1, "b": "}"}')
ANSWERS = [
    pytest.param(HERMES, f"Well.\n<tool_call>\n{CALL}\n</tool_call>", "Well.", [ADD], id="hermes"),
    pytest.param(HERMES, f"<tool_call>{CALL}</tool_call>\n<tool_call>{CALL}</tool_call> Done", " Done", [ADD, ADD], id="two"),
    pytest.param(HERMES, "A <tool_call> is a tag, <tool", "A <tool_call> is a tag, <tool", [], id="no call"),
    pytest.param(HERMES, '<tool_call>{"name": "other"}</tool_call>', '<tool_call>{"name": "other"}', [], id="unknown tool"),
    pytest.param(HERMES, '<tool_call>{"name": "add", "argum', '<tool_call>{"name": "add", "argum', [], id="cut"),
    pytest.param(MISTRAL, f"[TOOL_CALLS][{CALL}, {CALL}]", "", [ADD, ADD], id="mistral"),
    pytest.param(LLAMA, CALL.replace("arguments", "parameters"), "", [ADD], id="llama"),
    pytest.param(LLAMA, f"<|python_tag|>{CALL}; {CALL}", "", [ADD, ADD], id="python tag"),
    pytest.param(LLAMA, "Hello {there}", "Hello {there}", [], id="llama text"),
]


@pytest.mark.parametrize(("style", "text", "shown", "calls"), ANSWERS)
@given(data=st.data())
def test_calls_are_taken_out_of_an_answer_however_it_arrives(
    style: ToolStyle, text: str, shown: str, calls: list[ToolCall], data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)))) | {0, len(text)})
    parser, got = ToolParser(style, frozenset({"add"})), ""
    found: list[ToolCall] = []
    for begin, end in pairwise(cuts):
        added, new = parser.feed(text[begin:end])
        got, found = got + added, found + new
    assert (got + parser.finish(), found) == (shown, calls)


def test_where_only_calls_may_come_their_marker_may_be_missing() -> None:
    parser = ToolParser(MISTRAL, frozenset({"add"}), calls_only=True)
    assert parser.feed(f"[{CALL}]") == ("", [ADD])


PLAIN = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
TOLD = "{% if tools %}{% for t in tools %}{{ t | tojson }}{% endfor %}{% endif %}"


def template(call: str) -> str:
    """A template that prints tools, and each call in a way of its own."""
    return (
        TOLD + "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + (m.content or '') }}"
        "{% for c in m.tool_calls or [] %}" + call + "{% endfor %}{{ '<|im_end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    )


OBJECT = '{"name": "{{ c.function.name }}", "KEY": {{ c.function.arguments | tojson }}}'
TEMPLATES = [
    pytest.param(template("<tool_call>\n" + OBJECT.replace("KEY", "arguments") + "\n</tool_call>"), HERMES, id="hermes"),
    pytest.param(template("[TOOL_CALLS][" + OBJECT.replace("KEY", "arguments") + "]"), MISTRAL, id="mistral"),
    pytest.param(template(OBJECT.replace("KEY", "parameters")), LLAMA, id="llama"),
    pytest.param(template("{{ '<tool_call>{\"name\": \"' + c.function.name + '\", ' + c.function.arguments }}"), HERMES, id="text"),
    pytest.param(template("<function={{ c.function.name }}>"), HERMES, id="unknown form"),
    pytest.param(PLAIN, HERMES, id="no tools"),
]
TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}


@pytest.mark.parametrize(("source", "style"), TEMPLATES)
def test_a_templates_way_to_write_calls_is_learned_and_every_template_prints_tools_calls_and_results(source: str, style: ToolStyle) -> None:
    chat = ChatFormat(source, WordVocabulary())
    assert chat.tool_style == style
    call = ToolCall("add", '{"number": 17}', "abc")
    entries = (Entry(Role.USER, "Add"), Entry(Role.ASSISTANT, "", calls=(call,)), Entry(Role.TOOL, "It is 40", result_of=call))
    rendered = chat.render(entries, thinking="auto", now=datetime.fromtimestamp(0, UTC), tools=[TOOL])
    text = unmarked(rendered.text)
    assert [part for part in (json.dumps(TOOL)[:12], '"add"', "17", "It is 40") if part not in text] == []
    assert text.endswith("assistant\n")
