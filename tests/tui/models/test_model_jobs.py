"""Fetching and making models from the models screen, on a local hub and tiny files."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.model_ref import short_name
from engine.models.check import check_model
from engine.models.hub import Hub
from engine.models.quantize import Quantization, plan
from engine.paths import models_dir
from tests import ggufs
from tests.engine.models import raw_gguf
from tests.engine.models.hub_server import HubServer
from tests.tui.host import wait_until
from tests.tui.program import Running, program
from tui.choices import BuiltInQuant, Fetch, KnownModel, OtherQuant
from tui.dialogs.confirm import Confirm
from tui.models.job_dialog import MakingScreen
from tui.models.models import ModelsScreen
from tui.models.quants import QuantsScreen

pytestmark = pytest.mark.slow

REFERENCE = "hf:org/tiny-GGUF:Q8_0"


@pytest.fixture
def data(tmp_path: Path) -> bytes:
    return raw_gguf.write(tmp_path / "elsewhere.gguf").read_bytes()


@pytest.fixture
def hub(data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """The hub that a pull asks, with one model in it; the library is imported before anybody waits for it."""
    importlib.import_module("huggingface_hub.hf_api")
    with HubServer({"tiny-Q8_0.gguf": data}).running() as server:
        # The library reads its variables only when it is imported.
        monkeypatch.setattr("engine.models.pull.Hub", lambda *_: Hub(server.endpoint, tmp_path / "hub"))
        yield server


@pytest.fixture
def held(hub: HubServer) -> HubServer:
    """The same, with downloads that wait in the middle."""
    hub.hold = threading.Event()
    return hub


def go_on(hub: HubServer) -> None:
    assert hub.hold is not None
    hub.hold.set()


def loaded(run: Running) -> str:
    return short_name(run.session.engine.model.ref) if run.session.engine is not None else ""


async def watching(run: Running) -> None:
    await wait_until(run.pilot, lambda: isinstance(run.app.screen, MakingScreen))


async def test_a_recommended_model_is_fetched_and_loaded(hub: HubServer) -> None:
    async with program(known_models=lambda: [KnownModel(None, "Tiny", "fetch", instead=Fetch(REFERENCE))]) as run:
        await run.pilot.press("f3")
        await run.until("Tiny")
        await run.pilot.press("enter")
        await wait_until(run.pilot, lambda: loaded(run) == "tiny-Q8_0.gguf")


async def test_a_fetch_goes_on_behind_the_conversation_and_is_told_when_it_is_done(held: HubServer) -> None:
    async with program() as run:
        await run.pilot.press("f3")
        await wait_until(run.pilot, lambda: isinstance(run.app.screen, ModelsScreen))
        await run.pilot.press(*REFERENCE)
        await run.until(f"Enter fetches {REFERENCE}")
        await run.pilot.press("enter")
        await watching(run)
        await wait_until(run.pilot, held.halfway.is_set)
        await run.pilot.press("escape")
        await run.send("Hi")
        await run.until("Hello there.")

        await run.send("/model hf:org/other-GGUF")
        await run.until_noticed("Another model is being prepared")
        await run.pilot.press("f3")
        await run.until(f"Fetching {REFERENCE}")
        await run.pilot.press("enter")
        await watching(run)
        await run.pilot.press("escape")
        go_on(held)
        await run.until_noticed("tiny-Q8_0.gguf is ready")
        assert loaded(run) == "fake-Q4_K_M.gguf"


async def test_a_fetch_is_stopped_or_fails_and_the_conversation_goes_on(held: HubServer) -> None:
    async with program() as run:
        await run.send(f"/model {REFERENCE}")
        await watching(run)
        await wait_until(run.pilot, held.halfway.is_set)
        await run.pilot.click("#stop")
        go_on(held)
        await run.until_noticed("The partial file is kept")
        await wait_until(run.pilot, lambda: run.app.screen is run.chat)
        await run.send("/model hf:org/other-GGUF")
        await run.until_noticed("can't be pulled")
        await wait_until(run.pilot, lambda: run.app.screen is run.chat)


async def test_another_quant_is_made_after_its_size_was_shown_and_loaded() -> None:
    source = ggufs.dense(models_dir() / "tiny-F32.gguf")
    model = KnownModel(None, "tiny", "another quant", instead=OtherQuant(source, frozenset({"F32"})))
    async with program(known_models=lambda: [model]) as run:
        await run.pilot.press("f3")
        await run.until("another quant")
        await run.pilot.press("enter")
        await wait_until(run.pilot, lambda: isinstance(run.app.screen, QuantsScreen))
        await run.until("bits per weight")
        await run.pilot.press(*"q8")
        await run.pilot.press("enter")
        await wait_until(run.pilot, lambda: loaded(run).endswith("-Q8_0.gguf"))
        assert run.session.engine is not None
        assert run.session.engine.model.path is not None
        assert check_model(run.session.engine.model.path).facts.quant == "Q8_0"


async def test_quantizing_again_asks_first() -> None:
    source = Quantization(plan(check_model(ggufs.dense(models_dir() / "tiny-F32.gguf")), "Q8_0")).run()
    model = KnownModel(None, "tiny", "another quant", instead=OtherQuant(source, frozenset({"Q8_0"})))
    async with program(known_models=lambda: [model]) as run:
        await run.pilot.press("f3")
        await run.until("another quant")
        await run.pilot.press("enter")
        await run.until("exists")
        await run.pilot.press(*"q4_0", "enter")
        await wait_until(run.pilot, lambda: isinstance(run.app.screen, Confirm))
        await run.until("already quantized")
        await run.pilot.press("escape")
        await wait_until(run.pilot, lambda: run.app.screen is run.chat)


async def test_a_quant_of_the_built_in_model_is_made_when_it_is_chosen() -> None:
    async with program(known_models=lambda: [KnownModel(None, "xchat guide", "Q8_0", instead=BuiltInQuant("Q8_0"))]) as run:
        await run.pilot.press("f3")
        await run.until("xchat guide")
        await run.pilot.press("enter")
        await wait_until(run.pilot, lambda: loaded(run) == "builtin:Q8_0")


async def test_the_model_command_takes_a_family_or_the_built_in_one() -> None:
    raw_gguf.write(models_dir() / "tiny-Q8_0.gguf")
    async with program() as run:
        await run.send("/model tiny")
        await wait_until(run.pilot, lambda: loaded(run) == "tiny-Q8_0.gguf")
        await run.send("/model builtin")
        await wait_until(run.pilot, lambda: loaded(run) == "builtin:F16")
        await run.send("/model nowhere")
        await run.until_noticed("There is no model 'nowhere'")
