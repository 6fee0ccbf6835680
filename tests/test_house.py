"""The walls of the house: who may import whom, and what is generated from what."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from engine.presets.preset import COSTS, Cost, Preset, Sampling, cost_of_change
from tui.actions.registry import ACTIONS, BY_SLASH, Scope
from tui.cli.keys import markdown_table
from tui.cli.main import COMMANDS

ROOT = Path(__file__).parents[1]

SHADOWED = {Scope.DIALOG: {"escape"}}
"""Escape closes a dialog before it stops an answer."""


def loaded_modules(statement: str) -> set[str]:
    """Top-level modules that a fresh interpreter holds after `statement`."""
    script = f"{statement}\nimport sys, json\nprint(json.dumps(sorted({{name.partition('.')[0] for name in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_the_engine_loads_no_screen() -> None:
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in sorted((ROOT / "engine").rglob("*.py"))
        if path.name not in {"__init__.py", "__main__.py"} and "training" not in path.parts
    ]
    loaded = loaded_modules("\n".join(f"import {module}" for module in modules))
    assert not loaded & {"textual", "rich", "plotext", "tui", "torch"}


def test_a_command_without_the_screen_loads_no_textual() -> None:
    statement = "import sys\nfrom tui.cli.main import main\ntry: main(['locate', 'db'])\nexcept SystemExit: pass"
    assert not loaded_modules(statement) & {"textual", "llama_cpp", "aiosqlite"}


def test_every_setting_has_a_cost_and_is_noticed_when_it_changes() -> None:
    assert set(COSTS) == set(Preset.__struct_fields__) - {"name", "description"}
    assert cost_of_change(Preset(), Preset(name="other")) is None
    assert cost_of_change(Preset(), Preset(sampling=Sampling(temperature=0))) is Cost.HOT
    assert cost_of_change(Preset(), Preset(threads=1, n_ctx=512)) is Cost.REBUILD
    assert cost_of_change(Preset(), Preset(quant="Q8_0", n_ctx=512)) is Cost.RELOAD


def test_ids_keys_and_slash_commands_are_unique_where_they_meet() -> None:
    assert max(Counter(action.id for action in ACTIONS).values()) == 1
    assert len(BY_SLASH) == sum(len(action.slash) for action in ACTIONS)
    for scope in Scope:
        keys = Counter(key for action in ACTIONS if action.scope in {scope, Scope.APP} for key in action.keys)
        clashes = {key for key, count in keys.items() if count > 1} - SHADOWED.get(scope, set())
        assert not clashes, f"{clashes} mean two things {scope.value}"


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.id)
def test_every_action_has_a_key_that_survives_ssh_and_tmux(action: object) -> None:
    assert any(survives(key) for key in action.keys)  # type: ignore[attr-defined]


def survives(key: str) -> bool:
    """Whether a legacy terminal, tmux 3.3a and screen deliver this key as itself."""
    if key in {"ctrl+a", "ctrl+b", "ctrl+s", "ctrl+i", "ctrl+m", "ctrl+h", "f11", "alt+b", "alt+f"}:
        return False
    return not re.search(r"(ctrl|alt)\+\d|(ctrl|shift|alt)\+enter|shift\+f\d|ctrl\+tab", key)


def test_the_readme_has_the_keys_of_the_registry() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    inside = re.search(r"<!-- keys:.*?-->\n(.*?)<!-- end of keys -->", readme, re.DOTALL)
    assert inside is not None
    assert inside[1].strip() == markdown_table().strip(), "run `xchat keys --markdown` and paste it"


def test_the_readme_names_every_command() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    assert [command for command in COMMANDS if f"xchat {command}" not in readme] == []


def test_no_file_names_a_package_index() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    texts = [path for path in tracked if path.endswith((".py", ".toml", ".md", "run", "justfile"))]
    assert texts
    forbidden = re.compile("pypi" + r"\.org|python" + "hosted|registry" + r"\.npm")
    assert [path for path in texts if forbidden.search((ROOT / path).read_text("utf-8", "replace"))] == []
