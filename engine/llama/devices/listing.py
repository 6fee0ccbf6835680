"""The devices of the native library: the CPU, GPUs, and those of the backend of `GGML_BACKEND_PATH`."""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Final

from engine.errors import UsageError
from engine.host.topology import read_room
from engine.llama.devices.workers import add_workers, endpoints_of, is_lost
from engine.llama.native import lib, shared_library
from engine.numbers import byte_size
from engine.presets.preset import Preset
from engine.text import printable

_KINDS: Final = ("cpu", "gpu", "integrated gpu", "accelerator", "several")
_OFFLOADS: Final = frozenset({"gpu", "integrated gpu"})
"""Kinds that can hold layers."""
_SPLITS: Final = {
    "none": lib.LLAMA_SPLIT_MODE_NONE,
    "layer": lib.LLAMA_SPLIT_MODE_LAYER,
    "row": lib.LLAMA_SPLIT_MODE_ROW,
    "tensor": lib.LLAMA_SPLIT_MODE_TENSOR,
}
_EXPERTS: Final = r"\.ffn_(up|down|gate|gate_up)_(ch|)exps"
"""Names of the tensors with the experts of a layer."""


CPU_BUILD: Final = "This build of llama.cpp, on this machine, computes on the CPU only"
_LISTED: Final = "`xchat devices` lists them; devices = auto takes what there is."


@dataclass(frozen=True, slots=True)
class Device:
    """A device at one moment."""

    name: str
    """Its name in `devices` of a preset."""
    description: str
    kind: str
    """One of `_KINDS`."""
    memory_total: int
    """Bytes; 0 where the driver does not report it."""
    memory_free: int
    buffers: str
    """The library's name for its memory."""
    handle: int = field(repr=False)

    @property
    def is_remote(self) -> bool:
        """Whether it belongs to an RPC worker; its description is then host and port. The library keeps workers once used."""
        return re.fullmatch(r"RPC\d+", self.name) is not None

    @property
    def offloads(self) -> bool:
        """Whether it can hold layers."""
        return self.kind in _OFFLOADS


Memory = Mapping[str, int]
"""Bytes by device; `host` is the memory of the machine."""


@dataclass(frozen=True, slots=True)
class Placement:
    """A number of layers on devices."""

    devices: tuple[Device, ...] = ()
    layers: int = 0
    of: int = 0
    """Layers of the model; the output counts as one."""
    memory: Memory | None = None
    """Predicted memory; None where it was not predicted."""

    @property
    def sentence(self) -> str:
        """The placement as a sentence."""
        sizes = {name: f": {byte_size(size)}" for name, size in (self.memory or {}).items()}
        where = ", ".join(f"{device.name}{sizes.get(device.name, '')}" for device in self.devices)
        return f"{self.layers} of {self.of} layers on {where}" if self.layers else "all layers on the CPU"


CPU_ONLY: Final = Placement()
"""No devices."""


class _Properties(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("description", ctypes.c_char_p),
        ("memory_free", ctypes.c_size_t),
        ("memory_total", ctypes.c_size_t),
        ("kind", ctypes.c_int),
        ("id", ctypes.c_char_p),
        ("capabilities", ctypes.c_bool * 4),
    )


class _Override(ctypes.Structure):
    _fields_ = (("pattern", ctypes.c_char_p), ("buffer_type", ctypes.c_void_p))


@cache
def _registry() -> ctypes.CDLL:
    """Return the library of the devices, with the backend of `GGML_BACKEND_PATH` (llama.cpp's variable) loaded."""
    registry, base = shared_library("ggml"), shared_library("ggml-base")
    registry.ggml_backend_dev_count.restype = ctypes.c_size_t
    for function, arguments in (
        (registry.ggml_backend_load, [ctypes.c_char_p]),
        (registry.ggml_backend_dev_get, [ctypes.c_size_t]),
        (base.ggml_backend_dev_buffer_type, [ctypes.c_void_p]),
    ):
        function.restype = ctypes.c_void_p
        function.argtypes = arguments
    base.ggml_backend_dev_get_props.argtypes = [ctypes.c_void_p, ctypes.POINTER(_Properties)]
    base.ggml_backend_dev_get_props.restype = None
    for getter in (base.ggml_backend_dev_name, base.ggml_backend_dev_description):
        getter.argtypes = [ctypes.c_void_p]
        getter.restype = ctypes.c_char_p
    base.ggml_backend_buft_name.argtypes = [ctypes.c_void_p]
    base.ggml_backend_buft_name.restype = ctypes.c_char_p
    for path in filter(None, os.environ.get("GGML_BACKEND_PATH", "").split(os.pathsep)):
        if not registry.ggml_backend_load(os.fsencode(path)):
            raise UsageError(
                f"GGML_BACKEND_PATH can't be loaded: {printable(path, 200)}", "", "Unset it, or name a backend of this llama.cpp."
            )
    return registry


