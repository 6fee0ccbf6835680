"""Clients as people use them, unmodified."""

from __future__ import annotations

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
