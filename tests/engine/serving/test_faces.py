"""The other APIs: the shape of each answer is llama-server's, whose answers are kept in `golden/`."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx2
import pytest

from tests.engine.serving.conftest import ask, events, golden

pytestmark = pytest.mark.slow


def shape(value: object) -> object:
    """Keys and types; numbers are alike, and so are texts."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in sorted(value.items())}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else type(value).__name__


def lacking(ours: Any, theirs: Any, at: str = "") -> list[str]:
    """Where our answer lacks what theirs has, or has another type there."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        return [line for key in theirs for line in (lacking(ours[key], theirs[key], f"{at}.{key}") if key in ours else [f"{at}.{key}"])]
    if isinstance(theirs, list) and isinstance(ours, list):
        return lacking(ours[0], theirs[0], f"{at}[0]") if ours and theirs else []
    return [] if shape(ours) == shape(theirs) else [f"{at} is {shape(ours)}, not {shape(theirs)}"]


def without_repetition(stream: list[tuple[str, Any]]) -> list[tuple[str, object]]:
    """The order of the kinds of events."""
    kinds: list[tuple[str, object]] = []
    for name, event in stream:
        kind = (name, json.dumps(shape(event)) if not name else "")
        if not kinds or kinds[-1] != kind:
            kinds.append(kind)
    return kinds


def test_a_chat_stream_has_the_events_and_keys_of_llama_server(http: httpx2.Client) -> None:
    ours = events(http.post("/v1/chat/completions", json=ask(max_tokens=3, stream=True, stream_options={"include_usage": True})).text)
    assert without_repetition(ours) == without_repetition(events(golden("chat-stream.txt")))


def test_a_completion_has_them_and_continues_the_text_without_a_template(http: httpx2.Client) -> None:
    body = {"prompt": "Once upon", "max_tokens": 3}
    ours = events(http.post("/v1/completions", json={**body, "stream": True}).text)
    assert without_repetition(ours) == without_repetition(events(golden("v1-completions-stream.txt")))
    whole = http.post("/v1/completions", json=body).json()
    assert "".join(event["choices"][0]["text"] for _, event in ours[:-1]) == whole["choices"][0]["text"]
    tokens = http.post("/tokenize", json={"content": "Once upon"}).json()["tokens"]
    assert whole["usage"]["prompt_tokens"] == len(tokens)
    assert http.post("/v1/completions", json={**body, "prompt": tokens}).json()["choices"] == whole["choices"]


def test_prompts_of_unknown_tokens_are_refused(http: httpx2.Client) -> None:
    for prompt in ([10**9], [-1], [], "", [1, None], [2**70], [True], {"multimodal_data": "eA==", "prompt_string": "a"}):
        answer = http.post("/v1/completions", json={"prompt": prompt, "max_tokens": 1})
        assert answer.status_code == 400, prompt


def test_messages_have_the_events_and_keys_of_anthropics(http: httpx2.Client) -> None:
    ours = events(http.post("/v1/messages", json=ask(max_tokens=3, stream=True)).text)
    theirs = events(golden("anthropic-stream.txt"))
    assert without_repetition(ours) == without_repetition(theirs)
    assert [lacking(mine[1], their[1]) for mine, their in zip(ours[:2], theirs[:2], strict=True)] == [[], []]
    whole = http.post("/v1/messages", json=ask(max_tokens=3, system=[{"type": "text", "text": "Be brief."}])).json()
    assert lacking(whole, json.loads(golden("anthropic.json"))) == []
    assert whole["stop_reason"] == "max_tokens"
    counted = http.post("/v1/messages/count_tokens", json=ask(system="Be brief.")).json()["input_tokens"]
    assert counted == whole["usage"]["input_tokens"] + whole["usage"]["cache_read_input_tokens"]


def test_an_answer_of_messages_may_be_sent_back_with_its_thinking(http: httpx2.Client) -> None:
    answer = [{"type": "thinking", "thinking": "Hm.", "signature": ""}, {"type": "text", "text": "Hello!"}]
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": answer}, {"role": "user", "content": "Again"}]
    assert http.post("/v1/messages", json=ask(messages=messages)).status_code == 200
    rendered = http.post("/apply-template", json={"messages": messages}).json()["prompt"]
    assert "assistant\nHello!" in rendered


NOT_SUPPORTED = [
    ("/v1/responses", {"input": "Hello", "text": {"format": {"type": "json_schema"}}}, "text.format"),
    ("/api/chat", {**ask(), "format": "xml"}, "format = "),
    ("/api/generate", {"prompt": "Hello", "images": ["eA=="]}, "images = "),
    ("/v1/completions", {"prompt": "Hello", "best_of": 2}, "best_of = "),
]


@pytest.mark.parametrize(("path", "body", "named"), NOT_SUPPORTED, ids=[named for _, _, named in NOT_SUPPORTED])
def test_what_would_change_the_answer_and_is_not_supported_is_named(
    http: httpx2.Client, path: str, body: dict[str, Any], named: str
) -> None:
    answer = http.post(path, json=body)
    assert answer.status_code == 400
    assert named in answer.text


def test_errors_of_messages_and_of_ollamas_api_have_the_form_of_theirs(http: httpx2.Client) -> None:
    error = http.post("/v1/messages", json={}).json()
    assert (error["type"], error["error"]["type"]) == ("error", "invalid_request_error")
    assert isinstance(http.post("/api/chat", json={}).json()["error"], str)


def test_a_response_has_the_events_and_keys_of_openais(http: httpx2.Client) -> None:
    body = {"input": "Hello", "max_output_tokens": 2, "instructions": "Be brief."}
    ours = events(http.post("/v1/responses", json={**body, "stream": True}).text)
    theirs = events(golden("responses-stream.txt"))
    assert [name for name, _ in without_repetition(ours)] == [name for name, _ in without_repetition(theirs)]
    named = dict(ours)
    assert [line for name, event in theirs for line in lacking(named[name], event, name)] == []
    assert lacking(http.post("/v1/responses", json=body).json(), json.loads(golden("responses.json"))) == []


def test_ollamas_chat_and_generation_are_lines_and_the_last_has_the_figures(http: httpx2.Client) -> None:
    options = {"num_predict": 3, "temperature": 0}
    lines = http.post("/api/chat", json={**ask(), "options": options}).text.splitlines()
    parts = [json.loads(line) for line in lines]
    assert [part["done"] for part in parts] == [False] * (len(parts) - 1) + [True]
    assert parts[-1]["eval_count"] == 3
    whole = http.post("/api/chat", json={**ask(), "options": options, "stream": False}).json()
    assert whole["message"]["content"] == "".join(part["message"]["content"] for part in parts)
    generated = http.post("/api/generate", json={"prompt": "Hello", "options": options, "stream": False}).json()
    assert generated["response"] == whole["message"]["content"]
    raw = http.post("/api/generate", json={"prompt": "Hello", "raw": True, "options": options, "stream": False}).json()
    assert raw["response"] == http.post("/v1/completions", json={"prompt": "Hello", "max_tokens": 3}).json()["choices"][0]["text"]


def test_ollamas_lists_name_the_model(http: httpx2.Client) -> None:
    assert http.get("/api/version").json()["version"]
    names = [http.get(path).json()["models"][0]["name"] for path in ("/api/tags", "/api/ps")]
    assert names == ["tiny", "tiny"]
    assert "completion" in http.post("/api/show", json={"model": "tiny"}).json()["capabilities"]


def test_tokens_become_the_text_again_and_have_pieces(http: httpx2.Client) -> None:
    text = "Hello, wörld 😀"
    tokens = http.post("/tokenize", json={"content": text, "with_pieces": True}).json()["tokens"]
    assert lacking(tokens, json.loads(golden("tokenize.json"))["tokens"]) == []
    whole = b"".join(bytes(part["piece"]) if isinstance(part["piece"], list) else part["piece"].encode() for part in tokens)
    assert whole.decode() == text
    ids = [part["id"] for part in tokens]
    assert http.post("/detokenize", json={"tokens": ids}).json() == {"content": text}
    assert http.post("/detokenize", json={"tokens": [10**9]}).status_code == 400


def test_health_models_slots_and_metrics_are_llama_servers(http: httpx2.Client) -> None:
    assert http.get("/health").json() == json.loads(golden("health.json"))
    models = http.get("/v1/models").json()
    theirs = json.loads(golden("models.json"))
    assert lacking(models["data"], theirs["data"]) in ([], ["[0].meta.vocab_type", "[0].meta.n_embd"])
    assert models["data"][0]["id"] == "tiny"
    assert [slot["is_processing"] for slot in http.get("/slots").json()] == [False] * 4
    before = figures(http)
    http.post("/v1/chat/completions", json=ask(max_tokens=5))
    after = figures(http)
    known = set(re.findall(r"^(llamacpp:\S+)", golden("metrics.txt"), re.MULTILINE))
    assert set(after) <= known
    assert after["llamacpp:tokens_predicted_total"] - before["llamacpp:tokens_predicted_total"] == 5


def figures(http: httpx2.Client) -> dict[str, float]:
    return {name: float(value) for name, value in re.findall(r"^(\S+) (\S+)$", http.get("/metrics").text, re.MULTILINE)}
