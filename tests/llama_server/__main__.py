"""Runs llama.cpp's own server tests against `xchat serve`: those of `ids.txt`, or those that pytest's arguments name.

The tests come from the source distribution of the pinned llama-cpp-python and are run as they are, in an environment of their own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
import venv
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
IDS = HERE / "ids.txt"
"""Those that llama-server passes with the stand-in, without what is left out (docs/serve.md)."""
NEEDED = ("aiohttp", "filelock", "numpy", "openai", "prometheus-client", "pytest", "pytest-timeout", "requests", "wget")
WANTED = ("/tools/server/tests/", "/models/templates/")
PICK = """
import os
import requests.structures

# The tests look up headers in a plain dict, and uvicorn sends their names, which have no case, in lower case.
requests.structures.CaseInsensitiveDict.__iter__ = lambda self: (name.title() for name, _ in self._store.values())

def pytest_collection_modifyitems(config, items):
    ids = set(open(os.environ["XCHAT_IDS"]).read().splitlines())
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid not in ids])
    items[:] = [item for item in items if item.nodeid in ids]
"""


def unpacked(folder: Path) -> Path:
    """The folder of the tests, fetched where it is missing."""
    tests = folder / "llama.cpp" / "tools" / "server" / "tests"
    if not tests.exists():
        package = f"llama-cpp-python=={version('llama-cpp-python')}"
        pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", ":all:", "--dest", str(folder), package]
        subprocess.run(pip, check=True)
        (archive,) = folder.glob("llama_cpp_python-*.tar.gz")
        with tarfile.open(archive) as whole:
            for member in whole:
                at = member.name.find("/vendor/llama.cpp/")
                if at >= 0 and any(part in member.name for part in WANTED):
                    member.name = member.name[at + len("/vendor/") :]
                    whole.extract(member, folder, filter="data")
        archive.unlink()
    (tests / "pick_ids.py").write_text(PICK, "utf-8")
    return tests


def python_of(folder: Path) -> Path:
    """The interpreter of the tests, with what they need."""
    python = folder / "venv" / "bin" / "python"
    if not python.exists():
        venv.create(folder / "venv", with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *NEEDED], check=True)
    return python


def main() -> int:
    """Run the tests."""
    folder = Path(tempfile.gettempdir()) / f"xchat-llama-server-tests-{version('llama-cpp-python')}"
    folder.mkdir(mode=0o700, exist_ok=True)
    tests, python = unpacked(folder), python_of(folder)
    server = folder / "llama-server"
    server.write_text(f'#!/bin/sh\nPYTHONPATH="{HERE.parents[1]}" exec "{sys.executable}" -m tests.llama_server.flags "$@"\n', "utf-8")
    server.chmod(0o700)
    home = folder / "home"
    places = {f"XDG_{name}_HOME": str(home / name.lower()) for name in ("CONFIG", "DATA", "CACHE", "STATE")}
    environment = os.environ | places | {"HOME": str(home), "LLAMA_SERVER_BIN_PATH": str(server), "XCHAT_STAND_INS": str(folder)}
    environment |= {"PYTHONPATH": ".", "XCHAT_IDS": str(IDS)}
    files = dict.fromkeys(line.partition("::")[0] for line in IDS.read_text("utf-8").splitlines())
    given = sys.argv[1:] or ["-p", "pick_ids", *files]
    command = [str(python), "-m", "pytest", "-q", "--tb=short", "--timeout=900", "-p", "no:cacheprovider", "-o", "addopts=", *given]
    return subprocess.run(command, cwd=tests, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
