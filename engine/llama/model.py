"""A model's weights in memory."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Final

from engine.backend import MemoryKind, ModelInfo
from engine.chat.prompt import PromptBuilder
from engine.errors import EngineError, ModelError
from engine.host.topology import usable_cpus
from engine.llama.constraints.form import Forms
from engine.llama.devices.listing import CPU_ONLY, Placement, put_on_devices
from engine.llama.devices.workers import is_lost, require_worker
from engine.llama.files import ModelFile, fingerprint, overwritten, stamps_of
from engine.llama.log import NativeLog, last_reason
from engine.llama.native import lib
from engine.llama.pictures.vision import Vision, uses_m_rope
from engine.llama.vocab import LlamaVocabulary
from engine.model_ref import ModelRef
from engine.models.ggml_types import FILE_TYPES
from engine.models.names import model_name
from engine.presets.preset import Preset
from engine.text import file_name, printable

_META_BYTES: Final = 4096
_GUESSED: Final = 1024
"""Set in a file type that the native library derived from the tensors."""
_MAX_META: Final = 1 << 20
"""Longest metadata value kept; longer ones are cut."""


class LoadCancelled(Exception):  # noqa: N818
    """The load was cancelled; nothing is left behind."""


class Model:
    """Weights and vocabulary. Made, used and closed on the compute thread; its contexts must be closed first."""

    def __init__(
        self,
        ref: ModelRef,
        file: ModelFile,
        *,
        preset: Preset,
        log: NativeLog,
        progressed: Callable[[float], bool],
        place: Placement = CPU_ONLY,
        projector: Path | None = None,
        confined: bool = False,
    ) -> None:
        """Load `file`, which `ref` names, as the preset says; `confined`, its chat template is rendered in a child process.

        `projector` is opened when the first picture comes.

        Raises:
            ModelError: The native library refuses it.
            LoadCancelled: `progressed`, called with the fraction done, returned False.
        """
        cancelled = False

        def report(fraction: float, _data: object) -> bool:
            nonlocal cancelled
            cancelled = cancelled or not progressed(fraction)
            return not cancelled

        params = lib.llama_model_default_params()
        kept = put_on_devices(params, preset, place.devices, place.layers)
        params.load_mode = lib.LLAMA_LOAD_MODE_MMAP if preset.mmap else lib.LLAMA_LOAD_MODE_NONE
        params.use_extra_bufts = preset.repack
        params.progress_callback = callback = lib.llama_progress_callback(report)
        log.listen()
        pointer = lib.llama_model_load_from_file(os.fsencode(file.path), params)
        del callback, kept
        if not pointer:
            if cancelled:
                raise LoadCancelled
            raise refused(file.path, log.errors())
        self.file = file
        self._stamps = stamps_of(file.shards) if preset.mmap else ()
        self.preset = preset
        self.place = place
        self._pointer: lib.llama_model_p | None = pointer
        self._vocabulary: LlamaVocabulary | None = None
        self._prompts: PromptBuilder | None = None
        self.vision: Vision | None = None
        """What makes tokens of pictures; None for a model that takes none."""
        self.fingerprint = fingerprint(file)
        vocab = lib.llama_model_get_vocab(pointer)
        if not vocab or lib.llama_vocab_n_tokens(vocab) <= 0:
            self.close()
            raise ModelError(f"{file_name(file.path)} has no vocabulary", hint="Choose a chat model.")
        self.vocabulary = self._vocabulary = LlamaVocabulary(vocab, self.fingerprint)
        self.vocabulary.prepare()
        self.n_swa = int(lib.llama_model_n_swa(pointer))
        self.memory_kind = self._memory_kind()
        if projector is not None and not uses_m_rope(pointer):
            self.vision = Vision(projector, pointer, threads=len(usable_cpus()), log=log)
        self.info = self._info(ref)
        self.prompts = self._prompts = PromptBuilder(self.vocabulary, self.info.chat_template, confined=confined)
        self.prompts.picture_ids = self.vision.ids_of if self.vision is not None else None

    @cached_property
    def forms(self) -> Forms:
        """Compiles constraints; initialized from the whole vocabulary (0.2 s for 150,000 tokens)."""
        return Forms(self.vocabulary)

    @property
    def pointer(self) -> lib.llama_model_p:
        """The native model; an error after `close`."""
        if self._pointer is None:
            raise ModelError("The model is not loaded")
        return self._pointer

    def refuse_if_lost(self) -> None:
        """Raise EngineError when an RPC worker is gone, or a mapped file was changed in place: both may end the process.

        A file that was deleted, or replaced by another one, stays mapped as it was.
        """
        for device in self.place.devices:
            if device.is_remote:
                require_worker(device.description)
        if overwritten(self.file.shards, self._stamps):
            raise EngineError(
                f"{file_name(self.file.path)} was overwritten while it was loaded",
                "Its weights are read from the file, which has changed",
                "Load it again, or another model.",
                "models",
            )

    @property
    def lost(self) -> bool:
        """Whether an RPC worker with some of the layers is gone: the library can't free its memory without ending the thread."""
        return any(device.is_remote and is_lost(device.description) for device in self.place.devices)

    def close(self) -> None:
        """Free the weights; safe to call twice."""
        pointer, self._pointer = self._pointer, None
        if pointer is not None:
            if self._vocabulary is not None:
                self._vocabulary.close()
            if self._prompts is not None:
                self._prompts.close()
            if self.vision is not None:
                self.vision.close()
            if not self.lost:
                lib.llama_model_free(pointer)

    def _memory_kind(self) -> MemoryKind:
        if lib.llama_model_is_hybrid(self.pointer):
            return MemoryKind.HYBRID
        if lib.llama_model_is_recurrent(self.pointer):
            return MemoryKind.RECURRENT
        return MemoryKind.SLIDING_WINDOW if self.n_swa > 0 else MemoryKind.ATTENTION

    def _info(self, ref: ModelRef) -> ModelInfo:
        pointer = self.pointer
        metadata = self._metadata()
        template = lib.llama_model_chat_template(pointer, None)
        file_type = int(lib.llama_model_ftype(pointer)) & ~_GUESSED
        return ModelInfo(
            ref=ref,
            path=self.file.path,
            name=model_name(self.file.path, metadata.get("general.name", "")),
            architecture=printable(metadata.get("general.architecture", "")),
            quant=FILE_TYPES.get(file_type, "unknown"),
            n_params=int(lib.llama_model_n_params(pointer)),
            size_bytes=self.file.size,
            n_ctx_train=int(lib.llama_model_n_ctx_train(pointer)),
            n_vocab=self.vocabulary.n_vocab,
            memory_kind=self.memory_kind,
            chat_template=template.decode(errors="replace") if template else None,
            fingerprint=self.fingerprint,
            metadata=metadata,
        )

    def _metadata(self) -> dict[str, str]:
        """Return all metadata of the file as text; the native library abbreviates arrays."""
        metadata: dict[str, str] = {}
        for index in range(lib.llama_model_meta_count(self.pointer)):
            key = _text(lib.llama_model_meta_key_by_index, self.pointer, index)
            metadata[key] = _text(lib.llama_model_meta_val_str_by_index, self.pointer, index)
        return metadata


