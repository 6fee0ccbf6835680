"""Builds the Machine of this process, with its model and native library."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from engine.backend import EngineInfo
from engine.config import Config
from engine.doctor.machine import Machine
from engine.errors import XchatError
from engine.guide import builtin
from engine.model_ref import ModelRef
from engine.models.check import whole_parts
from engine.numbers import byte_size
from engine.paths import database_path
from engine.session.open import first_model
from engine.store.lab_runs import known_runs


def this_machine(config: Config, asked: str | None, environ: Mapping[str, str]) -> Machine:
    """Return this process's machine for the model asked for, or the one that xchat would start with. Loads the native library.

    Raises:
        ModelError: The model asked for is not here.
    """
    from engine.llama.log import NativeLog
    from engine.llama.native import library_name, system_info

    NativeLog().listen()
    try:
        parts, reason = parts_of_model(first_model(asked, config)), ""
    except XchatError as error:
        if asked is not None:
            raise
        parts, reason = (), str(error)
    return Machine(
        environ=environ,
        model=parts,
        no_model=reason,
        system_info=system_info(),
        library=library_name(),
        gpus=_gpus(),
        benchmarked=_benchmarked(),
    )


def _gpus() -> tuple[str, ...] | None:
    from engine.llama.devices.listing import devices

    with suppress(XchatError):
        return tuple(
            f"{device.name} ({device.description}, {byte_size(device.memory_free)} of {byte_size(device.memory_total)} free)"
            for device in devices()
            if device.offloads
        )
    return None


def _benchmarked() -> tuple[int, str, str] | None:
    newest = next((run for run in known_runs(database_path()) if run.kind == "bench" and run.host.name == socket.gethostname()), None)
    return (newest.id, newest.host.kernel, newest.host.llama_cpp_version) if newest is not None and newest.id is not None else None


def parts_of_model(ref: ModelRef) -> tuple[Path, ...]:
    """Return the files of a model; none where it has no local file. Raises ModelError when they can't be found."""
    path = builtin.file_of(ref)
    return whole_parts(path.expanduser().absolute()) if path is not None else ()


def machine_of(engine: EngineInfo | None, environ: Mapping[str, str]) -> Machine:
    """Return this process's machine with the loaded model. Reads files; call it on a thread."""
    path = engine.model.path if engine is not None else None
    try:
        parts, reason = whole_parts(path) if path is not None else (), "no model is loaded from this machine"
    except XchatError as error:
        parts, reason = (), str(error)
    if engine is None or not engine.library:
        return Machine(environ=environ, model=parts, no_model=reason)
    return Machine(
        environ=environ,
        model=parts,
        no_model=reason,
        system_info=engine.system_info,
        library=engine.library,
        gpus=_gpus(),
        benchmarked=_benchmarked(),
    )
