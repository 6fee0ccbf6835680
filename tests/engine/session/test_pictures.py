"""A picture in a session: refused before anything is sent where the model takes none, and deleted with the last session that has it."""

from __future__ import annotations

import asyncio
import hashlib
import io
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from engine.backend import EngineInfo
from engine.errors import UsageError
from engine.llama.backend import LlamaBackend
from engine.pictures.png import encoded
from engine.pictures.stored import Picture, file_of
from engine.presets.preset import Preset, Sampling
from engine.session.session import Session
from engine.store.export.document import parts_of, write_html_parts
from engine.store.export.tables import Selection
from engine.store.writer import Store
from tests import ggufs, projectors

SMALL = Preset(n_ctx=1024, threads=1, threads_batch=1, max_tokens=4, sampling=Sampling(temperature=0.0))


def kept(shade: int) -> Picture:
    data = encoded(np.full((8, 8, 3), shade, np.uint8))
    digest = hashlib.sha256(data).hexdigest()[:24]
    file_of(digest).parent.mkdir(parents=True, exist_ok=True)
    file_of(digest).write_bytes(data)
    return Picture("shot.png", 8, 8, digest)


@pytest.mark.slow
async def test_a_model_without_a_projector_refuses_a_picture_and_one_with_it_answers(tmp_path: Path) -> None:
    one, two = kept(1), kept(2)
    (tmp_path / "eyes").mkdir()
    blind = ggufs.dense(tmp_path / "blind.gguf")
    eyes = ggufs.dense(tmp_path / "eyes" / "eyes.gguf")
    projectors.llava(tmp_path / "eyes" / "mmproj-eyes.gguf")
    store = await Store.open(tmp_path / "log.db")
    session = Session(LlamaBackend(trusted=lambda _path: True), preset=SMALL, store=store)
    try:
        await session.load(blind, SMALL)
        with pytest.raises(UsageError, match="takes no pictures: shot"):
            session.send(f"What is it?\n\n{one}")
        assert session.branch == ()
        info: EngineInfo = await session.load(eyes, SMALL)
        assert info.projector == "mmproj-eyes.gguf"
        session.send(f"What is it?\n\n{one} {two}")
        await session.wait_idle()
        await session.load(blind, SMALL)
        session.send("And now?")
        await session.wait_idle()
        assert len(session.branch) == 4, "an earlier picture is only named to a model without a projector"
        first = await session_id(session)
        session.new_session()
        await session.load(eyes, SMALL)
        session.send(f"Again {two}")
        await session.wait_idle()
        await session_id(session)
        page = await asyncio.to_thread(exported, tmp_path / "log.db", first)
        assert page.count("<img alt=") == 2, "the page has its pictures"
        await store.delete_session(first)
        assert (file_of(one.digest).exists(), file_of(two.digest).exists()) == (False, True)
    finally:
        await session.close()


def exported(path: Path, session: int) -> str:
    """The page of a session."""
    out = io.StringIO()
    with closing(sqlite3.connect(path)) as db:
        write_html_parts(out, parts_of(db, Selection(sessions=(session,))))
    return out.getvalue()


async def session_id(session: Session) -> int:
    await session.library.saved()
    assert session.session_id is not None
    return session.session_id
