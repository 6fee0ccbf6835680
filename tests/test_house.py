"""The walls of the house: who may import whom, and what is generated from what."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions, requires
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from tui.actions.bindings import OF_THE_APP
from tui.actions.registry import ACTIONS, BY_SLASH, Action, Scope
from tui.cli.keys import markdown_page

ROOT = Path(__file__).parents[1]


MOST_LINES = 400
MOST_FACADE_LINES = 300
MOST_FILES = 20

DATA = ("engine/guide/training/corpus/", "engine/guide/training/heldout.py", "tests/cases/")
"""Texts and tables: as long as what they list."""


def tracked(*suffixes: str) -> list[Path]:
    """The files of the repository whose names end like this; an unpacked sdist has no repository."""
    if not (ROOT / ".git").exists():
        pytest.skip("git knows which files belong to the repository")
    listing = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return [ROOT / name for name in listing if name.endswith(suffixes) and (ROOT / name).exists()]


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


def test_ids_keys_and_slash_commands_are_unique_where_they_meet() -> None:
    assert max(Counter(action.id for action in ACTIONS).values()) == 1
    assert len(BY_SLASH) == sum(len(action.slash) for action in ACTIONS)
    for scope in Scope:
        here = [action for action in ACTIONS if action.scope in {scope, *scope.around} or action.id in OF_THE_APP]
        clashes = {key for key, count in Counter(key for action in here for key in action.keys).items() if count > 1}
        assert not clashes, f"{clashes} mean two things {scope.value}"


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.id)
def test_every_action_has_a_key_that_survives_ssh_and_tmux_or_a_command(action: Action) -> None:
    assert any(survives(key) for key in action.keys) or (action.slash and not action.keys)


def survives(key: str) -> bool:
    """Whether a legacy terminal, tmux 3.3a and screen deliver this key as itself."""
    if key in {"ctrl+a", "ctrl+b", "ctrl+s", "ctrl+i", "ctrl+m", "ctrl+h", "f11", "alt+b", "alt+f"}:
        return False
    return not re.search(r"(ctrl|alt)\+\d|(ctrl|shift|alt)\+enter|alt\+(slash|\w+_\w+)|shift\+f\d|ctrl\+tab", key)


def test_the_documents_have_the_keys_of_the_registry() -> None:
    assert (ROOT / "docs/keys.md").read_text("utf-8") == markdown_page(), "run `xchat keys --markdown > docs/keys.md`"


def test_every_binding_is_made_from_the_registry() -> None:
    outside = [path for path, _, nodes in modules() if "textual.binding.Binding" in imports(nodes) and "actions" not in path.parts]
    assert outside == []


KEY_NAME = re.compile(r"\bF([1-9]|1[0-2])\b(?! *[_/])|\bEsc\b|\b(Ctrl|Alt|Shift)\+")


def test_the_engine_names_actions_and_never_keys() -> None:
    strings = (
        (path.relative_to(ROOT), node.lineno, node.value)
        for path, _, nodes in modules()
        if path.relative_to(ROOT).parts[0] == "engine" and "guide" not in path.parts
        for node in nodes
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    named = [f"{path}:{line} {text!r}" for path, line, text in strings if KEY_NAME.search(text)]
    assert named == []


def test_no_file_names_a_package_index() -> None:
    texts = tracked(".py", ".toml", ".txt", ".md", ".yml", ".yaml", "run", "justfile")
    assert texts
    forbidden = re.compile("pypi" + r"\.org|python" + "hosted|registry" + r"\.npm")
    assert [path for path in texts if forbidden.search(path.read_text("utf-8", "replace"))] == []


def test_no_file_has_more_than_400_lines() -> None:
    names = {path.relative_to(ROOT).as_posix(): path for path in tracked(".py")}
    long = {name for name, path in names.items() if len(path.read_text("utf-8").splitlines()) > MOST_LINES and not name.startswith(DATA)}
    assert long == set()


def test_the_session_stays_a_facade() -> None:
    assert len((ROOT / "engine/session/session.py").read_text("utf-8").splitlines()) <= MOST_FACADE_LINES


def test_no_folder_has_more_than_20_modules() -> None:
    full = Counter(path.parent.relative_to(ROOT).as_posix() for path in tracked(".py") if path.name != "__init__.py")
    assert {folder for folder, count in full.items() if count > MOST_FILES} == set()


def test_the_tests_of_the_engine_need_none_of_the_screen() -> None:
    paths = sorted((ROOT / "tests/engine").rglob("*.py"))
    assert paths
    assert [path for path in paths if re.search(r"^\s*(from|import) tests\.tui\b", path.read_text("utf-8"), re.MULTILINE)] == []


def test_what_runs_the_whole_program_is_marked_slow() -> None:
    unmarked = []
    for path in [*sorted((ROOT / "tests/tui").rglob("test_*.py")), *sorted((ROOT / "tests/snapshots").rglob("test_*.py"))]:
        text = path.read_text("utf-8")
        if "tests.tui.program" not in text or re.search(r"^pytestmark = .*mark\.slow", text, re.MULTILINE):
            continue
        functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
        running = {"program"}
        for function in sorted(functions, key=lambda function: function.name.startswith("test")):
            used = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)} | {each.arg for each in function.args.args}
            if not running & used:
                continue
            if not function.name.startswith("test"):
                running.add(function.name)
            elif "pytest.mark.slow" not in map(ast.unparse, function.decorator_list):
                unmarked.append(f"{path.relative_to(ROOT)} {function.name}")
    assert unmarked == []


@cache
def modules() -> tuple[tuple[Path, ast.Module, list[ast.AST]], ...]:
    """All modules of the program with their syntax trees and all nodes of them."""
    paths = (path for folder in ("engine", "tui") for path in sorted((ROOT / folder).rglob("*.py")))
    trees = ((path, ast.parse(path.read_text("utf-8"))) for path in paths)
    return tuple((path, tree, list(ast.walk(tree))) for path, tree in trees)


def imports(nodes: list[ast.AST]) -> Iterator[str]:
    """Full names of what a module imports, in functions and for types too."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def short(name: str) -> str:
    """An import as docstrings name it: `engine.chat`, `msgspec`; nothing for the standard library."""
    parts = name.split(".")
    if parts[0] in {"engine", "tui"}:
        return ".".join(parts[:2])
    return "" if parts[0] in sys.stdlib_module_names else parts[0]


