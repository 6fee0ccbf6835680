"""Pictures as tokens: libmtmd's projector turns a picture into embeddings, which replace tokens in a prompt.

In a prompt's tokens each embedding is a negative id derived from the picture's digest and the projector, so that the KV cache is compared,
reused, saved and restored as for text.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.errors import EngineError, ModelError
from engine.llama.log import NativeLog, last_reason
from engine.llama.native import lib, picture_library
from engine.pictures.stored import Picture, pixels_of
from engine.text import file_name

_MOST_KEPT: Final = 64 << 20
"""Bytes of kept embeddings: after the loss of its KV state a conversation does not encode its pictures again."""
_IDS: Final = (1 << 31) - 2
_M_ROPE: Final = frozenset((8, 24, 40))
"""llama.cpp's types of rotary embeddings in which a picture takes fewer positions than tokens."""

_TEXT, _IMAGE = 0, 1


class Place(NamedTuple):
    """The position of an id within a picture."""

    picture: Picture
    chunk: int
    """Index among the pieces of the picture, text between them counted."""
    row: int
    rows: int
    """Embeddings of the chunk."""

    @property
    def rows_left(self) -> int:
        """Embeddings of the chunk from here to its end."""
        return self.rows - self.row


def uses_m_rope(model: lib.llama_model_p) -> bool:
    """Return whether positions of the model have several dimensions."""
    return int(lib.llama_model_rope_type(model)) in _M_ROPE


