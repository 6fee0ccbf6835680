"""This machine, with the model and the native library that xchat would use."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from engine.config import Config
from engine.doctor.machine import Machine
from engine.errors import XchatError
from engine.guide import builtin
from engine.model_ref import ModelRef
from engine.models.check import whole_parts
from engine.session.open import first_model


def this_machine(config: Config, asked: str | None, environ: Mapping[str, str]) -> Machine:
    """The machine of this process for the model asked for, or the one that xchat would start with. Loads the native library.

    Raises:
        ModelError: The model asked for is not here.
    """
    from engine.llama.native import library_name, supports_offload, system_info

    try:
        parts, reason = parts_of_model(first_model(asked, config)), ""
    except XchatError as error:
        if asked is not None:
            raise
        parts, reason = (), str(error)
    return Machine(
        environ=environ, model=parts, no_model=reason, system_info=system_info(), library=library_name(), offloads=supports_offload()
    )


def parts_of_model(ref: ModelRef) -> tuple[Path, ...]:
    """The files of a model; none where it has no file here. Raises ModelError when they can't be found."""
    path = builtin.file_of(ref)
    return whole_parts(path.expanduser().absolute()) if path is not None else ()
