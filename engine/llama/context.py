"""A context: the KV cache and compute buffers of a loaded model, and the guarded calls that change them."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.errors import EngineError
from engine.llama.log import NativeLog, last_reason
from engine.llama.model import Model
from engine.llama.native import ABORT_IF_SET, lib, memory_by_buffer
from engine.llama.planning import MOST_GUESSED, Part
from engine.models.facts import ModelFacts
from engine.models.memory import AUTO_UBATCH, window_of
from engine.presets.preset import Preset, splits_kv

_KV_TYPES: Final = {
    "f32": lib.GGML_TYPE_F32,
    "f16": lib.GGML_TYPE_F16,
    "bf16": 30,
    "q8_0": lib.GGML_TYPE_Q8_0,
    "q5_1": lib.GGML_TYPE_Q5_1,
    "q5_0": lib.GGML_TYPE_Q5_0,
    "q4_1": lib.GGML_TYPE_Q4_1,
    "q4_0": lib.GGML_TYPE_Q4_0,
    "iq4_nl": lib.GGML_TYPE_IQ4_NL,
}
_FLASH: Final = {
    "auto": lib.LLAMA_FLASH_ATTN_TYPE_AUTO,
    "on": lib.LLAMA_FLASH_ATTN_TYPE_ENABLED,
    "off": lib.LLAMA_FLASH_ATTN_TYPE_DISABLED,
}

DECODED: Final = 0
NO_ROOM: Final = 1
ABORTED: Final = 2
"""Results of `Context.decode`; negative numbers are failures."""


class Context:
    """The native context of one model. For the compute thread only."""

    def __init__(
        self, model: Model, preset: Preset, *, n_seq: int, threads: int, threads_batch: int, log: NativeLog, outputs: int | None = None
    ) -> None:
        """Make a context for `n_seq` sequences in one KV cache, and logits of `outputs` tokens a call (one a sequence, and some to spare).

        Without flash attention each sequence has a cache of its own.

        Raises EngineError when the settings don't fit the model, or memory is short.
        """
        self.model = model
        self.n_seq = n_seq
        self._outputs_max = outputs or n_seq + MOST_GUESSED
        self._abort_flag = ctypes.create_string_buffer(8)
        self.unified = _unified(preset, n_seq)
        """Whether all sequences share one KV cache, so that one can share its prefix with another."""
        params = context_params(preset, model.file.facts, n_seq, self._outputs_max)
        params.n_threads = threads
        params.n_threads_batch = threads_batch
        params.abort_callback = ABORT_IF_SET
        params.abort_callback_data = ctypes.c_void_p(ctypes.addressof(self._abort_flag))
        log.listen()
        pointer = lib.llama_init_from_model(model.pointer, params)
        if not pointer:
            reason = last_reason(log.errors(), ("llama_init_from_model: ", "llama_context: "))
            raise EngineError(
                "The context can't be made", reason, "Use a smaller n_ctx, or the defaults for type_k, type_v and flash_attn."
            )
        self._pointer: lib.llama_context_p | None = pointer
        self.cells = int(lib.llama_n_ctx_seq(pointer))
        """Tokens that fit into one KV cache."""
        trained = model.file.facts.n_ctx_train
        self.n_ctx = min(self.cells, trained) if n_seq > 1 and trained else self.cells
        """Most tokens of one sequence."""
        self.n_batch = int(lib.llama_n_batch(pointer))
        self.n_ubatch = int(lib.llama_n_ubatch(pointer))
        self.memory = Memory(pointer, n_seq)
        self._batch = lib.llama_batch_init(self.n_batch, 0, 1)
        self._tokens = np.ctypeslib.as_array(self._batch.token, (self.n_batch,))
        self._positions = np.ctypeslib.as_array(self._batch.pos, (self.n_batch,))
        self._outputs = np.ctypeslib.as_array(self._batch.logits, (self.n_batch,))
        np.ctypeslib.as_array(self._batch.n_seq_id, (self.n_batch,))[:] = 1
        self._counting = np.arange(self.n_batch, dtype=np.int32)
        self._logit_rows: dict[int, NDArray[np.float32]] = {}

    @property
    def pointer(self) -> lib.llama_context_p:
        """The native context; an error after `close`."""
        if self._pointer is None:
            raise EngineError("The context is closed")
        return self._pointer

    def close(self) -> None:
        """Free the context; safe to call twice."""
        pointer, self._pointer = self._pointer, None
        if pointer is not None:
            self._logit_rows.clear()
            lib.llama_batch_free(self._batch)
            if not self.model.lost:
                lib.llama_free(pointer)

    def set_threads(self, decode: int, batch: int) -> None:
        """Set the thread counts from the next graph on; the caller keeps both within the usable CPUs."""
        lib.llama_set_n_threads(self.pointer, decode, batch)

    def request_abort(self) -> None:
        """Make the running decode call return ABORTED after the current graph node. Thread-safe."""
        self._abort_flag[0] = b"\1"

    def clear_abort(self) -> None:
        """Allow the next decode call."""
        self._abort_flag[0] = b"\0"

    def decode(self, parts: Sequence[Part]) -> int:
        """Evaluate `parts` in one batch; the logits of a part that wants them are at the batch index `row_of`.

        A part with tokens of a picture is the only one.

        Raises EngineError for a batch that would end the process: too long, too many outputs, a foreign sequence or token.
        """
        if parts[0].tokens[0] < 0:
            return self._decode_picture(parts[0])
        batch = self._batch
        end = 0
        outputs = 0
        for part in parts:
            begin, end = end, end + len(part.tokens)
            outputs += part.outputs
            if begin == end or end > self.n_batch or not 0 <= part.seq < self.n_seq or outputs > self._outputs_max:
                raise EngineError("A batch does not fit the context", f"{end} tokens with {outputs} outputs")
            if end - begin == 1:
                batch.token[begin] = part.tokens[0]
                batch.pos[begin] = part.start
                batch.logits[begin] = part.wants_logits
                batch.seq_id[begin][0] = part.seq
                continue
            self._tokens[begin:end] = part.tokens
            self._positions[begin:end] = self._counting[: end - begin] + part.start
            self._outputs[begin:end] = 0
            self._outputs[end - part.outputs : end] = 1
            for index in range(begin, end):
                batch.seq_id[index][0] = part.seq
        batch.n_tokens = end
        return int(lib.llama_decode(self.pointer, batch))

    def _decode_picture(self, part: Part) -> int:
        """Evaluate embeddings of one picture; encodes it first where its embeddings are not kept."""
        vision, count = self.model.vision, len(part.tokens)
        if vision is None or count > self.n_batch or not 0 <= part.seq < self.n_seq:
            raise EngineError("A picture does not fit the context")
        rows = np.ascontiguousarray(vision.rows_of(part.tokens[0], count))
        causal = not vision.non_causal
        if not causal and (count > self.n_ubatch or count < vision.place_of(part.tokens[0]).rows):
            need = vision.place_of(part.tokens[0]).rows
            detail = f"It takes {need} tokens at once, and n_ubatch is {self.n_ubatch}"
            raise EngineError("A picture does not fit into one call", detail, f"Set n_ubatch to {need}.")
        batch = lib.llama_batch_init(count, rows.shape[1], 1)
        try:
            ctypes.memmove(batch.embd, rows.ctypes.data, rows.nbytes)
            for index in range(count):
                batch.pos[index], batch.n_seq_id[index], batch.seq_id[index][0], batch.logits[index] = part.start + index, 1, part.seq, 0
            batch.n_tokens = count
            lib.llama_set_causal_attn(self.pointer, causal)
            return int(lib.llama_decode(self.pointer, batch))
        finally:
            lib.llama_set_causal_attn(self.pointer, True)
            lib.llama_batch_free(batch)

    def wait(self) -> None:
        """Wait until the last call is computed."""
        lib.llama_synchronize(self.pointer)

    def settle(self) -> None:
        """Wait for the library after an aborted call; otherwise its tokens would count for the next call."""
        lib.llama_synchronize(self.pointer)
        lib.llama_perf_context_reset(self.pointer)

    def logits(self, row: int) -> NDArray[np.float32]:
        """Return the logits at batch index `row` of the last decode call: a view that the next call overwrites."""
        pointer = lib.llama_get_logits_ith(self.pointer, row)
        address = ctypes.cast(pointer, ctypes.c_void_p).value
        if address is None:
            raise EngineError("The engine has no logits for this token")
        view = self._logit_rows.get(address)
        if view is None:
            view = self._logit_rows[address] = np.ctypeslib.as_array(pointer, (self.model.vocabulary.n_vocab,))
        return view

    def warm_up(self) -> None:
        """Evaluate one token and discard it, so that the first real token does not wait for page faults."""
        vocabulary = self.model.vocabulary
        token = vocabulary.bos if vocabulary.bos is not None else 0
        if self.decode((Part(0, 0, (token,), wants_logits=True),)) == DECODED:
            lib.llama_synchronize(self.pointer)
        self.memory.clear()
        lib.llama_perf_context_reset(self.pointer)

    def memory_use(self) -> dict[str, int]:
        """Return bytes by purpose, with the names of `EngineInfo.memory`; empty where the build does not report them."""
        buffers = memory_by_buffer(self.pointer)
        if buffers is None:
            return {}
        use = {"weights": 0, "weights_repacked": 0, "kv": 0, "compute": 0, "output": 0}
        for name, (model, context, compute) in buffers.items():
            use["weights_repacked" if "REPACK" in name else "weights"] += model
            use["kv"] += context
            use["compute"] += compute
        use["output"] = self._outputs_max * self.model.vocabulary.n_vocab * np.dtype(np.float32).itemsize
        return use


def _unified(preset: Preset, n_seq: int) -> bool:
    return n_seq == 1 or not splits_kv(preset)


def context_params(preset: Preset, facts: ModelFacts, n_seq: int, outputs: int | None = None) -> lib.llama_context_params:
    """Return the library's parameters for a context of `n_seq` sequences, and logits of `outputs` tokens a call (one a sequence)."""
    params: lib.llama_context_params = lib.llama_context_default_params()
    params.kv_unified = _unified(preset, n_seq)
    params.n_ctx = window_of(preset, facts) * (1 if params.kv_unified else n_seq)
    params.n_batch = max(preset.n_batch, n_seq)  # a step has a token of each answer
    params.n_ubatch = min(preset.n_batch, AUTO_UBATCH if preset.n_ubatch == "auto" else preset.n_ubatch)
    params.n_seq_max = n_seq
    # Otherwise the output buffer has n_batch rows of the whole vocabulary.
    params.n_outputs_max = outputs or n_seq
    params.swa_full = False
    params.flash_attn_type = _FLASH[preset.flash_attn]
    params.type_k = _KV_TYPES[preset.type_k]
    params.type_v = _KV_TYPES[preset.type_v]
    params.offload_kqv = preset.kv_offload
    params.op_offload = preset.op_offload
    return params


