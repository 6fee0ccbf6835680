"""Models of other engines, on the screen and the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence

import pytest

from engine.config import config_path, load_config
from engine.remote.listing import refresh
from tests.engine.remote.scripted import DONE, ScriptedServer, chunked, delta, event, head, says
from tests.tui.cli.conftest import Run, xchat
from tests.tui.program import program
from tui.choices import KnownModel
from tui.models.known_models import known_models

__all__ = ["xchat"]
TIMINGS = {
    "prompt_n": 5,
    "prompt_ms": 10.0,
    "prompt_per_second": 500.0,
    "predicted_n": 2,
    "predicted_ms": 8.0,
    "predicted_per_second": 250.0,
}
HELLO = head() + says("Hel", "lo") + chunked(event({**delta("stop"), "timings": TIMINGS}), end=False) + DONE


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    served = ScriptedServer({"big": (HELLO,)}, models={"data": [{"id": "big", "owned_by": "llamacpp", "meta": {"size": 5_000_000_000}}]})
    path = config_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f'[[engines]]\nname = "lab"\nbase_url = "{served.url}"\n\n[[engines]]\nname = "gone"\nbase_url = "http://127.0.0.1:9"\n'
    )
    yield served
    served.close()


def test_the_models_of_other_engines_are_listed_after_those_here(server: ScriptedServer, xchat: Run) -> None:
    lines = xchat("models", "list").out.splitlines()
    rule = next(number for number, line in enumerate(lines) if "on other engines" in line)
    assert "lab/big" in lines[rule + 1]
    assert "5.00 GB" in lines[rule + 1]
    assert lines[rule + 2].startswith("gone")
    assert "can't be reached" in lines[rule + 2]
    listed = json.loads(xchat("models", "list", "--json").out)["engines"]
    assert [(engine["engine"], [model["name"] for model in engine["models"]]) for engine in listed] == [("lab", ["big"]), ("gone", [])]
    server.close()
    after = xchat("models", "list").out
    assert "lab/big" in after, "the list of before"
    assert after.count("can't be reached") == 2


@pytest.mark.slow
def test_ask_answers_with_a_model_of_another_engine(server: ScriptedServer) -> None:
    ask = [sys.executable, "-m", "tui.cli.main", "ask", "Hi", "--json", "-m"]
    done = subprocess.run([*ask, "lab"], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=True)
    answer = json.loads(done.stdout)
    assert (answer["text"], answer["model"], answer["stop_reason"]) == ("Hello", "lab/big", "eog")
    refused = subprocess.run([*ask, "lab/small"], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    assert (refused.returncode, "no model 'small'" in refused.stderr) == (3, True)


@pytest.mark.slow
async def test_a_conversation_goes_on_with_a_model_of_another_engine_from_the_list(server: ScriptedServer) -> None:
    config = load_config()

    def known() -> Sequence[KnownModel]:
        return known_models([], config.engines)

    async with program(known_models=known, ask_engines=lambda: refresh(config.engines), size=(160, 60)) as run:
        await run.send("Hi")
        await run.answered()
        await run.pilot.press("f3")
        await run.until("lab/big")
        await run.until("gone")
        await run.pilot.press(*"lab/big", "enter")
        await run.until_noticed("Switched to")
        await run.send("And you?")
        await run.answered()
        await run.until("Hello")
        await run.until("decode server")
        assert run.session.engine is not None
        assert run.session.engine.model.name == "lab/big"
        await run.pilot.press("f7")
        await run.until_noticed("The thread count of this engine can't be set")
    asked = [seen.body for seen in server.seen if seen.body is not None]
    assert [message["role"] for message in asked[-1]["messages"]] == ["user", "assistant", "user"]
