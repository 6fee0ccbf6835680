"""Clients as people use them, unmodified."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine.serving.server import Server

openai = pytest.importorskip("openai")

pytestmark = [pytest.mark.clients, pytest.mark.slow]


def client(server: Server) -> Any:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0, timeout=60)


def test_openais_client_lists_models_and_chats_whole_and_streamed(server: Server) -> None:
    with client(server) as ours:
        assert [model.id for model in ours.models.list()] == ["tiny"]
        messages = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": [{"type": "text", "text": "Hello"}]}]
        asked = {"model": "any", "messages": messages, "max_completion_tokens": 6}
        whole = ours.chat.completions.create(**asked)
        assert whole.usage.completion_tokens == 6
        assert whole.choices[0].finish_reason == "length"
        chunks = list(ours.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        assert text == whole.choices[0].message.content
        assert chunks[-1].usage.total_tokens == whole.usage.total_tokens


def test_openais_client_completes_texts_and_asks_for_responses(server: Server) -> None:
    with client(server) as ours:
        whole = ours.completions.create(model="any", prompt="Once upon", max_tokens=5)
        chunks = ours.completions.create(model="any", prompt="Once upon", max_tokens=5, stream=True)
        assert "".join(chunk.choices[0].text for chunk in chunks) == whole.choices[0].text
        response = ours.responses.create(model="any", input="Hello", max_output_tokens=5)
        with ours.responses.stream(model="any", input="Hello", max_output_tokens=5) as stream:
            kinds = [event.type for event in stream]
            assert stream.get_final_response().output_text == response.output_text
        assert kinds[-1] == "response.completed"


def test_openais_client_knows_the_errors(server: Server) -> None:
    with client(server) as ours, pytest.raises(openai.BadRequestError, match="exceeds the available context size") as caught:
        ours.chat.completions.create(model="any", messages=[{"role": "user", "content": "many words " * 500}])
    assert caught.value.body["n_ctx"] == 1024


TOOL = {"type": "object", "properties": {"city": {"enum": ["Bonn", "Lima"]}}, "required": ["city"], "additionalProperties": False}


def test_openais_client_reads_calls_forms_and_log_probabilities(server: Server) -> None:
    with client(server) as ours:
        messages = [{"role": "user", "content": "Hello"}]
        tools = [{"type": "function", "function": {"name": "weather", "parameters": TOOL}}]
        asked = {"model": "any", "messages": messages, "max_tokens": 200, "reasoning_effort": "none"}
        called = ours.chat.completions.create(**asked, tools=tools, tool_choice="required", parallel_tool_calls=False)
        (call,) = called.choices[0].message.tool_calls
        assert json.loads(call.function.arguments)["city"] in {"Bonn", "Lima"}
        results = [*messages, called.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "Sun"}]
        assert ours.chat.completions.create(**{**asked, "messages": results, "max_tokens": 2}, tools=tools).usage.completion_tokens == 2
        form = {"type": "json_schema", "json_schema": {"name": "it", "schema": TOOL, "strict": True}}
        formed = ours.chat.completions.create(**asked, response_format=form, logprobs=True, top_logprobs=2)
        assert json.loads(formed.choices[0].message.content)["city"] in {"Bonn", "Lima"}
        assert len(formed.choices[0].logprobs.content[0].top_logprobs) == 2


def test_openais_client_gets_calls_in_responses(server: Server) -> None:
    with client(server) as ours:
        tools = [{"type": "function", "name": "weather", "parameters": TOOL}]
        asked: dict[str, Any] = {"model": "any", "tools": tools, "reasoning": {"effort": "none"}, "max_output_tokens": 200}
        choice = {"type": "function", "name": "weather"}
        response = ours.responses.create(**asked, input="Hello", tool_choice=choice)
        (call,) = response.output
        assert (call.type, json.loads(call.arguments)["city"] in {"Bonn", "Lima"}) == ("function_call", True)
        with ours.responses.stream(**asked, input="Hello", tool_choice=choice) as stream:
            kinds = [event.type for event in stream]
            assert stream.get_final_response().output[0].arguments == call.arguments
        assert kinds.count("response.function_call_arguments.done") == 1
        output = {"type": "function_call_output", "call_id": call.call_id, "output": "Sun"}
        asked |= {"max_output_tokens": 3, "input": [{"role": "user", "content": "Hello"}, call, output]}
        assert ours.responses.create(**asked).usage.output_tokens == 3


def test_anthropics_client_gets_messages_and_calls(server: Server) -> None:
    anthropic = pytest.importorskip("anthropic")
    with anthropic.Anthropic(base_url=server.url, api_key="none", max_retries=0, timeout=60) as ours:
        asked: dict[str, Any] = {"model": "any", "max_tokens": 200, "messages": [{"role": "user", "content": "Hello"}]}
        whole = ours.messages.create(**{**asked, "max_tokens": 6})
        assert (whole.stop_reason, whole.usage.output_tokens) == ("max_tokens", 6)
        with ours.messages.stream(**{**asked, "max_tokens": 6}) as stream:
            text = "".join(stream.text_stream)
        assert text == "".join(block.text for block in whole.content if block.type == "text")
        choice = {"type": "tool", "name": "weather"}
        tools = [{"name": "weather", "input_schema": TOOL}]
        with ours.messages.stream(**asked, tools=tools, tool_choice=choice, thinking={"type": "disabled"}) as stream:
            message = stream.get_final_message()
        (block,) = [block for block in message.content if block.type == "tool_use"]
        assert (message.stop_reason, block.input["city"] in {"Bonn", "Lima"}) == ("tool_use", True)
        assert ours.messages.count_tokens(model="any", messages=asked["messages"]).input_tokens > 5


def test_ollamas_client_chats_in_a_form_and_lists_the_model(server: Server) -> None:
    ollama = pytest.importorskip("ollama")
    ours = ollama.Client(host=server.url, timeout=60)
    assert [model.model for model in ours.list().models] == ["tiny"]
    asked: dict[str, Any] = {"model": "tiny", "messages": [{"role": "user", "content": "Hello"}], "think": False}
    options = {"num_predict": 200}
    assert json.loads(ours.chat(**asked, format=TOOL, options=options).message.content)["city"] in {"Bonn", "Lima"}
    whole = ours.chat(**asked, options={"num_predict": 5})
    assert "".join(part.message.content for part in ours.chat(**asked, options={"num_predict": 5}, stream=True)) == whole.message.content
    assert ours.generate(model="tiny", prompt="Hello", options={"num_predict": 3}).eval_count == 3
