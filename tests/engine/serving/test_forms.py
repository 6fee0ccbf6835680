"""Forms of answers, and how likely their tokens were, in each API."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest

from engine.serving.server import Server
from tests.engine.serving.conftest import ask, events, golden
from tests.engine.serving.test_faces import lacking

pytestmark = pytest.mark.slow

CHAT = "/v1/chat/completions"
SCHEMA = {"type": "object", "properties": {"a": {"enum": ["x", "y"]}}, "required": ["a"], "additionalProperties": False}
FORMAT = {"type": "json_schema", "json_schema": {"name": "it", "schema": SCHEMA}}
LONG: dict[str, Any] = {"max_tokens": 60, "reasoning_effort": "none"}


def test_each_api_keeps_the_answer_in_the_form_that_is_asked_for(http: httpx2.Client) -> None:
    response = {"input": "Hi", "text": {"format": {"type": "json_schema", "name": "it", "schema": SCHEMA}}, "reasoning": {"effort": "none"}}
    answers = [
        http.post(CHAT, json=ask(response_format=FORMAT, **LONG)).json()["choices"][0]["message"]["content"],
        http.post(CHAT, json=ask(json_schema=SCHEMA, **LONG)).json()["choices"][0]["message"]["content"],
        http.post("/completion", json={"prompt": "Hello", "json_schema": SCHEMA, "n_predict": 60}).json()["content"],
        http.post("/api/chat", json={**ask(), "format": SCHEMA, "stream": False, "think": False}).json()["message"]["content"],
        http.post("/v1/responses", json=response).json()["output"][0]["content"][0]["text"],
    ]
    assert [set(json.loads(answer)) for answer in answers] == [{"a"}] * 5
    fives = http.post(CHAT, json=ask(grammar='root ::= "a"{5,5}', **LONG)).json()["choices"][0]
    assert (fives["message"]["content"], fives["finish_reason"]) == ("aaaaa", "stop")
    text = http.post(CHAT, json=ask(response_format={"type": "json_object"}, **LONG)).json()["choices"][0]["message"]["content"]
    assert text.startswith("{")


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"response_format": {"type": "json_object", "schema": 123}}, "response_format is not a JSON schema"),
    ({"response_format": {"type": "json_schema", "json_schema": {}}}, "response_format is not a JSON schema"),
    ({"response_format": {"type": "json_object", "schema": {"type": "hiccup"}}}, "JSON schema can't be used"),
    ({"json_schema": {"$ref": "#"}}, "JSON schema can't be used"),
    ({"grammar": "root ::= this is (not valid GBNF"}, "grammar can't be used"),
    ({"grammar": 'root ::= "a"', "json_schema": {}}, "exclude each other"),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("fields", "named"), WRONG, ids=[named for _, named in WRONG])
def test_a_form_that_can_not_be_is_refused(http: httpx2.Client, fields: dict[str, Any], named: str, stream: bool) -> None:
    answer = http.post(CHAT, json=ask(stream=stream, **fields))
    assert answer.status_code == 400
    assert named in answer.json()["error"]["message"]


def test_a_chat_reports_how_likely_its_tokens_were_whole_and_streamed(http: httpx2.Client) -> None:
    body = ask(logprobs=True, top_logprobs=3)
    choice = http.post(CHAT, json=body).json()["choices"][0]
    assert lacking(choice["logprobs"], json.loads(golden("chat.json"))["choices"][0]["logprobs"]) == []
    tokens = choice["logprobs"]["content"]
    assert b"".join(bytes(token["bytes"]) for token in tokens).decode("utf-8", "ignore") == choice["message"]["content"].replace(
        "\ufffd", ""
    )
    assert [len(token["top_logprobs"]) for token in tokens] == [3] * 4
    assert all(token["logprob"] == token["top_logprobs"][0]["logprob"] <= 0 for token in tokens)
    chunks = [event for _, event in events(http.post(CHAT, json={**body, "stream": True}).text)][:-1]
    streamed = [token for chunk in chunks for token in chunk["choices"][0].get("logprobs", {}).get("content", [])]
    assert [token["id"] for token in streamed] == [token["id"] for token in tokens]
    assert "logprobs" not in http.post(CHAT, json=ask()).json()["choices"][0]


def test_a_completion_reports_those_of_its_prompt_where_it_is_echoed(http: httpx2.Client, server: Server) -> None:
    if not server.served.backend.capabilities.logprobs:
        pytest.skip("the engine does not score prompts")
    body = {"prompt": "Once upon a time", "max_tokens": 2, "logprobs": 2, "echo": True}
    alone = http.post("/v1/completions", json={**body, "echo": False}).json()["choices"][0]
    choice = http.post("/v1/completions", json=body).json()["choices"][0]
    assert choice["text"] == "Once upon a time" + alone["text"]
    logprobs = choice["logprobs"]
    ids = http.post("/tokenize", json={"content": "Once upon a time"}).json()["tokens"]
    assert len(logprobs["tokens"]) == len(logprobs["top_logprobs"]) == len(logprobs["text_offset"]) == len(ids) + 2
    assert logprobs["token_logprobs"][0] is None
    assert logprobs["token_logprobs"][-2:] == pytest.approx(alone["logprobs"]["token_logprobs"], abs=1e-3)
    assert "".join(logprobs["tokens"][: len(ids)]) == "Once upon a time"
    parts = [event["choices"][0] for _, event in events(http.post("/v1/completions", json={**body, "stream": True}).text)[:-1]]
    assert "".join(part["text"] for part in parts) == choice["text"]
    assert [token for part in parts if part["logprobs"] for token in part["logprobs"]["tokens"]] == logprobs["tokens"]


def test_llama_servers_completion_reports_them_too(http: httpx2.Client) -> None:
    theirs = json.loads(golden("completion-probs.json"))["completion_probabilities"]
    probabilities = http.post("/completion", json={"prompt": "Once", "n_probs": 2, "n_predict": 2}).json()["completion_probabilities"]
    assert lacking(probabilities, theirs) == []


@pytest.mark.parametrize("n", [-1, 101, "many"])
def test_a_number_of_likely_tokens_that_can_not_be_is_refused(http: httpx2.Client, n: object) -> None:
    assert http.post(CHAT, json=ask(logprobs=True, top_logprobs=n)).status_code == 400
