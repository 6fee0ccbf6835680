"""Long runs of equal characters with pre-tokenizers that llama.cpp runs through std::regex: tokenized or refused, never a crash."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

import pytest

from engine import child
from engine.guide import builtin
from engine.llama.vocab import LONGEST_RUN

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", params=["tekken", "afmoe", "bloom", "deepseek-llm"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The guide with another pre-tokenizer; the file's alignment is kept by a key that nothing reads."""
    data = builtin.path().read_bytes()
    old = string("tokenizer.ggml.pre") + struct.pack("<I", 8) + string("qwen2")
    assert data.count(old) == 1
    at = data.index(old)
    filler = (len(old) - len(string("tokenizer.ggml.pre")) - 4 - len(string(request.param))) % 32
    new = string("tokenizer.ggml.pre") + struct.pack("<I", 8) + string(request.param)
    new += string("k") + struct.pack("<I", 8) + string("x" * ((filler - len(string("k")) - 4 - 8) % 32))
    keys = struct.unpack_from("<Q", data, 16)[0]
    path = tmp_path_factory.mktemp("pre") / f"{request.param}.gguf"
    path.write_bytes(data[:16] + struct.pack("<Q", keys + 1) + data[24:at] + new + data[at + len(old) :])
    return path


def string(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()


def ask(model: Path, text: str, ctx: str = "1024") -> subprocess.CompletedProcess[str]:
    command = child.command("tui.cli.main", "ask", "-m", str(model), "--no-log", "-n", "2", "--ctx", ctx)
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False, env=child.environment(), timeout=60)


@pytest.mark.parametrize("character", ["-", "a", " ", "中"])
def test_a_long_run_is_a_prompt_like_any_other(model: Path, character: str) -> None:
    done = ask(model, "x" + character * 30_000 + "x")
    assert "does not fit" in done.stderr, done


def test_a_run_at_the_limit_is_tokenized_and_a_longer_one_refused(model: Path) -> None:
    at_limit = ask(model, "-" * LONGEST_RUN + "\n" * LONGEST_RUN + "x")
    assert "does not fit" in at_limit.stderr, at_limit
    beyond = ask(model, "-" * (LONGEST_RUN + 1), "8192")
    assert "without a space or a line break" in beyond.stderr, beyond
