"""Computes the logits after every token of the second half of a window, for perplexity and KL divergence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from engine import paths
from engine.errors import EngineError
from engine.llama.commands import ModelFiles
from engine.llama.context import ABORTED, DECODED, Context
from engine.llama.loader import Loader
from engine.llama.log import NativeLog
from engine.llama.model import Model
from engine.llama.planning import Part
from engine.llama.processes.probe_cache import Verdicts
from engine.model_ref import ModelRef
from engine.presets.preset import Preset
from engine.threads.auto import AutoThreads
from engine.threads.wait_policy import WaitPolicy

ROWS: Final = 128
"""Rows of logits a call: more cost memory (78 MB for 152,000 tokens), fewer cost speed."""


class Interrupted(Exception):  # noqa: N818
    """`Scorer.interrupt` was called; nothing of the window counts."""


class Models:
    """Loads several models, each once. For one compute thread."""

    def __init__(self, file_of: Callable[[ModelRef], Path | None], trusted: Callable[[Path], bool]) -> None:
        """`file_of` and `trusted` as `LlamaBackend` takes them."""
        self.log = NativeLog(paths.log_path())
        verdicts = Verdicts(paths.cache_dir() / "probed.json")
        self._loader = Loader(parallel=1, files=ModelFiles(file_of, trusted), verdicts=verdicts, log=self.log)
        self._models: dict[ModelRef, Model] = {}

    def get(self, ref: ModelRef, preset: Preset, *, force: bool = False) -> Model:
        """Return the loaded model. Raises what `Loader.load` does."""
        if ref not in self._models:
            loaded = self._loader.load(ref, preset, lambda _: True, None, lambda: None, force=force)
            loaded.scheduler.close()
            loaded.context.close()
            self._models[ref] = loaded.model
        return self._models[ref]

    @property
    def waits(self) -> WaitPolicy:
        """How waiting compute threads wait, for all scorers; needs a loaded model."""
        return self._loader.waits

    def close(self) -> None:
        """Free all models; their scorers must be closed."""
        while self._models:
            self._models.popitem()[1].close()
        self._loader.close()


class Scorer:
    """One model with one kind of KV cache. For the compute thread, but `interrupt`."""

    def __init__(self, models: Models, model: Model, preset: Preset, n_ctx: int) -> None:
        """Make a context for windows of `n_ctx` tokens; raises EngineError as `Context` does."""
        self.vocabulary = model.vocabulary
        self.n_ctx = n_ctx
        self._auto = AutoThreads(preset, waits=models.waits)
        threads, threads_batch = self._auto.threads
        own = msgspec.structs.replace(preset, n_ctx=n_ctx, n_batch=max(ROWS, min(preset.n_batch, n_ctx)))
        self._context = Context(model, own, n_seq=1, threads=threads, threads_batch=threads_batch, log=models.log, outputs=ROWS)
        if self._context.n_ctx < n_ctx:
            raise EngineError(
                f"Windows of {n_ctx:,} tokens are too long", f"the context has {self._context.n_ctx:,}", "Use a smaller window."
            )

    def interrupt(self) -> None:
        """Make `rows` raise Interrupted soon; from any thread."""
        self._context.request_abort()

    def close(self) -> None:
        """Free the context."""
        self._context.close()

    def rows(self, tokens: Sequence[int]) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Evaluate a window; yields the position of a token and the logits after it and after those that follow it.

        The logits begin with the first token of the second half and end before the last token. A block is valid until the next one.

        Raises:
            EngineError: The native library failed.
            Interrupted: `interrupt` was called.
        """
        context, first = self._context, self.n_ctx // 2
        context.memory.clear()
        at = 0
        while at < first:
            length = min(context.n_batch, first - at)
            self._decode((Part(0, at, tokens[at : at + length], wants_logits=False),))
            at += length
        while at < self.n_ctx - 1:
            length = min(ROWS, self.n_ctx - 1 - at)
            self._decode([Part(0, at + index, (tokens[at + index],), wants_logits=True) for index in range(length)])
            yield at, np.stack([context.logits(index) for index in range(length)])
            at += length

    def _decode(self, parts: Sequence[Part]) -> None:
        with self._auto.computing(self._auto.threads[1]):
            result = self._context.decode(parts)
            self._context.wait()
        if result == ABORTED:
            raise Interrupted
        if result != DECODED:
            raise EngineError("The engine failed", f"llama_decode returned {result}", "Use a smaller window.")
