"""Requests that choose the model: answered by it, in the order in which they came, however many ask at once."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import msgspec
import pytest

from engine.errors import ModelError
from engine.llama.backend import LlamaBackend
from engine.model_ref import ModelRef
from engine.presets.preset import Preset
from engine.serving.guard import Guard
from engine.serving.server import Address, Server
from tests import ggufs
from tests.engine.serving.conftest import PRESET, ask

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with two models, a preset `short`, and a name that can't be loaded."""
    folder = tmp_path_factory.mktemp("switched")
    models = {name: ggufs.dense(folder / f"{name}.gguf", seed=number) for number, name in enumerate(("one", "two"))}
    models["missing"] = folder / "missing.gguf"

    def find(name: str, used: ModelRef, preset: Preset) -> tuple[ModelRef, Preset] | None:
        if name == "short":
            return used, msgspec.structs.replace(preset, max_tokens=2)
        return (models[name], PRESET) if name in models else None

    def file_of(ref: ModelRef) -> Path | None:
        if ref == models["missing"]:
            raise ModelError("The model is missing")
        return ref if isinstance(ref, Path) else None

    backend = LlamaBackend(trusted=lambda _path: True, log_path=folder / "native.log", file_of=file_of)
    server = Server(backend, PRESET, Guard(), Address(port=0), find=find)
    backend.load(models["one"], PRESET, lambda _event: None).result(60)
    yield server.url
    server.stop(0.0)
    server.join(60)
    backend.close()


def test_many_clients_with_two_models_get_the_answer_of_theirs(url: str) -> None:
    def asked(name: str) -> tuple[str, str]:
        answer = httpx2.post(f"{url}/v1/chat/completions", json=ask(model=name, max_tokens=6), timeout=60).json()
        return answer["model"], answer["choices"][0]["message"]["content"]

    names = ["one", "two"] * 5
    alone = {name: asked(name) for name in ("one", "two")}
    assert alone["one"][1] != alone["two"][1]
    with ThreadPoolExecutor(10) as pool:
        assert list(pool.map(asked, names)) == [alone[name] for name in names]


def test_a_preset_is_chosen_by_its_name_and_another_name_changes_nothing(url: str) -> None:
    with httpx2.Client(base_url=url, timeout=60) as http:
        body = {key: value for key, value in ask().items() if key != "max_tokens"}
        assert http.post("/v1/chat/completions", json={**body, "model": "short"}).json()["usage"]["completion_tokens"] == 2
        loaded = http.get("/v1/models").json()["data"][0]["id"]
        for name in ("gpt-4", "../one.gguf", "x" * 10_000, ""):
            assert http.post("/v1/chat/completions", json=ask(model=name, max_tokens=1)).json()["model"] == loaded


def test_a_model_that_can_not_be_loaded_is_an_error_and_the_one_before_answers(url: str) -> None:
    with httpx2.Client(base_url=url, timeout=60) as http:
        loaded = http.post("/v1/chat/completions", json=ask(max_tokens=1)).json()["model"]
        refused = http.post("/v1/chat/completions", json=ask(model="missing"))
        assert (refused.status_code, refused.json()["error"]["message"]) == (500, "The model is missing")
        assert http.post("/v1/chat/completions", json=ask(max_tokens=1)).json()["model"] == loaded
        assert http.post("/v1/chat/completions", json={"model": "one"}).status_code == 400
