"""llama-server's own completions, and what else its clients ask for."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest

from engine.llama.backend import LlamaBackend
from engine.serving.guard import Guard
from engine.serving.served import Options
from engine.serving.server import Address, Server
from tests.engine.serving.conftest import PRESET, ask, events, golden
from tests.engine.serving.test_faces import lacking

pytestmark = pytest.mark.slow

BODY: dict[str, Any] = {"prompt": "Once upon", "n_predict": 3}


def test_a_completion_has_the_keys_of_llama_servers_whole_and_streamed(http: httpx2.Client) -> None:
    whole = http.post("/completion", json={**BODY, "return_tokens": True}).json()
    assert lacking(whole, json.loads(golden("completion.json"))) == []
    assert (whole["stop_type"], whole["tokens_predicted"], len(whole["tokens"])) == ("limit", 3, 3)
    parts = [event for _, event in events(http.post("/completion", json={**BODY, "stream": True}).text)]
    theirs = [event for _, event in events(golden("completion-stream.txt"))]
    assert [lacking(mine, their) for mine, their in zip(parts, theirs, strict=True)] == [[]] * 4
    assert "".join(part["content"] for part in parts) == whole["content"]
    assert [token for part in parts for token in part["tokens"]] == whole["tokens"]


def test_the_progress_of_the_prefill_and_the_timings_of_each_token_are_sent_where_asked_for(http: httpx2.Client) -> None:
    body = {**BODY, "prompt": "New words " * 60, "stream": True, "return_progress": True, "timings_per_token": True}
    parts = [event for _, event in events(http.post("/completion", json=body).text)]
    progress = [part["prompt_progress"] for part in parts if "prompt_progress" in part]
    assert progress[0]["processed"] == progress[0]["cache"]
    assert progress[-1]["processed"] == progress[-1]["total"]
    assert [part["timings"]["predicted_n"] for part in parts] == [0] * len(progress) + [1, 2, 3, 3]
    chunks = [event for _, event in events(http.post("/v1/chat/completions", json=ask(**{**body, "prompt": ""})).text)]
    assert "prompt_progress" in chunks[0]


def test_prompts_are_texts_tokens_both_or_several(http: httpx2.Client) -> None:
    tokens = http.post("/tokenize", json={"content": "Once upon"}).json()["tokens"]
    prompts: list[Any] = ["Once upon", tokens, {"prompt_string": "Once upon"}, [*tokens[:2], "ce upon"]]
    alone = http.post("/completion", json=BODY).json()["content"]
    several = http.post("/completion", json={**BODY, "prompt": prompts[:3]}).json()
    assert [answer["content"] for answer in several] == [alone] * 3
    assert [answer["index"] for answer in several] == [0, 1, 2]
    choices = http.post("/v1/completions", json={"prompt": prompts[:3], "n": 2, "max_tokens": 3}).json()
    assert [choice["text"] for choice in choices["choices"]] == [alone] * 6
    assert choices["usage"]["prompt_tokens"] == 3 * len(tokens)
    assert http.post("/completion", json={**BODY, "prompt": prompts[3]}).status_code == 200


def test_only_the_fields_that_are_asked_for_are_sent(http: httpx2.Client) -> None:
    fields = ["content", "timings/prompt_n", "nothing/here"]
    answer = http.post("/completion", json={**BODY, "response_fields": fields}).json()
    assert list(answer) == fields
    assert answer["nothing/here"] is None


def test_biases_and_ends_that_are_ignored_are_listed_among_the_settings(http: httpx2.Client) -> None:
    settings = http.post("/completion", json={**BODY, "ignore_eos": True, "logit_bias": [[5, 1.5]]}).json()["generation_settings"]
    assert settings["logit_bias"][0] == {"token": 5, "bias": 1.5}
    assert {bias["bias"] for bias in settings["logit_bias"][1:]} == {None}
    assert (settings["n_predict"], settings["ignore_eos"]) == (3, True)


def test_the_prompt_is_said_where_everything_is_asked_for(http: httpx2.Client) -> None:
    answer = http.post("/v1/chat/completions", json=ask("Hello you", verbose=True)).json()
    assert "Hello you" in answer["__verbose"]["prompt"]
    assert answer["__verbose"]["content"] == answer["choices"][0]["message"]["content"]
    assert "__verbose" not in http.post("/v1/chat/completions", json=ask()).json()
    assert http.post("/v1/chat/completions/input_tokens", json=ask()).json()["input_tokens"] > 5


@pytest.mark.parametrize("path", ["/v1/embeddings", "/rerank", "/infill", "/props", "/v1/audio/speech"])
def test_what_this_server_can_not_do_is_refused_as_such(http: httpx2.Client, path: str) -> None:
    answer = http.post(path, json={"input": "x"})
    assert (answer.status_code, answer.json()["error"]["type"]) == (501, "not_supported_error")


def test_names_tags_and_pages_of_other_origins_are_those_of_the_flags(server: Server) -> None:
    backend: LlamaBackend = server.served.backend
    guard = Guard(origins=frozenset({"localhost", "https://chat.example"}))
    before = backend.before_decode
    other = Server(backend, PRESET, guard, Address(port=0), options=Options(("a", "b"), ("small",), verbose=True))
    try:
        with httpx2.Client(base_url=other.url, timeout=60) as http:
            model = http.get("/v1/models").json()["data"][0]
            assert (model["id"], model["aliases"], model["tags"]) == ("a", ["a", "b"], ["small"])
            for origin in ("http://localhost:3000", "https://chat.example", "http://[::1]"):
                asked = http.options("/v1/chat/completions", headers={"origin": origin})
                assert asked.headers["access-control-allow-origin"] == origin
                answer = http.get("/v1/models", headers={"origin": origin})
                assert answer.headers["access-control-allow-origin"] == origin
            for origin in ("https://evil.example", "http://localhost.evil.example", "null"):
                assert "access-control-allow-origin" not in http.options("/v1/models", headers={"origin": origin}).headers
                assert http.get("/v1/models", headers={"origin": origin}).status_code == 403
    finally:
        other.stop(0.0)
        other.join(60)
        backend.before_decode = before


def test_a_prompt_that_is_too_long_to_be_answered_is_counted_and_shown(http: httpx2.Client) -> None:
    body = ask("many words " * 400)
    assert http.post("/v1/messages/count_tokens", json=body).json()["input_tokens"] > 1024
    assert "many words" in http.post("/apply-template", json=body).json()["prompt"]
