"""The program's keys, commands and presets as JSON: `python -m tests.facts`."""

from __future__ import annotations

import json
import sys

from engine.presets.shipped import NAMES
from tui.actions.registry import ACTIONS, display_key
from tui.cli.main import COMMANDS


def facts_json() -> str:
    """All actions in the order of the help, subcommands, and shipped presets, as JSON."""
    actions = [
        {
            "id": action.id,
            "keys": [display_key(key) for key in action.keys],
            "label": action.label,
            "sentence": action.sentence,
            "group": action.group.value,
            "scope": action.scope.value,
            "slash": list(action.slash),
        }
        for action in ACTIONS
    ]
    commands = [{"name": name, "purpose": purpose} for name, (_, purpose) in COMMANDS.items()]
    return json.dumps({"actions": actions, "commands": commands, "presets": list(NAMES)}, indent=1) + "\n"


if __name__ == "__main__":
    sys.stdout.write(facts_json())
