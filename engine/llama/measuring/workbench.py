"""Runs pieces of work on the compute thread, on contexts of its own beside that of the conversation.

The weights are those that are loaded already, where the model and the way it was loaded are the same. As llama-bench does, it evaluates
random tokens (always the same ones) and neither tokenizes nor samples.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from engine.backend import MemoryKind
from engine.clock import now_ns
from engine.errors import EngineError
from engine.host.contention import RunQueueWait
from engine.llama.context import ABORTED, DECODED, Context
from engine.llama.loader import Loaded, Loader
from engine.llama.log import NativeLog
from engine.llama.measuring.work import Interrupted, ModelFigures, Setup, Took, Work
from engine.llama.model import LoadCancelled, Model
from engine.llama.native import lib, library_name, system_info, trim_heap
from engine.llama.planning import Part
from engine.model_ref import ModelRef
from engine.pictures.stored import pictures_in
from engine.presets.preset import SETTINGS, Cost, Preset, value_of
from engine.text import file_name
from engine.threads.auto import AutoThreads

_TOKENS: Final = 4096
"""Random tokens drawn once for each model; longer work repeats them."""
_DESCRIPTION_BYTES: Final = 128

_Key = tuple[object, ...]


@dataclass(slots=True)
class _Bench:
    """A context with its contents."""

    context: Context
    tokens: list[int]
    threads: tuple[int, int]
    depth: int = 0
    """Tokens in the KV cache before the measured ones."""
    warm: set[tuple[bool, bool]] = field(default_factory=set)


class Workbench:
    """Models and contexts for measurements. For the compute thread, except `cancel`."""

    def __init__(self, loader: Loader, loaded: Callable[[], Loaded | None], log: NativeLog) -> None:
        """`loaded` is the model of the conversation, whose weights are used where they fit."""
        self._loader = loader
        self._loaded = loaded
        self._log = log
        self._models: dict[_Key, Model] = {}
        self._benches: dict[_Key, _Bench] = {}
        self._waits = RunQueueWait(process_ns=time.process_time_ns)
        self._running: Context | None = None
        self._cancelled = False

    def cancel(self) -> None:
        """End the running work soon, with Interrupted. Thread-safe."""
        self._cancelled = True
        running = self._running
        if running is not None:
            running.request_abort()

    def count_tokens(self, texts: Sequence[str]) -> tuple[int, ...] | None:
        """Return the number of tokens of each text under the model of the conversation; None without one.

        Raises EngineError for a text that can't be tokenized.
        """
        loaded = self._loaded()
        return tuple(_size(loaded.model, text) for text in texts) if loaded is not None else None

    def begin(self) -> None:
        """Clear an earlier `cancel`; called before each job."""
        self._cancelled = False

    def run(self, setup: Setup, work: Work) -> Took:
        """Do a piece of work once; the first time after a warm-up, which is not measured.

        Raises:
            ModelError, TooLargeError, EngineError: The model or a context for it can't be made here.
            Interrupted: `cancel` was called.
        """
        bench = self._bench(setup)
        decode, batch = bench.threads = AutoThreads(setup.preset, waits=self._loader.waits).threads
        context = bench.context
        context.set_threads(decode, batch)
        context.clear_abort()
        self._running = context
        waits = self._loader.waits
        waits.before(max(decode if work.n_gen else 1, batch if work.n_prompt else 1))
        try:
            self._warm_up(bench, work)
            self._fill(bench, work.n_depth)
            self._waits.refresh()
            self._waits.since_last()
            began = now_ns()
            self._evaluate(bench, work.n_depth, work.n_prompt, work.n_parallel)
            evaluated = now_ns()
            self._generate(bench, work.n_gen, work.n_depth + work.n_prompt, work.n_parallel)
            ended = now_ns()
        finally:
            waits.after()
            self._running = None
        waited = self._waits.since_last()
        self._cut(bench, work.n_depth)
        disturbed = None if waited is None or ended == began else min(1.0, waited / (ended - began))
        return Took(evaluated - began, ended - evaluated, disturbed)

    def figures(self, setup: Setup) -> ModelFigures:
        """Return the figures of the model and the library for rows; raises the errors of `run`."""
        bench = self._bench(setup)
        model = bench.context.model
        description = ctypes.create_string_buffer(_DESCRIPTION_BYTES)
        lib.llama_model_desc(model.pointer, description, _DESCRIPTION_BYTES)
        threads = AutoThreads(setup.preset, waits=self._loader.waits).threads
        return ModelFigures(
            filename=str(model.file.path),
            type=description.value.decode(errors="replace"),
            size=int(lib.llama_model_size(model.pointer)),
            n_params=model.info.n_params,
            threads=threads[0],
            threads_batch=threads[1],
            library=library_name(),
            system_info=system_info(),
        )

    def keep_only(self, setups: tuple[Setup, ...]) -> None:
        """Free the contexts that none of these setups uses, and the models that none of the contexts left uses."""
        keys = {self._context_key(setup) for setup in setups}
        for key in self._benches.keys() - keys:
            self._benches.pop(key).context.close()
        used = {bench.context.model for bench in self._benches.values()}
        for key in [key for key, model in self._models.items() if model not in used]:
            self._models.pop(key).close()
        trim_heap()

    def close(self) -> None:
        """Free everything."""
        self.keep_only(())

    def _bench(self, setup: Setup) -> _Bench:
        key = self._context_key(setup)
        bench = self._benches.get(key)
        if bench is None:
            model = self._model(setup)
            self._loader.refuse_context(model, setup.preset)
            threads = AutoThreads(setup.preset, waits=self._loader.waits).threads
            parallel = setup.preset.parallel
            n_seq = parallel if isinstance(parallel, int) else 1
            context = Context(model, setup.preset, n_seq=n_seq, threads=threads[0], threads_batch=threads[1], log=self._log)
            tokens = np.random.default_rng(1).integers(0, model.vocabulary.n_vocab, _TOKENS).tolist()
            bench = self._benches[key] = _Bench(context, tokens, threads)
        return bench

    def _model(self, setup: Setup) -> Model:
        loaded = self._loaded()
        if loaded is not None and _model_key(loaded.info.model.ref, loaded.model.preset) == _model_key(setup.ref, setup.preset):
            return loaded.model
        key = _model_key(setup.ref, setup.preset)
        model = self._models.get(key)
        if model is None:
            try:
                model = self._loader.model(setup.ref, setup.preset, lambda _fraction: not self._cancelled, self.close)
            except LoadCancelled:
                raise Interrupted from None
            self._models[key] = model
        return model

    def _context_key(self, setup: Setup) -> _Key:
        """Return the settings that a context is made with; thread counts are set for each piece of work."""
        return (
            *_model_key(setup.ref, setup.preset),
            *(value_of(setup.preset, key) for key, setting in SETTINGS.items() if setting.cost is Cost.REBUILD),
        )

    def _warm_up(self, bench: _Bench, work: Work) -> None:
        """Warm up page faults, buffers and sleeping threads before the first measured piece."""
        kinds = (work.n_prompt > 0, work.n_gen > 0)
        if kinds in bench.warm:
            return
        self._evaluate(bench, bench.depth, min(work.n_prompt, bench.context.n_ubatch))
        self._generate(bench, min(work.n_gen, 1))
        self._cut(bench, bench.depth)
        bench.warm.add(kinds)

    def _fill(self, bench: _Bench, depth: int) -> None:
        if bench.depth != depth:
            bench.context.memory.clear()
            bench.depth = 0
            self._evaluate(bench, 0, depth)
            bench.depth = depth

    def _cut(self, bench: _Bench, depth: int) -> None:
        """Remove the measured tokens; where the memory can't be cut, the next piece of work begins from nothing."""
        memory = bench.context.memory
        whole = bench.context.model.memory_kind is MemoryKind.ATTENTION
        if not depth or not whole or not memory.cut(0, depth):
            memory.clear()
            bench.depth = 0

    def _evaluate(self, bench: _Bench, start: int, count: int, sequences: int = 1) -> None:
        """Evaluate `count` tokens of each sequence, in batches of `n_batch` that may hold the end of one and the beginning of the next."""
        room, parts = bench.context.n_batch, list[Part]()
        for sequence in range(sequences):
            at, end = start, start + count
            while at < end:
                size = min(end - at, room)
                tokens = [bench.tokens[(at + index) % _TOKENS] for index in range(size)]
                parts.append(Part(sequence, at, tokens, wants_logits=True))
                at, room = at + size, room - size
                if not room:
                    self._check(bench, bench.context.decode(parts))
                    room, parts = bench.context.n_batch, []
        if parts:
            self._check(bench, bench.context.decode(parts))
        if count:
            lib.llama_synchronize(bench.context.pointer)

    def _generate(self, bench: _Bench, count: int, start: int = 0, sequences: int = 1) -> None:
        """Decode `count` tokens of each sequence, one of each in a step."""
        pointer = bench.context.pointer
        if sequences > 1:
            for index in range(start, start + count):
                token = bench.tokens[index % _TOKENS]
                parts = [Part(sequence, index, (token,), wants_logits=True) for sequence in range(sequences)]
                self._check(bench, bench.context.decode(parts))
                lib.llama_synchronize(pointer)
            return
        cell = (lib.llama_token * 1)()
        batch = lib.llama_batch_get_one(cell, 1)
        for index in range(count):
            cell[0] = bench.tokens[index % _TOKENS]
            self._check(bench, lib.llama_decode(pointer, batch))
            lib.llama_synchronize(pointer)

    def _check(self, bench: _Bench, result: int) -> None:
        if result == DECODED and not self._cancelled:
            return
        bench.context.settle()
        bench.context.memory.clear()
        bench.depth = 0
        if result == ABORTED or self._cancelled:
            raise Interrupted
        name = file_name(bench.context.model.file.path)
        raise EngineError(f"{name} can't be measured", f"llama_decode returns {result}", "Use a smaller context or batch.")


def _size(model: Model, text: str) -> int:
    """The number of tokens of a text and of the pictures that it names."""
    pictures = [ids for _, _, picture in pictures_in(text) if model.vision is not None and (ids := model.vision.ids_of(picture))]
    return sum(map(len, pictures)) or len(model.vocabulary.tokenize(text, parse_special=False))


def _values(preset: Preset, cost: Cost) -> _Key:
    """Return the settings of a cost class, but those that name the model."""
    return tuple(value_of(preset, key) for key, setting in SETTINGS.items() if setting.cost is cost and key not in {"model", "quant"})


def _model_key(ref: ModelRef, preset: Preset) -> _Key:
    """Return a model and the settings that its weights are loaded with."""
    return (ref, *_values(preset, Cost.RELOAD))
