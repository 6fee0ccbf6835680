"""Sampling settings of requests: every one of the preset's, under the names of each API."""

from __future__ import annotations

from typing import Any

import httpx2
import msgspec
import pytest

from engine.presets.preset import Sampling
from engine.records import TurnRecord
from engine.serving.answers import Answer, Answers
from engine.serving.server import Server
from tests.engine.serving.conftest import PRESET, ask

pytestmark = pytest.mark.slow

CHAT = "/v1/chat/completions"
ALL: dict[str, Any] = {
    "temperature": 0.5,
    "top_k": 7,
    "top_p": 0.6,
    "min_p": 0.01,
    "repeat_penalty": 1.2,
    "repeat_last_n": 16,
    "presence_penalty": 0.5,
    "frequency_penalty": -0.5,
    "dry_multiplier": 0.8,
    "dry_base": 2.0,
    "dry_allowed_length": 3,
    "dry_penalty_last_n": 32,
    "typical_p": 0.9,
    "top_n_sigma": 2.0,
    "xtc_probability": 0.1,
    "xtc_threshold": 0.2,
    "dynatemp_range": 0.3,
    "dynatemp_exponent": 1.5,
    "mirostat": 2,
    "mirostat_tau": 4.0,
    "mirostat_eta": 0.2,
    "adaptive_target": 0.5,
    "adaptive_decay": 0.5,
    "ignore_eos": True,
    "seed": 9,
}


@pytest.fixture
def used(server: Server, monkeypatch: pytest.MonkeyPatch) -> list[Sampling]:
    """The settings that each finished answer was made with."""
    settings: list[Sampling] = []

    def note(_answers: Answers, answer: Answer, _record: TurnRecord) -> None:
        settings.append(answer.turn.preset.sampling)

    monkeypatch.setattr(server.served, "on_finished", note)
    return settings


def test_each_api_takes_every_setting(http: httpx2.Client, used: list[Sampling]) -> None:
    assert {*ALL, "logit_bias"} == set(Sampling.__struct_fields__)
    prompt = {"prompt": "Hello", "max_tokens": 2}
    bodies = {
        CHAT: ask(**ALL),
        "/v1/completions": {**prompt, **ALL},
        "/v1/responses": {"input": "Hello", "max_output_tokens": 2, **ALL},
        "/v1/messages": ask(**ALL),
        "/api/chat": {**ask(), "stream": False, "options": {**ALL, "num_predict": 2}},
        "/api/generate": {"prompt": "Hello", "stream": False, "options": {**ALL, "num_predict": 2}},
    }
    for path, body in bodies.items():
        assert http.post(path, json=body).status_code == 200, path
    expected = msgspec.structs.replace(PRESET.sampling, **ALL)
    assert used == [expected] * len(bodies)


def test_a_seed_of_minus_one_draws_one_and_other_spellings_of_off_are_taken(http: httpx2.Client, used: list[Sampling]) -> None:
    off: dict[str, Any] = {"seed": -1, "top_k": -1, "repeat_last_n": -1, "top_p": 0, "mirostat": 0}
    assert http.post(CHAT, json=ask(**off)).status_code == 200
    assert (used[0].seed, used[0].top_k) == (None, 0)


@pytest.mark.parametrize("form", ["object", "pairs", "text"])
def test_a_bias_makes_a_token_certain_and_false_forbids_it(http: httpx2.Client, form: str) -> None:
    token = http.post("/tokenize", json={"content": "Q"}).json()["tokens"][0]
    bias: Any = {"object": {str(token): 100}, "pairs": [[token, 100.5]], "text": {"Q": 100}}[form]
    answer = http.post(CHAT, json=ask(logit_bias=bias))
    assert answer.json()["choices"][0]["message"]["content"] == "QQQQ"
    first = http.post("/v1/completions", json={"prompt": "Hello", "max_tokens": 1}).json()["choices"][0]["text"]
    without = {"prompt": "Hello", "max_tokens": 1, "logit_bias": [[first, False]]}
    assert http.post("/v1/completions", json=without).json()["choices"][0]["text"] != first


def test_a_penalty_on_frequency_makes_an_answer_repeat_less(http: httpx2.Client) -> None:
    token = http.post("/tokenize", json={"content": "Q"}).json()["tokens"][0]

    def count(**more: Any) -> int:
        answer = http.post(CHAT, json=ask(max_tokens=24, logit_bias={str(token): 20}, **more))
        return str(answer.json()["choices"][0]["message"]["content"]).count("Q")

    assert count(frequency_penalty=2) < count() == 24


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"presence_penalty": 3}, "presence_penalty"),
    ({"mirostat": 5, "typical_p": "x"}, "mirostat"),
    ({"logit_bias": {"999999999": 1}}, "logit_bias has tokens that this model does not know"),
    ({"logit_bias": [[-1, 1]]}, "logit_bias has tokens"),
    ({"logit_bias": {"1": 1e300}}, "logit_bias has a bias beyond"),
    ({"logit_bias": {"1": "much"}}, "logit_bias[...]"),
    ({"logit_bias": {str(token): 1 for token in range(2000)}}, "logit_bias has more than 1,024 tokens"),
    ({"logit_bias": "1+1"}, "logit_bias: "),
    ({"ignore_eos": 3}, "ignore_eos"),
    ({"samplers": ["top_k"]}, "samplers"),
]


@pytest.mark.parametrize(("fields", "named"), WRONG, ids=[named for _, named in WRONG])
def test_a_wrong_setting_is_named(http: httpx2.Client, fields: dict[str, Any], named: str) -> None:
    answer = http.post(CHAT, json=ask(**fields))
    assert answer.status_code == 400
    assert named in answer.json()["error"]["message"]
