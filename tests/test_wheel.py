"""What is installed: the wheel, built and looked into."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from zipfile import ZipFile

import pytest

from tests.test_house import ROOT, tracked

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """The names in the wheel, with their sizes. It is built from a copy of the tracked files, as a release is."""
    copy, out = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("dist")
    for path in tracked(""):
        target = copy / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)], cwd=copy, check=True, capture_output=True)
    (file,) = out.glob("*.whl")
    with ZipFile(file) as archive:
        return {info.filename: info.file_size for info in archive.infolist()}


def test_the_wheel_has_the_data_that_the_program_reads(wheel: dict[str, int]) -> None:
    data = [path for folder in ("engine", "tui", "themes") for path in (ROOT / folder).rglob("*") if path.is_file()]
    needed = {path.relative_to(ROOT).as_posix() for path in data if path.suffix in {".gguf", ".sha256", ".tcss", ".toml", ".html"}}
    needed = {name for name in needed if "/training/" not in name}
    assert {"themes/dark.toml", "engine/guide/xchat-guide-F16.gguf"} <= needed
    assert needed - wheel.keys() == set()


def test_the_wheel_has_every_module_but_those_of_the_training(wheel: dict[str, int]) -> None:
    modules = {path.relative_to(ROOT).as_posix() for folder in ("engine", "tui") for path in (ROOT / folder).rglob("*.py")}
    assert {name for name in wheel if name.endswith(".py")} == {name for name in modules if "/training/" not in name}


def test_the_wheel_carries_no_training_no_tests_and_nothing_stray(wheel: dict[str, int]) -> None:
    assert [name for name in wheel if "training" in name or "corpus" in name or "__pycache__" in name] == []
    assert {name.split("/")[0] for name in wheel if not re.match(r"xchat_llama-[^/]*\.dist-info/", name)} == {"engine", "tui", "themes"}
    assert sum(size for name, size in wheel.items() if not name.endswith((".gguf", ".py"))) < 250_000