class Memory:
    """The KV cache (or recurrent state) of a context, sequence by sequence."""

    def __init__(self, context: lib.llama_context_p, n_seq: int) -> None:
        memory = lib.llama_get_memory(context)
        if memory is None:
            raise EngineError("This model has no KV cache", "it is not a chat model", "Choose another model.")
        self._context = context
        self._memory = memory
        self._n_seq = n_seq

    def clear(self) -> None:
        """Remove every sequence."""
        lib.llama_memory_clear(self._memory, False)

    def cut(self, seq: int, position: int) -> bool:
        """Remove a sequence's tokens from `position` on; False when this kind of memory can't."""
        return bool(lib.llama_memory_seq_rm(self._memory, self._checked(seq), position, -1))

    def lend(self, source: int, target: int, count: int) -> None:
        """Let an empty sequence share the first `count` tokens (-1 for all) of another one in the same KV cache."""
        lib.llama_memory_seq_cp(self._memory, self._checked(source), self._checked(target), 0, count)

    def first_position(self, seq: int) -> int:
        """Return the oldest position; -1 for none."""
        return int(lib.llama_memory_seq_pos_min(self._memory, self._checked(seq)))

    def last_position(self, seq: int) -> int:
        """Return the newest position; -1 for none."""
        return int(lib.llama_memory_seq_pos_max(self._memory, self._checked(seq)))

    def save(self, seq: int, *, partial: bool) -> NDArray[np.uint8] | None:
        """Return the state of a sequence; `partial` omits the part that can be truncated. None when there is none."""
        flags = lib.LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY if partial else lib.LLAMA_STATE_SEQ_FLAGS_NONE
        size = lib.llama_state_seq_get_size_ext(self._context, self._checked(seq), flags)
        if not size:
            return None
        state = np.empty(size, np.uint8)
        written = lib.llama_state_seq_get_data_ext(self._context, _bytes(state), size, seq, flags)
        return state if written == size else None

    def saved_size(self, seq: int, *, partial: bool) -> int:
        """Return the size of `save` in bytes."""
        flags = lib.LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY if partial else lib.LLAMA_STATE_SEQ_FLAGS_NONE
        return int(lib.llama_state_seq_get_size_ext(self._context, self._checked(seq), flags))

    def restore(self, seq: int, state: NDArray[np.uint8], *, partial: bool) -> bool:
        """Restore a saved state; False, with the sequence in an unknown state, when it does not fit this context."""
        flags = lib.LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY if partial else lib.LLAMA_STATE_SEQ_FLAGS_NONE
        return bool(lib.llama_state_seq_set_data_ext(self._context, _bytes(state), state.size, self._checked(seq), flags))

    def _checked(self, seq: int) -> int:
        if not 0 <= seq < self._n_seq:
            raise EngineError(f"There is no sequence {seq}")
        return seq


def _bytes(state: NDArray[np.uint8]) -> ctypes.Array[ctypes.c_uint8]:
    return (ctypes.c_uint8 * state.size).from_address(state.ctypes.data)
