"""What this host can do is measured in a process of its own and kept; broken files of results do no harm."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path

import pytest

from engine.errors import EngineError
from engine.host import bandwidth
from engine.host.bandwidth import HostLimits, host_key, measure, measure_here, remembered


def test_a_short_measurement_gives_plausible_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bandwidth, "READ_ROUNDS", 2)
    monkeypatch.setattr(bandwidth, "MULTIPLY_ROUNDS", 2)
    monkeypatch.setattr(bandwidth, "ROUND_S", 0.01)
    monkeypatch.setattr(bandwidth, "BUFFER_BYTES", 8 << 20)
    limits = measure_here(1)
    assert limits.threads == 1
    assert 0.1 < limits.read_gb_s < 10_000
    assert limits.gflop_s is not None
    assert limits.gflop_s > 0.1


def test_results_are_kept_per_host_and_thread_count(tmp_path: Path) -> None:
    path = tmp_path / "limits.json"
    for threads, speed in ((1, 11.0), (2, 20.0), (1, 12.0)):
        bandwidth._remember(HostLimits(threads, speed), path)
    assert remembered(1, path) == HostLimits(1, 12.0)
    assert remembered(2, path) == HostLimits(2, 20.0)
    assert remembered(4, path) is None
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_the_best_of_the_last_measurements_counts(tmp_path: Path) -> None:
    path = tmp_path / "limits.json"
    for number, (read, multiplied) in enumerate(((20.0, 90.0), (33.0, None), (25.0, 100.0))):
        bandwidth._remember(HostLimits(2, read, multiplied, number), path)
    assert remembered(2, path) == HostLimits(2, 33.0, 100.0, 2)
    for number in range(bandwidth.KEPT):
        bandwidth._remember(HostLimits(2, 21.0, 80.0, 10 + number), path)
    assert remembered(2, path) == HostLimits(2, 21.0, 80.0, 9 + bandwidth.KEPT)


def test_results_of_another_host_are_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "limits.json"
    path.write_text(json.dumps({"hosts": {"elsewhere": {"2": [{"threads": 2, "read_gb_s": 99.0}]}}}))
    assert remembered(2, path) is None
    assert "elsewhere" not in host_key()


@pytest.mark.parametrize("content", ["", "{", '{"hosts": 7}', '{"hosts": {"x": {"2": {}}}}', '{"hosts": {"x": {"2": [{}]}}}'])
def test_a_broken_file_of_results_is_as_good_as_none(tmp_path: Path, content: str) -> None:
    path = tmp_path / "limits.json"
    path.write_text(content)
    assert remembered(2, path) is None
    bandwidth._remember(HostLimits(2, 20.0), path)
    assert remembered(2, path) == HostLimits(2, 20.0)


async def test_a_measurement_that_fails_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing = tmp_path / "python"
    failing.write_text("#!/bin/sh\necho 'MemoryError: no room' >&2\nexit 1\n")
    failing.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(failing))
    with pytest.raises(EngineError, match="no room"):
        await measure(2, tmp_path / "limits.json")
    assert remembered(2, tmp_path / "limits.json") is None