def devices() -> tuple[Device, ...]:
    """Query the drivers and return all devices, the CPU included, in the library's order, without lost RPC workers.

    Raises UsageError when the backend of `GGML_BACKEND_PATH` can't be loaded.
    """
    registry, base = _registry(), shared_library("ggml-base")
    found = []
    for index in range(registry.ggml_backend_dev_count()):
        handle, properties = registry.ggml_backend_dev_get(index), _Properties()
        if (endpoint := _endpoint_of(handle)) and is_lost(endpoint):
            continue
        base.ggml_backend_dev_get_props(handle, ctypes.byref(properties))
        kind = _KINDS[properties.kind] if 0 <= properties.kind < len(_KINDS) else "unknown"
        buffers = base.ggml_backend_buft_name(base.ggml_backend_dev_buffer_type(handle))
        total, free = int(properties.memory_total), int(properties.memory_free)
        if kind == "cpu":  # the library reports the whole memory as free
            total, free = (room := read_room()).total, room.available
        found.append(
            Device(
                name=printable((properties.name or b"").decode(errors="replace")),
                description=printable((properties.description or b"").decode(errors="replace").strip()),
                kind=kind,
                memory_total=total,
                memory_free=min(free, total),  # some drivers report more free memory than the device has
                buffers=(buffers or b"").decode(errors="replace"),
                handle=handle,
            )
        )
    return tuple(found)


def _endpoint_of(handle: int) -> str:
    """Return host and port of an RPC worker's device (its description); empty for other devices. Queries no driver."""
    base = shared_library("ggml-base")
    name, description = base.ggml_backend_dev_name(handle), base.ggml_backend_dev_description(handle)
    return description.decode(errors="replace") if re.fullmatch(rb"RPC\d+", name or b"") else ""


def devices_for(preset: Preset) -> tuple[Device, ...]:
    """Return the devices for the layers of a preset; none where there are none or the preset wants the CPU only.

    Raises UsageError for a missing device, and for shares or a `main_gpu` that don't match; also the errors of `add_workers`.
    """
    if preset.n_gpu_layers == 0 or preset.devices == "none":
        return ()
    if preset.rpc is not None:
        _registry()
        add_workers(preset.rpc)
    workers = {f"{host}:{port}" for host, port in endpoints_of(preset.rpc)} if preset.rpc is not None else set[str]()
    offloading = tuple(device for device in devices() if device.offloads and (not device.is_remote or device.description in workers))
    chosen = tuple(device for device in offloading if device.kind == "gpu") or offloading
    if preset.devices != "auto":
        known = {device.name.lower(): device for device in offloading}
        names = [word.strip() for word in preset.devices.split(",")]
        if strange := [name for name in names if name.lower() not in known or names.count(name) > 1]:
            here = f"There are: {', '.join(device.name for device in offloading)}" if offloading else CPU_BUILD
            raise UsageError(
                f"There is no device {strange[0][:40]!r}", here, "`xchat devices` lists them; devices = auto takes what there is."
            )
        chosen = tuple(known[name.lower()] for name in names)
    if chosen and len(preset.shares) > len(chosen):
        raise UsageError(f"tensor_split has {len(preset.shares)} shares for {len(chosen)} devices", "", "Set a share for each device.")
    if chosen and preset.split_mode == "none" and preset.main_gpu >= len(chosen):
        raise UsageError(f"There is no device {preset.main_gpu}", f"main_gpu counts {len(chosen)} from 0", _LISTED)
    return chosen


def put_on_devices(params: lib.llama_model_params, preset: Preset, chosen: tuple[Device, ...], layers: int) -> list[object]:
    """Set in `params` which layers go to which devices; what is returned must live as long as the load."""
    params.n_gpu_layers = layers if chosen else 0
    handles = (ctypes.c_void_p * (len(chosen) + 1))(*(device.handle for device in chosen), None)
    params.devices = ctypes.addressof(handles)  # type: ignore[assignment]
    params.split_mode = _SPLITS[preset.split_mode]
    params.main_gpu = preset.main_gpu if chosen else 0
    shares = (ctypes.c_float * max(int(lib.llama_max_devices()), len(preset.shares)))(*preset.shares)
    if preset.shares:
        params.tensor_split = shares
    patterns = [_EXPERTS] if preset.cpu_moe else [rf"blk\.{layer}{_EXPERTS}" for layer in range(preset.n_cpu_moe)]
    overrides = (_Override * (len(patterns) + 1))()
    if chosen and patterns:
        cpu_memory = shared_library("ggml-base").ggml_backend_cpu_buffer_type
        cpu_memory.restype = ctypes.c_void_p
        for override, pattern in zip(overrides, patterns, strict=False):
            override.pattern, override.buffer_type = pattern.encode(), cpu_memory()
        params.tensor_buft_overrides = ctypes.addressof(overrides)  # type: ignore[assignment]
    return [handles, shares, overrides]
