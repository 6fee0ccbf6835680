"""The published description, and requests made from it with every kind of wrong value: each is answered or refused in the right form."""

from __future__ import annotations

import inspect
import json
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from engine.serving.app import ENDPOINTS
from engine.serving.faces.openapi import BODIES, described

pytestmark = pytest.mark.slow

DESCRIPTION: Any = json.loads(json.dumps(described(ENDPOINTS)))
SCHEMAS = DESCRIPTION["components"]["schemas"]
BASES = {
    "messages": [{"role": "user", "content": "Hi"}],
    **{"prompt": "Once", "input": "Hi", "content": "Hi", "tokens": [1, 2]},
    **{"max_tokens": 2, "n_predict": 2, "max_completion_tokens": 2, "max_output_tokens": 2, "options": {"num_predict": 2}},
}
DEEP = json.loads("[" * 200 + "]" * 200)
JUNK = st.sampled_from(
    [
        *(None, True, False, 0, -1, 1, 2**31, -(2**63), 2**70, 1e308, -0.5, "", "x", "auto", "\x00\u202e\U0001f600", "a" * 20_000),
        *([], [None], [[]], [1] * 300, ["x"], DEEP, {}, {"type": "text"}, {"type": "function"}, {"a": {"b": DEEP}}, [{"role": "user"}]),
        *({"type": "json_schema", "json_schema": {"schema": {"$ref": "#"}}}, {"$ref": "#/definitions/x"}, [{"type": "image_url"}]),
    ]
)


def resolved(schema: Any) -> Any:
    return SCHEMAS[schema["$ref"].rsplit("/", 1)[1]] if "$ref" in schema else schema


PATHS = {}
for _path, _operations in DESCRIPTION["paths"].items():
    if "requestBody" in _operations.get("post", {}):
        _body = resolved(_operations["post"]["requestBody"]["content"]["application/json"]["schema"])
        PATHS[_path] = sorted(_body["properties"])


def test_every_endpoint_is_described_by_the_type_that_it_reads(http: httpx2.Client) -> None:
    assert http.get("/openapi.json").json() == DESCRIPTION
    assert set(DESCRIPTION["paths"]) == {path for paths in ENDPOINTS.values() for path in paths}
    for paths in ENDPOINTS.values():
        for path, function in paths.items():
            read = f"read({BODIES[function].__name__}, " if function in BODIES else ""
            assert read in inspect.getsource(function), path
            assert function in BODIES or "read(" not in inspect.getsource(function), path


def assert_proper(answer: httpx2.Response) -> None:
    """It is an answer, or a refusal in the form of its API."""
    assert answer.status_code in {200, 400, 404, 413, 501}, (answer.status_code, answer.text[:300])
    if answer.status_code != 200:
        error = answer.json()["error"]
        assert (error["message"] if isinstance(error, dict) else error).strip()
        assert "Traceback" not in answer.text


@settings(
    max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@example(place=("/v1/chat/completions", "messages"), value=None, missing=True, stream=True)
@example(place=("/api/chat", "options"), value={"num_ctx": "x", "temperature": []}, missing=False, stream=False)
@given(
    place=st.sampled_from([(path, field) for path, fields in PATHS.items() for field in fields]),
    value=JUNK,
    missing=st.booleans(),
    stream=st.booleans(),
)
def test_no_value_of_any_field_breaks_the_server(
    http: httpx2.Client, place: tuple[str, str], value: Any, missing: bool, stream: bool
) -> None:
    path, field = place
    body = {name: base for name, base in BASES.items() if name in PATHS[path]} | ({"stream": stream} if "stream" in PATHS[path] else {})
    if missing:
        body.pop(field, None)
    else:
        body[field] = value
    assert_proper(http.post(path, content=json.dumps(body)))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(data=st.data(), path=st.sampled_from(sorted(PATHS)))
def test_no_body_breaks_the_server(http: httpx2.Client, data: st.DataObject, path: str) -> None:
    body = data.draw(st.dictionaries(st.sampled_from(PATHS[path]), JSON, max_size=8) | JSON)
    limits = {name: 2 for name in PATHS[path] if name.startswith("max_") or name == "n_predict"}
    content = json.dumps({**body, **limits} if isinstance(body, dict) else body)
    assert_proper(http.post(path, content=content))