def test_every_room_says_what_it_imports_and_imports_nothing_else() -> None:
    real: dict[str, set[str]] = defaultdict(set)
    said: dict[str, set[str]] = {}
    for path, tree, nodes in modules():
        parts = path.relative_to(ROOT).parent.parts[:2]
        if len(parts) < 2 or "training" in path.parts:
            continue
        room = ".".join(parts)
        real[room] |= {short(name) for name in imports(nodes)}
        if path.parent == ROOT.joinpath(*parts) and path.name == "__init__.py":
            sentence = re.search(r"^May import (.*?)\.$", ast.get_docstring(tree) or "", re.DOTALL | re.MULTILINE)
            said[room] = set(re.split(r"[,;\s]+", sentence[1])) - {"nothing"} if sentence else {"(there is no such sentence)"}
    wrong = []
    for room, names in real.items():
        names -= {"", room, "engine.__version__"}
        if said[room] != names:
            wrong.append(f"{room} says {sorted(said[room] - names)} too many. May import {', '.join(sorted(names)) or 'nothing'}.")
    assert wrong == []


def test_every_public_name_is_used() -> None:
    used = set(re.findall(r"\w+", (ROOT / "pyproject.toml").read_text("utf-8")))
    defined: list[str] = []
    for path, tree, nodes in modules():
        documentation = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
        for node in nodes:
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                used.add(node.id)
            elif isinstance(node, ast.Attribute):
                used.add(node.attr)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
                used.update(re.findall(r"\w+", node.value))
        for statement in tree.body:
            if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                names = [statement.name]
            else:
                targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
                names = [target.id for target in targets if isinstance(target, ast.Name)]
            defined += [f"{path.relative_to(ROOT)} {name}" for name in names if not name.startswith("__")]
    assert len(defined) > 1_000
    assert [name for name in defined if name.split()[-1] not in used] == []


def test_the_declared_packages_are_the_imported_ones() -> None:
    declared = {canonical(line) for line in [*project()["project"]["dependencies"], *extras()]}
    used = {short(name) for path, _, nodes in modules() if "training" not in path.parts for name in imports(nodes)} - {""}
    owners = packages_distributions()
    imported = {canonical(owners[name][0]) for name in used if not name.startswith(("engine", "tui"))}
    assert declared == imported | {"py-spy", "httptools"}, "py-spy is started as a program, and uvicorn imports httptools"


def test_what_the_declared_packages_stand_on_is_held_still() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines() if line and not line.startswith("#")]
    held = {canonical(line) for line in lines}
    assert len(held) == len(lines)
    assert all("==" in line for line in lines)
    direct = {canonical(line) for line in [*project()["project"]["dependencies"], *extras(), *project()["dependency-groups"]["dev"]]}
    assert not held & direct, "pinned in pyproject.toml already"
    needed, seen = set(direct), set[str]()
    while needed - seen:
        name = (needed - seen).pop()
        seen.add(name)
        wanted = (Requirement(text) for text in requires(name) or [])
        needed |= {canonical(one.name) for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""})}
    assert seen - direct - held == set()


def extras() -> list[str]:
    """The packages that are installed only where they are asked for."""
    return [line for lines in project()["project"]["optional-dependencies"].values() for line in lines]


def project() -> dict[str, Any]:
    """What pyproject.toml says."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def canonical(requirement: str) -> str:
    """The name of a package, spelled in the one way that compares."""
    return re.sub(r"[-_.]+", "-", re.split(r"[=\[]", requirement)[0]).lower()


def test_sizes_are_written_with_decimal_units_in_one_place() -> None:
    by_hand = re.compile(r"[\d}\]] [MG]iB|1e9[^}]*\} GB")
    # The laboratory writes llama-bench's own tables, and has an option in MiB.
    paths = [path for folder in ("engine", "tui") for path in sorted((ROOT / folder).rglob("*.py")) if "lab" not in path.parts]
    found = [f"{path.relative_to(ROOT)}: {match}" for path in paths for match in by_hand.findall(path.read_text("utf-8"))]
    assert found == []
