from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engine.store.kill_rounds import ACCEPTABLE_LOSS

pytestmark = pytest.mark.slow

ROUNDS = 20


def test_a_killed_process_loses_no_finished_turn_and_at_most_one_batch_of_samples(path: Path) -> None:
    # In a process of its own: it forks, which a process with threads must not.
    command = [sys.executable, "-m", "tests.engine.store.kill_rounds", str(path), str(ROUNDS)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    outcome = json.loads(done.stdout)
    assert outcome["turns_promised"] > ROUNDS
    assert outcome | {"rounds": ROUNDS, "turns_lost": 0, "damaged": 0, "crashes_noticed": ROUNDS} == outcome
    assert outcome["most_samples_lost"] <= ACCEPTABLE_LOSS
