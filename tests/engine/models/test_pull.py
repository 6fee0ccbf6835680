"""Pulling from a server that speaks the hub's endpoints: choice of files, resume, cancel, damage, full disks, two at once."""

from __future__ import annotations

import errno
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from engine.errors import ModelError, UsageError
from engine.host.topology import Room
from engine.models.catalog import list_models
from engine.models.pull import Pull, PullCancelled, PullProgress
from engine.models.recommended import RECOMMENDED, recommended
from engine.models.references import HubReference, UrlReference, choose_files, parse_reference
from engine.paths import models_dir
from tests.engine.models import raw_gguf
from tests.engine.models.hub_server import COMMIT, HubServer

TINY = HubReference("org/tiny-GGUF")


@pytest.fixture
def model(tmp_path: Path) -> bytes:
    return raw_gguf.write(tmp_path / "made/tiny.gguf").read_bytes()


@pytest.fixture
def hub(model: bytes) -> Iterator[HubServer]:
    files = {
        "README.md": b"hello",
        "tiny-Q4_K_M.gguf": model,
        "tiny-Q8_0.gguf": model + bytes(64),
        "mmproj-tiny-F16.gguf": b"GGUF" + bytes(60),
    }
    with HubServer(files).running() as server:
        yield server


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "hub"


def pull(hub: HubServer, cache: Path, reference: HubReference | UrlReference = TINY, attempts: int = 1) -> Pull:
    return Pull(reference, endpoint=hub.endpoint, cache=cache, pauses_s=(0.0,) * attempts)


@pytest.mark.parametrize(
    ("name", "reference"),
    [
        ("hf:org/repo:Q4_K_M", HubReference("org/repo", "Q4_K_M")),
        ("org/repo", HubReference("org/repo")),
        ("hf.co/org/repo:Q8_0", HubReference("org/repo", "Q8_0")),
        ("https://huggingface.co/org/repo", HubReference("org/repo")),
        ("https://huggingface.co/org/repo/resolve/main/a/b.gguf?download=true", HubReference("org/repo", "a/b.gguf")),
        ("https://hf.co/org/repo/blob/v1/b.gguf", HubReference("org/repo", "b.gguf", "v1")),
        ("hf:org/repo:file.gguf", HubReference("org/repo", "file.gguf")),
        ("https://example.org/x/model.gguf", UrlReference("https://example.org/x/model.gguf")),
    ],
)
def test_names_are_understood(name: str, reference: object) -> None:
    assert parse_reference(name) == reference


@pytest.mark.parametrize(
    "name", ["", "model", "hf:", "ollama:qwen3", "ftp://x/y.gguf", "https://example.org/x", "org/../x", "a b/c", "hf:org/re po"]
)
def test_names_that_mean_nothing_are_refused(name: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_reference(name)
    assert caught.value.hint


FILES = [
    "a/x-Q4_K_S.gguf",
    "x-BF16-00001-of-00002.gguf",
    "x-BF16-00002-of-00002.gguf",
    "x-Q8_0.gguf",
    "x-UD-Q4_K_XL.gguf",
    "mmproj-x.gguf",
    "README",
]


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        ("", ("x-Q8_0.gguf",)),
        ("q8_0", ("x-Q8_0.gguf",)),
        ("Q4_K_S", ("a/x-Q4_K_S.gguf",)),
        ("UD-Q4_K_XL", ("x-UD-Q4_K_XL.gguf",)),
        ("Q4_K_XL", ("x-UD-Q4_K_XL.gguf",)),
        ("bf16", ("x-BF16-00001-of-00002.gguf", "x-BF16-00002-of-00002.gguf")),
        ("mmproj-x.gguf", ("mmproj-x.gguf",)),
        ("x-Q4_K_S.gguf", ("a/x-Q4_K_S.gguf",)),
    ],
)
def test_the_file_of_a_quant_is_chosen(wanted: str, chosen: tuple[str, ...]) -> None:
    assert choose_files(HubReference("o/r", wanted), FILES) == chosen


