"""Devices beside the CPU: what is listed, what is refused by name, how many layers go to them, and that answers stay the same."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.backend import EngineInfo
from engine.errors import UsageError, XchatError
from engine.llama.context import Context
from engine.llama.devices import placement
from engine.llama.devices.listing import CPU_ONLY, Device, Placement, devices, devices_for
from engine.llama.devices.placement import by_device, placements, predicted_memory
from engine.llama.devices.workers import insecurity
from engine.llama.files import ModelFile, examine
from engine.llama.log import NativeLog
from engine.llama.model import Model
from engine.llama.native import memory_by_buffer
from engine.llama.planning import Part
from engine.presets.preset import Preset
from tests import ggufs
from tests.engine.llama.driver import SMALL, Driver, text_prompt
from tui.cli.main import main

MIB = 1 << 20


@pytest.fixture(scope="module")
def gpus() -> tuple[Device, ...]:
    """The devices that layers can be on; a machine without skips the test."""
    found = tuple(device for device in devices() if device.offloads)
    if not found:
        pytest.skip("no device beside the CPU: `just devices`")
    return found


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> ModelFile:
    return examine(ggufs.dense(tmp_path_factory.mktemp("devices") / "dense.gguf", layers=6))


def test_every_device_is_listed_with_its_memory(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["devices", "--json"]) == 0
    listed = {device["name"]: device for device in json.loads(capsys.readouterr().out)}
    assert listed["CPU"]["kind"] == "cpu"
    assert 0 < listed["CPU"]["memory_free"] <= listed["CPU"]["memory_total"]
    assert main(["devices"]) == 0
    text = capsys.readouterr().out
    assert all(name in text for name in listed)
    assert ("CPU only" in text) == (len(listed) == 1)


def test_a_build_for_the_cpu_says_that_layers_stay_there(load: Callable[..., EngineInfo], driver: Driver) -> None:
    if any(device.offloads for device in devices()):
        pytest.skip("there is a device")
    info = load("scripted", replace_preset(SMALL, n_gpu_layers="all"))
    assert (info.placement, len(info.notices)) == ("", 1)
    assert "CPU only" in info.notices[0]
    assert driver.ask(text_prompt("\n")).text.startswith("Hello there")
    assert load("scripted", SMALL).notices == ()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"devices": "Vulkan7"}, "'Vulkan7'"),
        ({"devices": "Fake0, Fake0"}, "'Fake0'"),
        ({"devices": ""}, "''"),
        ({"tensor_split": "1,2,3"}, "3 shares for 2 devices"),
        ({"split_mode": "none", "main_gpu": 2}, "no device 2"),
    ],
)
def test_a_device_that_is_not_here_is_refused_by_name(settings: dict[str, object], words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    here = (fake("Fake0"), fake("Fake1"), replace(fake("Fake2"), kind="integrated gpu"))
    monkeypatch.setattr("engine.llama.devices.listing.devices", lambda: here)
    with pytest.raises(UsageError, match=words):
        devices_for(Preset(**settings))  # type: ignore[arg-type]
    assert devices_for(Preset()) == here[:2], "integrated GPUs share the memory of the machine: only when there is no other"
    assert devices_for(Preset(devices="fake2,FAKE0")) == (here[2], here[0])
    assert devices_for(Preset(devices="none")) == devices_for(Preset(n_gpu_layers=0)) == ()


@given(free=st.integers(0, 60), layer=st.integers(1, 10), total=st.integers(0, 60))
def test_auto_takes_the_largest_number_of_layers_that_fits(file: ModelFile, free: int, layer: int, total: int) -> None:
    device = replace(fake("Fake0"), memory_free=min(free, total), memory_total=total)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(placement, "devices_for", lambda _preset: (device,))
        patch.setattr(placement, "predicted_memory", lambda *arguments: {"Fake0": layer * arguments[-1], "host": 0})
        tried = list(placements(file, Preset(), 1))
    room = device.memory_free - total // 16
    assert tried[0][0].layers == (7 if not total else max(0, min(7, room // layer)))
    counts = [place.layers for place, _said in tried]
    assert counts[-1] == 0
    assert all(after == before // 2 for before, after in pairwise(counts)), "fewer layers, then the CPU"
    assert all(said for place, said in tried if place.layers < 7), "each step is said"


def test_what_a_load_would_use_is_counted_without_loading(file: ModelFile) -> None:
    counted = predicted_memory(file, SMALL, 1, (), 0)
    assert counted is not None
    assert counted["host"] == pytest.approx(used(file, SMALL, CPU_ONLY)["host"], rel=1e-4), "but for the alignment of its buffers"


@pytest.mark.devices
@pytest.mark.parametrize(
    ("layers", "settings"),
    [(7, {}), (3, {}), (7, {"kv_offload": False}), (0, {}), (7, {"type_k": "q8_0", "type_v": "q8_0"})],
    ids=["all", "half", "kv on the cpu", "none", "q8_0"],
)
def test_answers_are_the_same_and_memory_as_predicted(
    file: ModelFile, gpus: tuple[Device, ...], layers: int, settings: dict[str, object]
) -> None:
    preset = replace_preset(SMALL, repack=False, **settings)
    place = Placement(gpus[:1], layers, 7)
    predicted = predicted_memory(file, preset, 1, place.devices, layers)
    assert predicted is not None
    actual = used(file, preset, place)
    for name, size in actual.items():
        assert size == pytest.approx(predicted[name], rel=0.05, abs=MIB // 8)
    here, there = logits(file, preset, CPU_ONLY), logits(file, preset, place)
    assert (here.argmax(1) == there.argmax(1)).all()
    p, q = softmax(here), softmax(there)
    assert float((p * (np.log(p) - np.log(q))).sum(1).mean()) <= 1e-3


@pytest.mark.devices
def test_experts_stay_on_the_cpu(gpus: tuple[Device, ...], tmp_path: Path) -> None:
    moe = examine(ggufs.experts(tmp_path / "moe.gguf"))
    place = Placement(gpus[:1], 3, 3)
    sizes = [used(moe, replace_preset(SMALL, **settings), place)["host"] for settings in ({}, {"n_cpu_moe": 1}, {"cpu_moe": True})]
    assert sizes[0] < sizes[1] < sizes[2]


@pytest.mark.devices
def test_a_driver_that_lies_about_its_memory_costs_layers_and_no_crash(
    load: Callable[..., EngineInfo], driver: Driver, gpus: tuple[Device, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    info = load("scripted", replace_preset(SMALL, n_gpu_layers="all"))
    assert info.placement.startswith("2 of 2 layers on ")
    assert driver.ask(text_prompt("\n")).text.startswith("Hello there")
    poor = tuple(replace(device, memory_total=MIB, memory_free=MIB) for device in gpus[:1])
    monkeypatch.setattr(placement, "devices_for", lambda _preset: poor)
    info = load("scripted", replace_preset(SMALL, n_ctx=512, devices=gpus[0].name))
    assert info.placement == "all layers on the CPU"
    assert "do not fit" in info.notices[0]
    assert driver.ask(text_prompt("\n")).text.startswith("Hello there")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("10.0.0.1", "HOST:PORT"),
        ("host:0", "HOST:PORT"),
        ("http://host:80", "HOST:PORT"),
        ("", "HOST:PORT"),
        ("127.0.0.1:9", "no RPC|127.0.0.1:9"),
    ],
)
def test_workers_that_can_not_be_are_refused(text: str, words: str) -> None:
    with pytest.raises(XchatError, match=words):
        devices_for(Preset(rpc=text))
    assert "neither authenticated nor encrypted" in insecurity("10.0.0.1:5,127.0.0.1:5")
    assert insecurity("127.0.0.1:5, localhost:6") == ""


_WORKER = """
import ctypes, os, sys
from engine.llama.devices.listing import devices
path = next(path for path in os.environ["GGML_BACKEND_PATH"].split(":") if "rpc" in path)
cpu = next(device.handle for device in devices() if device.kind == "cpu")
serve = ctypes.CDLL(path).ggml_backend_rpc_start_server
serve.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.POINTER(ctypes.c_void_p)]
serve(sys.argv[1].encode(), None, 1, 1, (ctypes.c_void_p * 1)(cpu))
"""


@pytest.mark.devices
def test_layers_on_workers_say_the_same_and_a_dead_worker_is_named(load: Callable[..., EngineInfo], driver: Driver) -> None:
    if "rpc" not in os.environ.get("GGML_BACKEND_PATH", ""):
        pytest.skip("no RPC backend: `just devices`")
    load("dense")
    local = driver.ask(text_prompt("Hello"), max_tokens=16).tokens
    endpoints = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    workers = [subprocess.Popen([sys.executable, "-c", _WORKER, endpoint], stdout=subprocess.DEVNULL) for endpoint in endpoints]
    try:
        for endpoint in endpoints:
            wait_for(endpoint)
        info = load("dense", replace_preset(SMALL, rpc=",".join(endpoints), devices="RPC0,RPC1", n_gpu_layers="all"))
        assert "3 of 3 layers on RPC0" in info.placement
        assert driver.ask(text_prompt("Hello"), max_tokens=16).tokens == local
        workers[1].kill()
        workers[1].wait()
        refused = driver.ask(text_prompt("Hello again"), max_tokens=16).finished.error
        assert refused is not None
        assert endpoints[1] in str(refused)
        assert "RPC" not in load("dense").placement, "it is on what is left"
        assert driver.ask(text_prompt("Hello"), max_tokens=16).tokens == local
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(endpoint: str) -> None:
    """Wait until a worker listens."""
    host, port = endpoint.split(":")
    deadline = time.monotonic() + 60
    while True:
        with suppress(OSError), socket.create_connection((host, int(port)), 1):
            return
        assert time.monotonic() < deadline
        time.sleep(0.05)


def fake(name: str) -> Device:
    return Device(name, "A device of this test", "gpu", 1 << 30, 1 << 30, name, 0)


def replace_preset(preset: Preset, **settings: object) -> Preset:
    return msgspec.structs.replace(preset, **settings)


def opened(file: ModelFile, preset: Preset, place: Placement) -> tuple[Model, Context]:
    log = NativeLog(None)
    model = Model(file.path, file, preset=preset, place=place, log=log, progressed=lambda _: True)
    return model, Context(model, preset, n_seq=1, threads=1, threads_batch=1, log=log)


def used(file: ModelFile, preset: Preset, place: Placement) -> dict[str, int]:
    model, context = opened(file, preset, place)
    try:
        memory = by_device(memory_by_buffer(context.pointer), place.devices)
        assert memory is not None
        return dict(memory)
    finally:
        context.close()
        model.close()


def logits(file: ModelFile, preset: Preset, place: Placement) -> NDArray[np.float64]:
    """The logits after each of some tokens."""
    model, context = opened(file, preset, place)
    try:
        rows = []
        for position in range(12):
            context.decode((Part(0, position, (40 + position * 7,), wants_logits=True),))
            rows.append(context.logits(0).astype(np.float64))
        return np.array(rows)
    finally:
        context.close()
        model.close()


def softmax(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(rows - rows.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True))
