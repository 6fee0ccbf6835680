"""A process that may start no more threads: an error, and no end of the process."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from engine.errors import EngineError
from engine.threads.startable import require_threads
from engine.threads.wait_policy import WaitPolicy
from tests import ggufs

REPOSITORY = Path(__file__).parents[3]

WITHOUT_ROOM = """
import msgspec, resource, sys
from pathlib import Path
from engine.errors import EngineError
from engine.llama.backend import LlamaBackend
from tests.engine.llama.driver import SMALL, Driver, text_prompt
backend = LlamaBackend(trusted=lambda path: True)
model = Path(sys.argv[1])
backend.load(model, SMALL, lambda event: None).result()
size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + (3 << 20), resource.RLIM_INFINITY))
try:
    backend.load(model, msgspec.structs.replace(SMALL, n_ctx=64), lambda event: None).result()
except EngineError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(backend.load(model, SMALL, lambda event: None).result().threads > 0)
backend.close()
"""


def test_threads_that_can_be_started_are_ended_again() -> None:
    before = threading.active_count()
    require_threads(20)
    assert threading.active_count() == before


def test_threads_that_can_not_be_started_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    before, start, left = threading.active_count(), threading.Thread.start, 3

    def start_some(thread: threading.Thread) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_some)
    with pytest.raises(EngineError, match="can't start 10 threads") as caught:
        require_threads(10)
    assert "allows 3 more" in caught.value.detail
    assert threading.active_count() == before


class Lever:
    def throttle(self) -> None:
        pass

    def release(self) -> None:
        pass

    throttled = False


def test_computing_goes_on_without_the_guard_of_waiting_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    policy = WaitPolicy(Lever())
    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", refuse)
        policy.before(2)
        policy.after()
    policy.close()


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of memory hold on Linux")
def test_a_model_that_leaves_no_room_for_threads_is_refused_and_the_next_one_loads(tmp_path: Path) -> None:
    model = ggufs.dense(tmp_path / "dense.gguf")
    environment = {**os.environ, "GLIBC_TUNABLES": "glibc.pthread.stack_cache_size=0"}  # stacks of ended threads leave room otherwise
    command = [sys.executable, "-c", WITHOUT_ROOM, str(model)]
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "threads" in done.stdout
    assert done.stdout.endswith("True\n")