def refused(path: Path, errors: list[str]) -> ModelError:
    """Make the error for a file that the native library refused, from its log."""
    name = file_name(path)
    reason = last_reason(errors) or "the native library gives no reason"
    if "unknown model architecture" in reason:
        return ModelError(
            f"{name} has an architecture that this build of llama.cpp does not support", reason, "Update xchat, or choose another model."
        )
    if "unknown pre-tokenizer type" in reason:
        return ModelError(
            f"{name} has a tokenizer that this build of llama.cpp does not support", reason, "Update xchat, or choose another model."
        )
    if "CLIP cannot be used" in reason:
        return ModelError(f"{name} is the vision part of a model", "it can't answer alone", "Choose the model file beside it.")
    if "file bounds" in reason or "corrupted or incomplete" in reason:
        return ModelError(f"{name} is incomplete", reason, "Download it again.")
    return ModelError(f"{name} can't be loaded", reason, "Choose another model, or another copy of the file.")


def _text(getter: Callable[..., int], model: lib.llama_model_p, index: int) -> str:
    buffer = ctypes.create_string_buffer(_META_BYTES)
    size = getter(model, index, buffer, len(buffer))
    if size >= len(buffer):
        buffer = ctypes.create_string_buffer(min(size + 1, _MAX_META))
        getter(model, index, buffer, len(buffer))
    return buffer.value.decode(errors="replace") if size >= 0 else ""