def test_a_quant_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(ModelError) as caught:
        choose_files(HubReference("o/r", "Q2_K"), FILES)
    assert "Q8_0" in caught.value.hint
    with pytest.raises(ModelError, match="no GGUF"):
        choose_files(HubReference("o/r"), ["model.safetensors"])
    with pytest.raises(ModelError, match="lacks parts"):
        choose_files(HubReference("o/r"), ["x-00001-of-00002.gguf"])


def test_a_pull_lands_in_the_hubs_cache_where_the_catalog_finds_it(
    hub: HubServer, cache: Path, model: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = pull(hub, cache)
    plan = work.plan()
    assert [file.name for file in plan.files] == ["tiny-Q4_K_M.gguf"]
    assert plan.missing_bytes == plan.total_bytes == len(model)
    seen: list[PullProgress] = []
    path = work.run(plan, seen.append)
    assert path == cache / "models--org--tiny-GGUF/snapshots" / COMMIT / "tiny-Q4_K_M.gguf"
    assert path.read_bytes() == model
    assert (path.parents[2] / "refs/main").read_text() == COMMIT
    assert [progress.done_bytes for progress in seen][-1] == len(model)
    monkeypatch.setenv("HF_HUB_CACHE", str(cache))
    assert [family.entries[0].label for family in list_models().families] == ["tiny-Q4_K_M.gguf"]
    hub.ranges.clear()
    again = pull(hub, cache)
    assert again.plan().missing_bytes == 0
    assert again.run(again.plan()) == path
    assert hub.ranges == []


def test_huggingface_hub_finds_what_was_pulled(hub: HubServer, cache: Path) -> None:
    from huggingface_hub import hf_hub_download

    work = pull(hub, cache)
    path = work.run(work.plan())
    assert hf_hub_download("org/tiny-GGUF", "tiny-Q4_K_M.gguf", cache_dir=cache, local_files_only=True) == str(path)


def test_a_network_that_breaks_is_tried_again_from_where_it_broke(hub: HubServer, cache: Path, model: bytes) -> None:
    hub.cuts = [1000, 500]
    work = pull(hub, cache, attempts=3)
    assert work.run(work.plan()).read_bytes() == model
    assert hub.ranges == ["", "bytes=1000-", "bytes=1500-"]


def test_a_pull_that_failed_goes_on_in_the_next_program(hub: HubServer, cache: Path, model: bytes) -> None:
    hub.cuts = [1000, 0]
    work = pull(hub, cache)
    with pytest.raises(ModelError, match="pull again"):
        work.run(work.plan())
    again = pull(hub, cache)
    plan = again.plan()
    assert plan.missing_bytes == len(model) - 1000
    assert again.run(plan).read_bytes() == model
    assert hub.ranges[-1] == "bytes=1000-"


def test_a_cancelled_pull_keeps_what_came(hub: HubServer, cache: Path, model: bytes) -> None:
    hub.hold = threading.Event()
    work = pull(hub, cache)
    plan = work.plan()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(work.run, plan)
        assert hub.halfway.wait(10)
        work.cancel()
        hub.hold.set()
        with pytest.raises(PullCancelled):
            running.result(10)
    hub.hold = None
    assert not plan.files[0].blob.exists()
    rest = pull(hub, cache)
    assert rest.run(rest.plan()).read_bytes() == model


def test_damage_on_the_way_is_noticed_and_thrown_away(hub: HubServer, cache: Path) -> None:
    hub.digests["tiny-Q4_K_M.gguf"] = "0" * 64
    work = pull(hub, cache)
    plan = work.plan()
    with pytest.raises(ModelError, match="digest"):
        work.run(plan)
    assert not plan.files[0].blob.exists()
    assert not plan.files[0].part.exists()


def test_two_programs_fetch_a_file_once(hub: HubServer, cache: Path, model: bytes) -> None:
    hub.hold = threading.Event()
    one, other = pull(hub, cache), pull(hub, cache)
    waiting = threading.Event()

    def heard(progress: PullProgress) -> None:
        if progress.waiting:
            waiting.set()

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(one.run, one.plan())
        assert hub.halfway.wait(10)
        second = pool.submit(other.run, other.plan(), heard)
        assert waiting.wait(10)
        hub.hold.set()
        assert first.result(10) == second.result(10)
    assert hub.ranges == [""]
    assert first.result().read_bytes() == model


def test_all_parts_of_a_split_model_come(cache: Path) -> None:
    files = {f"big-Q8_0-0000{number}-of-00002.gguf": bytes([number]) * 100 for number in (1, 2)}
    with HubServer(files).running() as hub:
        work = pull(hub, cache)
        plan = work.plan()
        path = work.run(plan)
        assert plan.total_bytes == 200
        assert path.name == "big-Q8_0-00001-of-00002.gguf"
        assert sorted(file.name for file in path.parent.iterdir()) == sorted(files)


def test_a_disk_without_room_is_noticed_before(hub: HubServer, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage(NamedTuple):
        free: int

    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(free=100))
    with pytest.raises(ModelError, match="Not enough disk space"):
        pull(hub, cache).plan()


def test_a_disk_that_fills_up_is_a_clear_error(hub: HubServer, cache: Path) -> None:
    def full(_: PullProgress) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    work = pull(hub, cache)
    with pytest.raises(ModelError, match="disk is full"):
        work.run(work.plan(), full)


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [(404, "RepoNotFound", "does not exist, or is private"), (403, "GatedRepo", "access on request"), (500, "", "answered 500")],
)
def test_refusals_of_the_hub_are_explained(hub: HubServer, cache: Path, status: int, code: str, words: str) -> None:
    hub.status, hub.error_code = status, code
    with pytest.raises(ModelError) as caught:
        pull(hub, cache).plan()
    assert words in caught.value.detail
    assert caught.value.hint


