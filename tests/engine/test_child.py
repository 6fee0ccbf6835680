"""Children run the program's own code, whatever lies in the folder that the user is in."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from engine import child
from engine.chat.templating.process import TemplateProcess
from engine.guide import builtin
from engine.host import bandwidth
from engine.llama.files import examine
from engine.llama.processes.probe import Probe
from engine.llama.processes.quantize import quantize
from engine.models.check import check_model
from engine.models.quantize import Quantization, plan, predict_sizes
from engine.presets.preset import Preset
from engine.profiling import pyspy_process
from tui.cli.screen import restart_command

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
NAMES = ("json", "re", "subprocess", "argparse", "ctypes", "sitecustomize", "usercustomize", "runpy", "signal", "tempfile", "threading")
PACKAGES = ("engine", "tui", "numpy", "msgspec", "llama_cpp", "textual", "jinja2")


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder is full of modules with known names; whichever runs writes its name into this file."""
    ran, folder = tmp_path / "ran", tmp_path / "hostile"
    code = f"with open({str(ran)!r}, 'a') as file: file.write(__name__ + '\\n')\n"
    for name in (*NAMES, *(f"{package}/__init__" for package in PACKAGES), "engine/child", "tui/cli/__init__", "engine/llama/__init__"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.py").write_text(code)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(("", ".", os.environ.get("PYTHONPATH", ""))))
    return ran


def test_the_folder_is_hostile_indeed(ran: Path) -> None:
    subprocess.run([sys.executable, "-m", "json"], check=False, capture_output=True)
    assert ran.exists()


def test_trying_a_model_runs_none_of_it(ran: Path) -> None:
    assert Probe(examine(builtin.path()), Preset()).wait(lambda: True)
    assert not ran.exists()


def test_rendering_a_template_runs_none_of_it(ran: Path) -> None:
    process = TemplateProcess()
    assert process.render_metered("{{ 1 + 1 }}", {}, now=datetime.now(UTC)) == "2"
    process.close()
    assert not ran.exists()


def test_quantizing_runs_none_of_it(ran: Path, tmp_path: Path) -> None:
    quantize(builtin.path(), tmp_path / "small.gguf", "Q8_0")
    source = check_model(builtin.path())
    assert predict_sizes(source, ["Q8_0"])[0].file_bytes > 0
    assert Quantization(plan(source, "Q8_0", folder=tmp_path / "made")).run().is_file()
    assert not ran.exists()


async def test_measuring_the_machine_runs_none_of_it(ran: Path, tmp_path: Path) -> None:
    limits = await bandwidth.measure(1, tmp_path / "limits.json")
    assert limits.read_gb_s > 0
    assert not ran.exists()


def test_restarting_runs_none_of_it(ran: Path) -> None:
    done = subprocess.run([*restart_command(), "--version"], capture_output=True, text=True, check=True, env=child.environment())
    assert done.stdout.startswith("xchat ")
    assert not ran.exists()


async def test_the_profilers_gate_runs_none_of_it(ran: Path) -> None:
    reading, writing = os.pipe()
    process = await pyspy_process.spawn(("/bin/echo", "through"), writing, 0)
    await pyspy_process.release(process)
    out = await process.stdout.read() if process.stdout else b""
    await process.wait()
    os.close(reading)
    os.close(writing)
    assert out == b"through\n"
    assert not ran.exists()


def test_one_module_writes_the_command_lines_of_children() -> None:
    sources = [path for room in ("engine", "tui") for path in (ROOT / room).rglob("*.py") if "training" not in path.parts]
    naming = {path.relative_to(ROOT).as_posix() for path in sources if re.search(r"sys\.executable", path.read_text("utf-8"))}
    assert naming == {"engine/child.py", "engine/profiling/pyspy.py"}, "pyspy looks for its program beside the interpreter"
