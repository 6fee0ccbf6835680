"""Tools in each API: calls that are required come in form, and calls and results are taken back."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest

from tests.engine.serving.conftest import ask, events

pytestmark = pytest.mark.slow

CHAT = "/v1/chat/completions"
SCHEMA = {"type": "object", "properties": {"city": {"$ref": "#/$defs/city"}}, "required": ["city"], "additionalProperties": False}
WEATHER = {"name": "weather", "description": "The weather", "parameters": {**SCHEMA, "$defs": {"city": {"enum": ["Bonn", "Lima"]}}}}
OTHER = {"name": "other", "parameters": {"type": "object"}}
TOOLS = [{"type": "function", "function": WEATHER}, {"type": "function", "function": OTHER}]
NAMED = {"type": "function", "function": {"name": "weather"}}
BODY = ask(tools=TOOLS, tool_choice=NAMED, max_tokens=200, reasoning_effort="none")


def test_a_call_that_is_required_comes_in_form_whole_and_streamed(http: httpx2.Client) -> None:
    choice = http.post(CHAT, json=BODY).json()["choices"][0]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("tool_calls", None)
    (call,) = choice["message"]["tool_calls"]
    assert (call["type"], call["function"]["name"]) == ("function", "weather")
    assert json.loads(call["function"]["arguments"])["city"] in {"Bonn", "Lima"}
    chunks = [event for _, event in events(http.post(CHAT, json={**BODY, "stream": True}).text)][:-1]
    deltas = [delta for chunk in chunks for delta in chunk["choices"][0]["delta"].get("tool_calls", [])]
    assert [(delta["index"], delta["function"]) for delta in deltas] == [(0, call["function"])]
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"
    assert "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks) == ""


def test_tools_may_be_left_alone_and_are_in_the_prompt(http: httpx2.Client) -> None:
    auto = http.post(CHAT, json=ask(tools=TOOLS)).json()
    assert auto["choices"][0]["finish_reason"] == "length"
    prompt = http.post("/apply-template", json=ask(tools=TOOLS)).json()["prompt"]
    assert '"weather"' in prompt
    without = http.post("/apply-template", json=ask(tools=[])).json()["prompt"]
    assert "weather" not in without


RESULTS: list[tuple[str, list[dict[str, Any]]]] = [
    (
        "openai",
        [
            {"role": "assistant", "content": None, "tool_calls": [{"id": "call_7", "type": "function", "function": {"name": "weather"}}]},
            {"role": "tool", "tool_call_id": "call_7", "content": "It rains."},
        ],
    ),
    (
        "anthropic",
        [
            {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_7", "name": "weather", "input": {"city": "Lima"}}]},
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": "toolu_7", "content": [{"type": "text", "text": "It rains."}]}],
            },
        ],
    ),
    (
        "ollama",
        [
            {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "weather", "arguments": {"city": "Lima"}}}]},
            {"role": "tool", "tool_name": "weather", "content": "It rains."},
        ],
    ),
]


@pytest.mark.parametrize(("api", "messages"), RESULTS, ids=[api for api, _ in RESULTS])
def test_calls_and_results_are_part_of_the_prompt(http: httpx2.Client, api: str, messages: list[dict[str, Any]]) -> None:
    path = {"openai": CHAT, "anthropic": "/v1/messages", "ollama": "/api/chat"}[api]
    body = ask(messages=[{"role": "user", "content": "And?"}, *messages])
    assert http.post(path, json=body).status_code == 200
    prompt = http.post("/apply-template", json={"messages": body["messages"]}).json()["prompt"]
    assert [part for part in ("weather", "It rains.") if part not in prompt] == []


def test_anthropics_and_ollamas_calls_have_their_form(http: httpx2.Client) -> None:
    tool = {"name": "weather", "input_schema": WEATHER["parameters"]}
    asked = ask(tools=[tool], tool_choice={"type": "any", "disable_parallel_tool_use": True}, thinking={"type": "disabled"}, max_tokens=200)
    message = http.post("/v1/messages", json=asked).json()
    assert message["stop_reason"] == "tool_use"
    block = message["content"][0]
    assert (block["type"], block["name"]) == ("tool_use", "weather")
    assert block["input"]["city"] in {"Bonn", "Lima"}
    named = events(http.post("/v1/messages", json={**asked, "stream": True}).text)
    starts = [event["content_block"]["type"] for name, event in named if name == "content_block_start"]
    parts = [event["delta"]["partial_json"] for name, event in named if name == "content_block_delta"]
    assert starts[0] == "tool_use"
    assert json.loads(parts[0]) == block["input"]
    assert [name for name, _ in named].count("content_block_stop") == len(starts)
    chat = http.post("/api/chat", json={**ask(), "tools": TOOLS, "stream": False, "options": {"num_predict": 4}}).json()
    assert chat["message"]["role"] == "assistant"


def test_a_schema_of_tools_that_can_not_be_is_refused(http: httpx2.Client) -> None:
    deep: dict[str, Any] = {}
    for _ in range(400):
        deep = {"type": "object", "properties": {"a": deep}}
    for parameters in (deep, {"$ref": "#"}, {"type": "hiccup"}):
        tools = [{"type": "function", "function": {"name": "a", "parameters": parameters}}]
        answer = http.post(CHAT, json=ask(tools=tools, tool_choice="required"))
        assert answer.status_code == 400, str(parameters)[:80]
    assert http.post(CHAT, json=ask()).status_code == 200
