"""What the native library does to its process, and what is left of it; each in a child, because it can't be undone."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.errors import EngineError
from engine.llama.backend import LlamaBackend
from engine.presets.preset import Preset

pytestmark = pytest.mark.slow

PREAMBLE = """
import os, sys, threading
from pathlib import Path
from engine.backend import PromptReady, TokensDecoded
from engine.errors import EngineError
from engine.llama.backend import LlamaBackend
from tests.engine.llama.driver import SMALL, Driver, text_prompt, token_prompt

backend = LlamaBackend(trusted=lambda path: True)
driver = Driver(backend)
model = Path(sys.argv[1])
"""


def run(script: str, model: Path) -> str:
    """Standard output of a child process that runs the preamble and `script`; it must end with status 0."""
    child = subprocess.run(
        [sys.executable, "-c", PREAMBLE + textwrap.dedent(script), str(model)], capture_output=True, text=True, timeout=60, check=False
    )
    assert child.returncode == 0, child.stderr
    return child.stdout


KILLERS = {
    "an assertion": "lib.llama_sampler_sample(lib.llama_sampler_chain_init(params), context, 0)",
    "a C++ exception": "lib.llama_token_to_piece(vocab, 10_000_000, buffer, 8, 0, False)",
}


@pytest.mark.parametrize("killer", KILLERS)
def test_the_process_outlives_a_native_failure_and_says_so(killer: str, models: Callable[[str], Path]) -> None:
    script = f"""
    import ctypes
    backend.load(model, SMALL, lambda event: None).result()

    def fail(event):
        if not isinstance(event, PromptReady):
            return
        from engine.llama.native import lib
        loaded = backend._compute._loaded
        context, vocab, buffer = loaded.context.pointer, loaded.model.vocabulary._vocab, ctypes.create_string_buffer(8)
        params = lib.llama_sampler_chain_default_params()
        {KILLERS[killer]}

    failing = driver.start(token_prompt([40]), on_event=fail)
    queued = driver.start(token_prompt([40]))
    finished = failing.finish().finished
    print(finished.reason, isinstance(finished.error, EngineError), finished.error)
    print(queued.finish().finished.reason)
    print(backend.dead is finished.error, driver.ask(token_prompt([40])).finished.error is backend.dead)
    print(type(backend.load(model, SMALL, lambda event: None).exception()).__name__)
    backend.close()
    sys.stdout.flush()
    os._exit(0)
    """
    lines = run(script, models("dense")).splitlines()
    assert lines[0].startswith("error True The engine has failed")
    assert lines[1:] == ["error", "True True", "EngineError"]


def test_an_assertion_in_a_decode_call_finishes_the_turn_with_what_came(models: Callable[[str], Path]) -> None:
    script = """
    backend.load(model, SMALL, lambda event: None).result()

    def sabotage(event):
        if isinstance(event, TokensDecoded) and len(event.tokens) > 1:
            from engine.llama.native import lib
            context = backend._compute._loaded.context
            lib.llama_sampler_sample(lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params()), context.pointer, 0)

    answer = driver.ask(token_prompt([40, 41]), on_event=sabotage)
    print(answer.finished.reason, len(answer.finished.token_ns))
    sys.stdout.flush()
    os._exit(0)
    """
    assert run(script, models("dense")).split() == ["error", "5"]


def test_a_native_failure_in_a_job_on_the_model_ends_that_job_and_what_waits(models: Callable[[str], Path]) -> None:
    script = """
    import ctypes
    from engine.llama.native import lib
    backend.load(model, SMALL, lambda event: None).result()
    running = driver.start(token_prompt([40]), max_tokens=1000)
    running.wait_for(TokensDecoded)
    buffer = ctypes.create_string_buffer(8)
    job = backend.consult(lambda model, n_ctx: lib.llama_token_to_piece(model.vocabulary._vocab, 10_000_000, buffer, 8, 0, False))
    print(type(job.exception(30)).__name__, running.finish().finished.reason)
    sys.stdout.flush()
    os._exit(0)
    """
    assert run(script, models("dense")).split() == ["EngineError", "error"]


def test_native_output_goes_to_the_log_and_ours_to_the_terminal(models: Callable[[str], Path], tmp_path: Path) -> None:
    log = tmp_path / "native.log"
    script = f"""
    import ctypes
    from engine.llama.redirect import redirect_native_output
    real = redirect_native_output(Path({str(log)!r}))
    libc = ctypes.CDLL(None)
    libc.puts(b"native puts")
    libc.fflush(None)
    os.write(2, b"native stderr\\n")
    print("stray print", flush=True)
    print("for the person", file=real.stdout)
    assert sys.__stderr__ is real.stderr
    backend.load(model, SMALL, lambda event: None).result()
    backend.close()
    real.restore()
    os.write(1, b"restored\\n")
    """
    assert run(script, models("dense")) == "for the person\nrestored\n"
    text = log.read_text()
    assert "native puts" in text
    assert "native stderr" in text
    assert "stray print" in text


def test_importing_the_backend_does_not_load_the_native_library(models: Callable[[str], Path]) -> None:
    script = (
        "import engine.llama.backend, engine.llama.redirect, sys; sys.exit('llama_cpp.llama_cpp' in sys.modules or 'numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_the_process_ends_by_itself_after_close(models: Callable[[str], Path]) -> None:
    assert run("backend.load(model, SMALL, lambda event: None).result(); backend.close(); print('bye')", models("dense")) == "bye\n"


def test_the_process_ends_without_close(models: Callable[[str], Path]) -> None:
    assert run("backend.load(model, SMALL, lambda event: None).result(); print('bye')", models("dense")) == "bye\n"


def test_a_library_that_cannot_be_loaded_refuses_everything_with_its_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "engine.llama.compute", None)
    backend = LlamaBackend(log_path=tmp_path / "log")
    with pytest.raises(EngineError, match="can't be loaded"):
        backend.load(tmp_path / "m.gguf", Preset(), lambda _event: None).result(10)
    with pytest.raises(EngineError, match="can't be loaded"):
        backend.measure(lambda _bench: None).result(10)
    backend.close()
