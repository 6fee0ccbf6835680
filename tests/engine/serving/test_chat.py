"""Chat completions over HTTP: answers, streams, refusals."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

from engine.serving.served import MOST_OF_ONE
from engine.serving.server import Server
from tests.engine.serving.conftest import ask, events

pytestmark = pytest.mark.slow

CHAT = "/v1/chat/completions"


def text_of(answer: httpx2.Response, index: int = 0) -> str:
    return str(answer.json()["choices"][index]["message"]["content"])


def streamed(http: httpx2.Client, **more: Any) -> list[Any]:
    answer = http.post(CHAT, json=ask(stream=True, **more))
    assert answer.headers["content-type"] == "text/event-stream"
    return [event for _, event in events(answer.text)]


def test_a_stream_has_the_text_of_the_whole_answer_the_role_first_and_the_end_last(http: httpx2.Client) -> None:
    whole = http.post(CHAT, json=ask(max_tokens=12))
    assert whole.status_code == 200
    chunks = streamed(http, max_tokens=12)
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": None}
    assert "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks[:-1]) == text_of(whole)
    assert chunks[-2]["choices"][0]["finish_reason"] == "length"
    assert chunks[-2]["timings"]["predicted_n"] == 12
    assert chunks[-1] == "[DONE]"
    assert len({chunk["id"] for chunk in chunks[:-1]}) == 1


def test_the_usage_comes_last_where_it_is_asked_for_and_counts_what_the_cache_held(http: httpx2.Client) -> None:
    chunks = [streamed(http, stream_options={"include_usage": True}) for _ in range(2)][-1]
    usage = chunks[-2]["usage"]
    assert chunks[-2]["choices"] == []
    assert usage["completion_tokens"] == 4
    assert usage["total_tokens"] == usage["prompt_tokens"] + 4
    assert usage["prompt_tokens_details"]["cached_tokens"] == usage["prompt_tokens"] - 1
    assert "timings" in chunks[-2]
    assert "timings" not in chunks[-3]


def test_n_answers_differ_by_seed_and_are_the_same_again(http: httpx2.Client) -> None:
    body = ask(n=3, seed=7, temperature=2.0, max_tokens=8)
    first, again = http.post(CHAT, json=body), http.post(CHAT, json=body)
    texts = [text_of(first, index) for index in range(3)]
    assert len(set(texts)) == 3
    assert first.json()["usage"]["completion_tokens"] == 24
    assert text_of(again) == texts[0]


def test_a_stop_string_ends_the_answer_before_it(http: httpx2.Client) -> None:
    whole = text_of(http.post(CHAT, json=ask(max_tokens=16)))
    stop = whole[6:8]
    answer = http.post(CHAT, json=ask(max_tokens=16, stop=[stop, "never said"])).json()["choices"][0]
    assert answer["message"]["content"] == whole[: whole.index(stop)]
    assert answer["finish_reason"] == "stop"


def test_max_completion_tokens_is_max_tokens(http: httpx2.Client) -> None:
    assert http.post(CHAT, json=ask(max_completion_tokens=2)).json()["usage"]["completion_tokens"] == 2


def test_an_assistants_message_at_the_end_is_continued(http: httpx2.Client) -> None:
    messages = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "I am"}]
    rendered = http.post("/apply-template", json={"messages": messages}).json()["prompt"]
    assert rendered.endswith("<|im_start|>assistant\nI am")
    assert http.post(CHAT, json=ask(messages=messages)).status_code == 200


def test_many_clients_are_answered_at_once_each_as_alone(http: httpx2.Client) -> None:
    def asked(number: int) -> str:
        return text_of(http.post(CHAT, json=ask(f"Question {number}", max_tokens=6)))

    alone = [asked(number) for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(asked, range(8))) == alone


WRONG: list[tuple[dict[str, Any], list[str]]] = [
    ({"messages": None}, ["messages is missing"]),
    ({"messages": "Hello", "max_tokens": "four", "stream": 1}, ["messages: ", "max_tokens: ", "stream: "]),
    ({"messages": []}, ["no message of a user"]),
    (
        {"messages": [{"role": "wizard", "content": "x"}, {"role": "user"}]},
        ["messages[0]: role 'wizard'", "messages[1]: it has no content"],
    ),
    ({"messages": [{"content": "x"}]}, ["messages[0]: Object missing required field `role`"]),
    ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, ["messages[0]: content of type 'image_url'"]),
    ({"temperature": -1, "top_p": 2, "seed": 1 << 40}, ["temperature", "top_p", "seed"]),
    ({"n": 0}, ["n can't be 0"]),
    ({"n": 10**30}, ["n can't be 1000"]),
    ({"max_tokens": 0}, ["max_tokens is less than 1"]),
    ({"stop": [""]}, ["empty string"]),
    ({"stop": ["x", "y" * 1001]}, ["stop has a string of more than 1,000 characters"]),
    ({"messages": [{"role": "user", "content": "x", "images": ["eA=="]}]}, ["messages[0]: images are not supported"]),
    ({"tools": [{"type": "function"}, {"type": "retrieval"}, {"name": "a b"}]}, ["tools[0]: ", "tools[1]: type", "tools[2]: 'a b'"]),
    ({"tool_choice": "required"}, ["there are no tools"]),
    ({"tools": [{"name": "a"}], "tool_choice": {"function": {"name": "b"}}}, ["tool_choice names 'b'"]),
    ({"functions": [{"name": "a"}], "best_of": 2}, ["functions = ", "best_of = "]),
    ({"response_format": {"type": "sound"}}, ["response_format = "]),
]


@pytest.mark.parametrize(("fields", "named"), WRONG, ids=[str(list(fields)) for fields, _ in WRONG])
def test_every_wrong_field_is_named(http: httpx2.Client, fields: dict[str, Any], named: list[str]) -> None:
    answer = http.post(CHAT, json=ask(**fields))
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["code"], error["type"]) == (400, "invalid_request_error")
    assert [name for name in named if name not in error["message"]] == []


def test_fields_that_change_nothing_are_taken(http: httpx2.Client) -> None:
    body = ask(
        tools=[], tool_choice="none", logprobs=False, presence_penalty=0, response_format={"type": "text"}, user="me", seed=-1, n=None
    )
    assert http.post(CHAT, json=body).status_code == 200


@pytest.mark.parametrize("stream", [False, True])
def test_a_prompt_that_does_not_fit_is_refused_with_both_numbers(http: httpx2.Client, stream: bool) -> None:
    answer = http.post(CHAT, json=ask("many words " * 400, stream=stream))
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["type"] == "exceed_context_size_error"
    assert error["n_ctx"] == 1024
    assert error["n_prompt_tokens"] > 1024


def test_one_client_can_not_ask_for_all_answers(http: httpx2.Client, server: Server) -> None:
    body = ask(n=64, max_tokens=400)
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda _: httpx2.post(server.url + CHAT, json={**body, "max_tokens": 60}, timeout=60), range(3)))
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(refused) == 1
    assert MOST_OF_ONE == 128
    assert refused[0].headers["retry-after"] == "1"
    assert refused[0].json()["error"]["type"] == "rate_limit_error"
    assert http.get("/health").status_code == 200


def test_no_answer_names_a_path_of_this_machine(http: httpx2.Client, server: Server) -> None:
    info = server.served.info.model.path
    assert info is not None
    pages = [http.get(path).text for path in ("/v1/models", "/props", "/slots", "/metrics", "/api/tags", "/api/ps")]
    pages += [http.post("/api/show", json={}).text, http.get("/nothing").text, http.post(CHAT, json={}).text]
    assert [page for page in pages if str(info.parent) in page or "/" + info.parent.name in page] == []
