"""Pictures in prompts, on real tiny projectors: what the model sees, what is encoded once only, and what is refused."""

from __future__ import annotations

import ctypes
import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from PIL import Image

from engine.backend import EngineInfo, StopReason
from engine.errors import ModelError
from engine.llama.backend import LlamaBackend
from engine.llama.context import Context
from engine.llama.files import examine
from engine.llama.log import NativeLog
from engine.llama.model import Model
from engine.llama.native import lib, picture_library
from engine.llama.pictures.projector import projector_of
from engine.llama.planning import Part
from engine.messages import ChatMessage, ChatPrompt, Role
from engine.pictures.png import encoded
from engine.pictures.stored import Picture, file_of, take
from tests import ggufs, projectors
from tests.engine.llama.driver import PATIENCE_S, SMALL, Answer, Driver

Load = Callable[..., EngineInfo]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with its projector beside it."""
    folder = tmp_path_factory.mktemp("vision")
    ggufs.dense(folder / "eyes.gguf")
    projectors.llava(folder / "mmproj-eyes.gguf")
    return folder


@pytest.fixture
def model(backend: LlamaBackend, folder: Path) -> Callable[..., EngineInfo]:
    def load(**settings: object) -> EngineInfo:
        return backend.load(folder / "eyes.gguf", msgspec.structs.replace(SMALL, **settings), lambda _: None).result(PATIENCE_S)

    return load


def picture(shade: int, name: str = "shot.png") -> Picture:
    """A picture in the folder, without a child process."""
    pixels = np.full((48, 64, 3), shade, np.uint8)
    pixels[::2, ::3] = 255 - shade
    digest = hashlib.sha256(encoded(pixels)).hexdigest()[:24]
    file_of(digest).parent.mkdir(parents=True, exist_ok=True)
    file_of(digest).write_bytes(encoded(pixels))
    return Picture(name, 64, 48, digest)


def conversation(*texts: str) -> ChatPrompt:
    roles = (Role.USER, Role.ASSISTANT)
    return ChatPrompt(tuple(ChatMessage(roles[number % 2], text) for number, text in enumerate(texts)))


def ask(driver: Driver, *texts: str) -> Answer:
    return driver.ask(conversation(*texts), max_tokens=4)


def test_the_second_turn_encodes_nothing(model: Load, driver: Driver) -> None:
    assert model().projector == "mmproj-eyes.gguf"
    shown = f"What is it?\n\n{picture(40)}"
    first = ask(driver, shown)
    assert first.ready.prompt.n_tokens is not None
    assert "[picture: 16 tokens]" in first.ready.prompt.text
    second = ask(driver, shown, "A shot.", "Why?")
    assert second.ready.cache_n >= first.ready.prompt.n_tokens - 16
    assert driver.backend.consult(lambda model, _: model.vision.encoded if model.vision else 0).result(PATIENCE_S) == 1
    assert ask(driver, shown).tokens == first.tokens
    assert ask(driver, f"What is it?\n\n{picture(200)}").tokens != first.tokens, "another picture, another answer"
    assert driver.backend.count_tokens([str(picture(40)), "ab"]).result(PATIENCE_S) == (16, 2)


def test_several_answers_at_once_see_their_own_pictures(model: Load, driver: Driver) -> None:
    model()
    alone = [ask(driver, f"a {picture(shade)} b") for shade in (10, 90)]
    model(parallel=2)
    together = [driver.start(conversation(f"a {picture(shade)} b"), max_tokens=4) for shade in (10, 90)]
    assert [turn.finish().tokens for turn in together] == [answer.tokens for answer in alone]


def test_embeddings_are_those_of_the_library_s_own_helper(folder: Path) -> None:
    log, file = NativeLog(), examine(folder / "eyes.gguf")
    model = Model(file.path, file, preset=SMALL, projector=folder / "mmproj-eyes.gguf", log=log, progressed=lambda _: True)
    context = Context(model, SMALL, n_seq=1, threads=1, threads_batch=1, log=log)
    try:
        assert model.vision is not None
        shown = picture(40)
        ids = model.vision.ids_of(shown)
        assert ids is not None
        assert all(token < -1 for token in ids)
        context.decode((Part(0, 0, (65, 66), wants_logits=False),))
        for start in range(0, 16, 8):  # a picture may be cut
            context.decode((Part(0, 2 + start, ids[start : start + 8], wants_logits=False),))
        context.decode((Part(0, 18, (67,), wants_logits=True),))
        ours = context.logits(0).copy()
        context.memory.clear()
        library = picture_library()
        pixels = np.full((48, 64, 3), 40, np.uint8)
        pixels[::2, ::3] = 215
        bitmap = library.mtmd_bitmap_init(64, 48, (ctypes.c_uint8 * pixels.size).from_buffer_copy(pixels.tobytes()))
        chunks, end = library.mtmd_input_chunks_init(), lib.llama_pos(0)
        marker = library.mtmd_get_marker(model.vision._context)
        text = library.mtmd_input_text(b"AB" + marker + b"C", len(marker) + 3, False, True)
        assert library.mtmd_tokenize(model.vision._context, chunks, ctypes.byref(text), (ctypes.c_void_p * 1)(bitmap), 1) == 0
        arguments = (model.vision._context, context.pointer, chunks, 0, 0, 512, True, ctypes.byref(end))
        assert library.mtmd_helper_eval_chunks(*arguments) == 0
        assert np.abs(context.logits(0) - ours).max() < 1e-4
        library.mtmd_input_chunks_free(chunks)
        library.mtmd_bitmap_free(bitmap)
    finally:
        context.close()
        model.close()


def test_a_model_whose_pictures_look_both_ways_gets_each_in_one_call(backend: LlamaBackend, driver: Driver, tmp_path: Path) -> None:
    path = ggufs.sliding_window(tmp_path / "both.gguf")
    projectors.gemma(tmp_path / "mmproj-both.gguf", image=14 * 2 * 8)
    backend.load(path, SMALL, lambda _: None).result(PATIENCE_S)
    first = ask(driver, f"a {picture(40)} b")
    assert first.finished.reason is StopReason.LENGTH
    assert ask(driver, f"a {picture(40)} b").tokens == first.tokens
    backend.load(path, msgspec.structs.replace(SMALL, n_ubatch=32), lambda _: None).result(PATIENCE_S)
    refused = ask(driver, f"a {picture(41)} b").finished
    assert refused.error is not None
    assert "Set n_ubatch to 64" in str(refused.error)
    assert ask(driver, "ab").finished.reason is StopReason.LENGTH, "the engine goes on"


def test_a_picture_that_is_gone_is_only_named(model: Load, driver: Driver) -> None:
    model()
    answer = ask(driver, f"a {Picture('lost.png', 1, 1, 'f' * 24)} b")
    assert "lost.png is not here any more" in answer.ready.prompt.notices[0]
    assert "[picture lost.png" in answer.ready.prompt.text
    model(mmproj="none")
    assert "takes no pictures" in ask(driver, f"a {picture(40)} b").ready.prompt.notices[0]


def test_the_projector_of_another_model_is_refused(model: Load, folder: Path, tmp_path: Path) -> None:
    wide = projectors.llava(tmp_path / "mmproj-wide.gguf", out=1024)
    facts = examine(folder / "eyes.gguf").facts
    for wrong, reason in (
        (wide, "embeddings of 1,024 values, and this one takes 256"),
        (folder / "eyes.gguf", "not a projector"),
        (tmp_path / "none.gguf", "none.gguf"),
    ):
        with pytest.raises(ModelError, match=reason):
            model(mmproj=str(wrong))
    ggufs.dense(tmp_path / "eyes.gguf")
    assert projector_of(tmp_path / "eyes.gguf", facts, "auto") is None, "it does not fit, and is not taken"
    fitting = projectors.llava(tmp_path / "mmproj-eyes-f16.gguf")
    (tmp_path / "mmproj-broken.gguf").write_bytes(b"GGUF nonsense")
    assert projector_of(tmp_path / "eyes.gguf", facts, "auto") == fitting


def test_positions_in_two_dimensions_are_refused(backend: LlamaBackend, tmp_path: Path) -> None:
    path = projectors.qwen_text(tmp_path / "qwen.gguf")
    projectors.llava(tmp_path / "mmproj-qwen.gguf")
    assert backend.load(path, SMALL, lambda _: None).result(PATIENCE_S).projector == ""


@pytest.mark.slow
def test_a_projector_that_breaks_the_library_costs_the_pictures_and_not_the_program(tmp_path: Path) -> None:
    path = ggufs.dense(tmp_path / "eyes.gguf")
    broken = projectors.llava(tmp_path / "mmproj-eyes.gguf", layers_missing=1)
    backend = LlamaBackend()
    try:
        info = backend.load(path, SMALL, lambda _: None).result(PATIENCE_S)
        assert info.projector == ""
        assert "takes no pictures" in info.notices[0]
        with pytest.raises(ModelError):
            backend.load(path, msgspec.structs.replace(SMALL, mmproj=str(broken)), lambda _: None).result(PATIENCE_S)
        projectors.llava(broken)
        info = backend.load(path, msgspec.structs.replace(SMALL, mmap=False), lambda _: None).result(PATIENCE_S)
        assert info.projector == broken.name
    finally:
        backend.close()


def test_a_whole_picture_goes_from_its_file_to_the_answer(model: Load, driver: Driver) -> None:
    model()
    buffer = io.BytesIO()
    Image.new("RGB", (640, 480), "red").save(buffer, "JPEG")
    answer = ask(driver, f"What is it?\n\n{take(buffer.getvalue(), 'red.jpg')}")
    assert (answer.finished.reason, answer.ready.prompt.notices) == (StopReason.LENGTH, ())
