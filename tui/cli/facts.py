"""The registry's keys and commands as JSON, for what is made from them outside the screen: `python -m tui.cli.facts`."""

from __future__ import annotations

import json
import sys

from tui.keys import ACTIONS, display_key


def facts_json() -> str:
    """Every action with its keys as people write them, in the order of the help."""
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
    return json.dumps({"actions": actions}, indent=1) + "\n"


if __name__ == "__main__":
    sys.stdout.write(facts_json())
