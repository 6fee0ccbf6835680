"""Pulling and quantizing from the command line, on a local server and on tiny files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.models.check import check_model
from engine.paths import models_dir
from tests import ggufs
from tests.e2e.conftest import Run
from tests.engine.models import raw_gguf
from tests.engine.models.hub_server import HubServer

pytestmark = pytest.mark.e2e


def test_a_pulled_model_is_printed_and_a_dry_run_fetches_nothing(xchat: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = raw_gguf.write(tmp_path / "tiny.gguf").read_bytes()
    with HubServer({"tiny-Q8_0.gguf": data}).running() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
        told = json.loads(xchat("models", "pull", "hf:org/tiny-GGUF:Q8_0", "--dry-run", "--json").stdout)
        assert [file["name"] for file in told["files"]] == ["tiny-Q8_0.gguf"]
        assert not list((tmp_path / "hub").rglob("*.gguf"))

        done = xchat("models", "pull", "hf:org/tiny-GGUF:Q8_0")
        assert done.returncode == 0, done.stderr
        path = Path(done.stdout.decode().strip())
        assert path.read_bytes() == data
        assert b"to fetch: " in done.stderr
        listed = json.loads(xchat("models", "list", "--json").stdout)
        fetched = [quant["path"] for family in listed["families"] for quant in family["quants"] if quant["place"] == "hugging face"]
        assert fetched == [str(path)]


def test_a_pull_of_nothing_suggests_models_and_an_unknown_one_is_a_model_error(xchat: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert json.loads(xchat("models", "pull", "--json").stdout)[0]["pull"].startswith("hf:")
    with HubServer({}).running() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        failed = xchat("models", "pull", "hf:org/other-GGUF")
    assert failed.returncode == 3
    assert failed.stderr.startswith(b"xchat: ")


def test_a_quant_is_made_and_quantizing_twice_needs_a_yes(xchat: Run, tmp_path: Path) -> None:
    source = ggufs.dense(tmp_path / "tiny-F32.gguf", layers=4)
    sizes = {row["quant"]: row["bytes"] for row in json.loads(xchat("models", "quantize", str(source), "--json").stdout)}
    made = xchat("models", "quantize", str(source), "q8_0")
    assert made.returncode == 0, made.stderr
    path = Path(made.stdout.decode().strip())
    assert path.parent == models_dir()
    assert check_model(path).facts.quant == "Q8_0"
    assert path.stat().st_size == pytest.approx(sizes["Q8_0"], rel=0.02)

    refused = xchat("models", "quantize", str(path), "Q4_0")
    assert refused.returncode == 2
    assert b"should not be quantized again" in refused.stderr
    assert xchat("models", "quantize", str(path), "Q4_0", "--yes").returncode == 0


def test_a_quant_that_can_not_be_made_is_a_usage_error(xchat: Run, tmp_path: Path) -> None:
    source = ggufs.dense(tmp_path / "tiny-F32.gguf")
    assert xchat("models", "quantize", str(source), "Q9").returncode == 2
    assert xchat("models", "quantize", "no-such-model", "Q8_0").returncode == 3
