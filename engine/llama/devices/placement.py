"""The number of layers on devices: as the preset asks, or as predicted to fit."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Final

from engine.llama.context import context_params
from engine.llama.devices.listing import CPU_BUILD, CPU_ONLY, Device, Memory, Placement, devices_for, put_on_devices
from engine.llama.files import ModelFile
from engine.llama.native import lib, memory_by_buffer
from engine.numbers import byte_size
from engine.presets.preset import Preset

_MARGIN: Final = 16
"""A device keeps 1/16 of its memory free, for the driver and other programs."""


def placements(file: ModelFile, preset: Preset, n_seq: int) -> Iterator[tuple[Placement, str]]:
    """Yield numbers of layers to try while loading fails: the number asked for, then half as many, at last none.

    Each comes with a sentence for the user, empty where it is as requested.

    Raises UsageError for missing devices.
    """
    chosen = devices_for(preset)
    if not chosen:
        asked = preset.n_gpu_layers not in {"auto", 0} and preset.devices != "none"
        yield CPU_ONLY, f"{CPU_BUILD}: all layers are there" if asked else ""
        return
    most = file.facts.n_layer + 1
    place = _planned(file, preset, n_seq, chosen, most)
    wanted = most if preset.n_gpu_layers in {"auto", "all"} else min(int(preset.n_gpu_layers), most)
    free = ", ".join(f"{device.name} has {byte_size(device.memory_free)} free" for device in chosen)
    said = "" if place.layers == wanted else f"{wanted} layers do not fit on the devices ({free}): {place.sentence}"
    while place.layers:
        yield place, said
        said = f"The load failed with {place.sentence}"
        place = Placement(chosen, place.layers // 2, most)
        said += f"; now {place.sentence}"
    yield Placement(of=most), said


def _planned(file: ModelFile, preset: Preset, n_seq: int, chosen: tuple[Device, ...], most: int) -> Placement:
    def tried(layers: int) -> Placement:
        return Placement(chosen, layers, most, predicted_memory(file, preset, n_seq, chosen, layers))

    if preset.n_gpu_layers != "auto":
        return tried(most if preset.n_gpu_layers == "all" else min(preset.n_gpu_layers, most))
    best, low, high = Placement(of=most), 0, most + 1
    middle = most
    while low + 1 < high:
        place = tried(middle)
        if _fits(place):
            best, low = place, middle
        else:
            high = middle
        middle = (low + high) // 2
    return best


def _fits(place: Placement) -> bool:
    """Return whether each device has room; one that reports no memory is tried."""
    memory = place.memory
    return memory is None or all(
        memory.get(device.name, 0) <= device.memory_free - device.memory_total // _MARGIN for device in place.devices if device.memory_total
    )


def predicted_memory(file: ModelFile, preset: Preset, n_seq: int, chosen: tuple[Device, ...], layers: int) -> Memory | None:
    """Return the predicted bytes of a load, counted by the library without allocating; None where it can't."""
    params = lib.llama_model_default_params()
    kept = put_on_devices(params, preset, chosen, layers)
    params.no_alloc = True
    params.load_mode = lib.LLAMA_LOAD_MODE_NONE
    params.use_extra_bufts = preset.repack
    model = lib.llama_model_load_from_file(os.fsencode(file.path), params)
    del kept
    if not model:
        return None
    try:
        context = lib.llama_init_from_model(model, context_params(preset, file.facts, n_seq))
        if not context:
            return None
        try:
            return by_device(memory_by_buffer(context), chosen)
        finally:
            lib.llama_free(context)
    finally:
        lib.llama_model_free(model)


def by_device(buffers: Mapping[str, tuple[int, int, int]] | None, chosen: tuple[Device, ...]) -> Memory | None:
    """Return the bytes by device, all purposes together; the rest belongs to the host."""
    if buffers is None:
        return None
    names = {device.buffers: device.name for device in chosen}
    used = dict.fromkeys([*names.values(), "host"], 0)
    for buffer, sizes in buffers.items():
        used[names.get(buffer, "host")] += sum(sizes)
    return used
