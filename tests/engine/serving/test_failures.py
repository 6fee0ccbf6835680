"""What clients see when native code fails; in a child process, because it can't be undone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests import ggufs

pytestmark = pytest.mark.slow

SCRIPT = """
import ctypes, os, sys, threading
from pathlib import Path
import httpx2
from engine.llama.backend import LlamaBackend
from engine.serving.guard import Guard
from engine.serving.server import Address, Server
from tests.engine.serving.conftest import PRESET, ask

def fail(model, n_ctx):
    from engine.llama.native import lib
    lib.llama_token_to_piece(model.vocabulary._vocab, 10_000_000, ctypes.create_string_buffer(8), 8, 0, False)

path = Path(sys.argv[1])
backend = LlamaBackend(trusted=lambda _path: True, log_path=path.with_name("native.log"))
server = Server(backend, PRESET, Guard(), Address(port=0))
backend.load(path, PRESET, lambda _event: None).result(60)
with httpx2.Client(base_url=server.url, timeout=30) as http:
    with http.stream("POST", "/v1/chat/completions", json=ask(max_tokens=900, n=8, stream=True)) as stream:
        lines = stream.iter_lines()
        next(lines)
        failed = backend.consult(fail)
        print([line for line in lines if "error" in line][-1])
    print(type(failed.exception(30)).__name__)
    print(http.get("/health").status_code, http.post("/v1/chat/completions", json=ask()).status_code)
server.stop(0.0)
server.join(30)
print(server.ended)
sys.stdout.flush()
os._exit(0)
"""


def test_answers_under_way_end_with_an_error_when_native_code_fails_and_later_requests_are_refused(tmp_path: Path) -> None:
    model = ggufs.dense(tmp_path / "tiny.gguf")
    child = subprocess.run([sys.executable, "-c", SCRIPT, str(model)], capture_output=True, text=True, timeout=100, check=False)
    assert child.returncode == 0, child.stderr
    lines = child.stdout.splitlines()
    assert '"message":"The engine has failed"' in lines[0]
    assert lines[1:] == ["EngineError", "500 500", "True"]
