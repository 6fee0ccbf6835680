"""A pipe, a folder or a device in the place of a file: no part of the program waits for it, and the program goes on without it."""

from __future__ import annotations

import asyncio
import os
import signal
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.batch.source import BatchSource
from engine.chat.importing import read_conversations
from engine.doctor import changes
from engine.drafts import read_drafts
from engine.errors import XchatError
from engine.host.bandwidth import remembered
from engine.kv_state import StateKey
from engine.lab.quality.run import text_of
from engine.last_used import recall
from engine.llama.log import NativeLog
from engine.llama.processes.probe_cache import Verdicts
from engine.models.facts_cache import FactsCache
from engine.models.kv_files import KvFolder
from engine.paths import state_dir
from engine.presets.price import PriceHistory
from engine.prompt_history import append_prompt, read_prompts
from engine.regular_file import read_regular
from engine.serving.guard import read_keys
from engine.store.sqlite.connect import open_reader, open_writer
from tui.chat.compose import _text_of
from tui.options import tail_of_log
from tui.panel.arrangements import BUILT_IN, Arrangements


def prices(path: Path) -> float | None:
    history = PriceHistory(path)
    asyncio.run(history.read())
    return history.prefill_speed("model")


def kv_state(path: Path) -> object:
    path.rename(path.with_name("state.kv"))
    return KvFolder(path.parent).load("state", StateKey("model", "f16", "b1"))


def own(name: str, read: Callable[[], object]) -> Callable[[Path], object]:
    """Read a file at a place that the program chooses."""

    def at_its_place(path: Path) -> object:
        path.rename(state_dir() / name)
        return read()

    return at_its_place


GONE_ON_WITHOUT: dict[str, Callable[[Path], object]] = {
    "drafts": read_drafts,
    "prompts": read_prompts,
    "prompts, adding": lambda path: append_prompt(path, "text"),
    "prices": prices,
    "panel": lambda path: Arrangements(path).current is not BUILT_IN[0],
    "probed": lambda path: Verdicts(path)._load(),
    "facts": lambda path: FactsCache(path)._entries,
    "KV state": kv_state,
    "last run": own("last.json", lambda: recall().model),
    "host limits": own("host-limits.json", lambda: remembered(2)),
    "changes": own("doctor.json", changes.applied),
    "log, its end": own("xchat.log", tail_of_log),
    "log, native": lambda path: NativeLog(path)._file,
}
REFUSED: dict[str, Callable[[Path], object]] = {
    "import": read_conversations,
    "batch": BatchSource,
    "quality": text_of,
    "keys": read_keys,
    "database, reading": open_reader,
    "database, writing": open_writer,
    "/read": _text_of,
}
PLACES: dict[str, Callable[[Path], None]] = {
    "FIFO": os.mkfifo,
    "folder": os.mkdir,
    "device": lambda path: os.symlink("/dev/zero", path),
}


@pytest.fixture(autouse=True)
def at_once() -> Iterator[None]:
    """Fail what waits, instead of waiting for ever."""
    signal.signal(signal.SIGALRM, lambda *_: pytest.fail("it waits"))
    signal.alarm(5)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)


@pytest.mark.parametrize("make", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("read", GONE_ON_WITHOUT.values(), ids=GONE_ON_WITHOUT)
def test_what_the_program_keeps_counts_as_missing(read: Callable[[Path], object], make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path / "file")
    assert not read(tmp_path / "file")


@pytest.mark.parametrize("make", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("read", REFUSED.values(), ids=REFUSED)
def test_what_a_person_names_is_refused(read: Callable[[Path], object], make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path / "file")
    with pytest.raises((XchatError, OSError), match=r"not a regular file|is not a file|is a folder"):
        read(tmp_path / "file")


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"":' * 100_000, b"9" * 100_000, b"\xff\xfe", b"\0", b'"\\ud800"'])
@pytest.mark.parametrize("name", sorted(set(GONE_ON_WITHOUT) - {"prompts, adding", "log, its end", "log, native"}))
def test_damaged_content_counts_as_missing(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(content)
    assert not GONE_ON_WITHOUT[name](tmp_path / "file")


def test_a_small_file_takes_little_memory(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"text")
    tracemalloc.start()
    assert read_regular(tmp_path / "file") == b"text"
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()