def test_no_network_is_explained(cache: Path) -> None:
    with pytest.raises(ModelError, match="hf:org/tiny-GGUF can't be pulled"):
        Pull(TINY, endpoint="http://127.0.0.1:9", cache=cache).plan()


@pytest.mark.parametrize("name", ["../../evil.gguf", "/evil.gguf"])
def test_a_repository_can_not_write_outside_of_its_folder(cache: Path, name: str) -> None:
    with HubServer({name: b"GGUF"}).running() as hub, pytest.raises(ModelError, match="outside"):
        pull(hub, cache).plan()


def test_a_file_at_an_address_comes_into_the_own_folder(hub: HubServer, cache: Path, model: bytes) -> None:
    reference = UrlReference(f"{hub.endpoint}/plain/tiny-Q4_K_M.gguf")
    work = Pull(reference, endpoint="http://127.0.0.1:9", cache=cache)
    path = work.run(work.plan())
    assert path == models_dir() / "tiny-Q4_K_M.gguf"
    assert path.read_bytes() == model
    with pytest.raises(UsageError, match="exists already"):
        Pull(reference, cache=cache).plan()


def test_the_token_is_told_to_nobody_but_the_hub(hub: HubServer, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    work = pull(hub, cache)
    work.run(work.plan())
    assert hub.tokens
    hub.tokens.clear()
    work = Pull(UrlReference(f"{hub.endpoint}/plain/tiny-Q8_0.gguf"), endpoint="http://127.0.0.1:9", cache=cache)
    work.run(work.plan())
    assert hub.tokens == []


def test_recommended_models_fit_the_machine() -> None:
    assert all(isinstance(parse_reference(model.reference), HubReference) for model in RECOMMENDED)
    assert [model.file_bytes for model in RECOMMENDED] == sorted(model.file_bytes for model in RECOMMENDED)
    for total in (1, 8, 16, 64):
        room = Room(total << 30, total << 30, limited=False)
        chosen = recommended(room)
        assert 1 <= len(chosen) <= 5
        assert all(model.fits(room) for model in chosen) or chosen == RECOMMENDED[:1]
    assert recommended(Room(1 << 40, 1 << 40, limited=False))[0] == RECOMMENDED[-1]