class Vision:
    """The projector of one loaded model, opened when the first picture comes. For the compute thread only."""

    def __init__(self, path: Path, model: lib.llama_model_p, *, threads: int, log: NativeLog) -> None:
        self.path = path
        self._model = model
        self._threads = threads
        self._log = log
        self._places: dict[int, Place] = {}
        self._ids: dict[str, tuple[int, ...]] = {}
        self._kept: OrderedDict[tuple[str, int], NDArray[np.float32]] = OrderedDict()
        self.encoded = 0
        """Number of encoded chunks, for tests and the log."""

    @cached_property
    def _salt(self) -> bytes:
        stat = self.path.stat()
        return hashlib.blake2b(f"{self.path.name}|{stat.st_size}|{stat.st_mtime_ns}".encode()).digest()

    @cached_property
    def _context(self) -> int:
        """The native projector. Raises ModelError when it can't be used with this model."""
        library = picture_library()
        params = library.mtmd_context_params_default()
        params.use_gpu = bool(lib.llama_supports_gpu_offload())
        params.n_threads = self._threads
        params.print_timings = params.warmup = False
        self._log.listen(library.mtmd_log_set, library.mtmd_helper_log_set)
        context: int | None = library.mtmd_init_from_file(os.fsencode(self.path), self._model, params)
        if not context:
            reason = last_reason(self._log.errors(), ("mtmd_init_from_file: error: ", "clip_init: "))
            raise _unusable(self.path, reason or "the native library gives no reason")
        if not library.mtmd_support_vision(context):
            library.mtmd_free(context)
            raise _unusable(self.path, "it does not encode pictures")
        return context

    def open(self) -> None:
        """Open the projector now and split a gray picture. Raises ModelError when it can't be used."""
        with self._chunks("a gray picture", np.full((64, 64, 3), 128, np.uint8)):
            pass

    def close(self) -> None:
        """Free the projector; safe to call twice, and before the model is freed."""
        context = self.__dict__.pop("_context", None)
        if context is not None:
            picture_library().mtmd_free(context)

    @cached_property
    def non_causal(self) -> bool:
        """Whether the tokens of a picture attend to each other in both directions, and so must be in one batch."""
        return bool(picture_library().mtmd_decode_use_non_causal(self._context, None))

    def ids_of(self, picture: Picture) -> tuple[int, ...] | None:
        """Return the tokens of a picture in a prompt; None when it is no longer in the folder.

        Raises ModelError when the projector can't be used, EngineError when it rejects the picture.
        """
        known = self._ids.get(picture.digest)
        if known is not None:
            return known
        pixels = pixels_of(picture)
        if pixels is None:
            return None
        with self._chunks(picture.name, pixels) as chunks:
            library, ids = picture_library(), list[int]()
            for number, chunk in enumerate(chunks):
                if library.mtmd_input_chunk_get_type(chunk) == _TEXT:
                    ids += _words(chunk)
                    continue
                rows = int(library.mtmd_input_chunk_get_n_tokens(chunk))
                for row in range(rows):
                    digest = hashlib.blake2b(f"{picture.digest}|{number}|{row}".encode(), key=self._salt, digest_size=8).digest()
                    token = -2 - int.from_bytes(digest) % (_IDS - 1)
                    ids.append(token)
                    self._places[token] = Place(picture, number, row, rows)
        self._ids[picture.digest] = tuple(ids)
        return self._ids[picture.digest]

    def place_of(self, token: int) -> Place:
        """Return the position of an id from `ids_of`. Raises EngineError for any other id."""
        place = self._places.get(token)
        if place is None:
            raise EngineError("The prompt has a picture of another model", hint="Send it again.")
        return place

    def rows_of(self, token: int, count: int) -> NDArray[np.float32]:
        """Return the embeddings of `count` tokens from this one on, all of one chunk, of shape (count, width).

        Raises EngineError when the picture is missing or can't be encoded.
        """
        place = self.place_of(token)
        key = (place.picture.digest, place.chunk)
        rows = self._kept.get(key)
        if rows is None:
            rows = self._kept[key] = self._encode(place)
            while len(self._kept) > 1 and sum(kept.nbytes for kept in self._kept.values()) > _MOST_KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return rows[place.row : place.row + count]

    def _encode(self, place: Place) -> NDArray[np.float32]:
        library = picture_library()
        pixels = pixels_of(place.picture)
        if pixels is None:
            raise EngineError(f"{place.picture.name} is not here any more", hint="Attach it again.")
        with self._chunks(place.picture.name, pixels) as chunks:
            if library.mtmd_encode_chunk(self._context, chunks[place.chunk]):
                raise EngineError(f"{place.picture.name} can't be encoded", last_reason(self._log.errors()) or "", "Send it again.")
        width = int(lib.llama_model_n_embd_inp(self._model))
        output = ctypes.cast(library.mtmd_get_output_embd(self._context), ctypes.POINTER(ctypes.c_float))
        self.encoded += 1
        return np.ctypeslib.as_array(output, (place.rows, width)).copy()

    @contextmanager
    def _chunks(self, name: str, pixels: NDArray[np.uint8]) -> Iterator[list[Any]]:
        """Yield the parts into which the native library splits a picture: texts and pieces."""
        library, context = picture_library(), self._context
        height, width, _ = pixels.shape
        bitmap = library.mtmd_bitmap_init(width, height, (ctypes.c_uint8 * pixels.size).from_buffer_copy(pixels.tobytes()))
        chunks = library.mtmd_input_chunks_init()
        try:
            marker = library.mtmd_get_marker(context)
            text = library.mtmd_input_text(marker, len(marker), False, True)
            self._log.listen()
            status = library.mtmd_tokenize(context, chunks, ctypes.byref(text), (ctypes.c_void_p * 1)(bitmap), 1)
            if status:
                reason = last_reason(self._log.errors()) or f"the native library returned {status}"
                raise EngineError(f"{name} can't be taken by this model", reason, "Send another picture.")
            found = [library.mtmd_input_chunks_get(chunks, index) for index in range(library.mtmd_input_chunks_size(chunks))]
            if any(library.mtmd_input_chunk_get_n_tokens(chunk) != library.mtmd_input_chunk_get_n_pos(chunk) for chunk in found):
                raise EngineError("Pictures for this model take positions in two dimensions (M-RoPE)", "xchat does not know these yet")
            yield found
        finally:
            library.mtmd_input_chunks_free(chunks)
            library.mtmd_bitmap_free(bitmap)


def _words(chunk: Any) -> list[int]:
    count = ctypes.c_size_t()
    tokens = picture_library().mtmd_input_chunk_get_tokens_text(chunk, ctypes.byref(count))
    return list(tokens[: count.value])


def _unusable(path: Path, reason: str) -> ModelError:
    return ModelError(
        f"{file_name(path)} can't be used with this model", reason, "Take the projector (mmproj) that was made with the model: set mmproj."
    )
