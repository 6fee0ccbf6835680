"""Pulling from servers whose files change, whose bodies are packed or never end, and whose answers are not what they should be."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from engine.errors import ModelError
from engine.models.pull import SPARE_BYTES, Pull
from engine.models.references import HubReference, UrlReference
from tests.engine.models.hub_server import HubServer, git_name

FILE = "tiny-Q4_K_M.gguf"


@pytest.fixture
def model() -> bytes:
    return b"GGUF" + bytes(range(256)) * 8


@pytest.fixture
def hub(model: bytes) -> Iterator[HubServer]:
    with HubServer({FILE: model}).running() as server:
        yield server


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "hub"


def from_hub(hub: HubServer, cache: Path) -> Pull:
    return Pull(HubReference("org/tiny-GGUF"), endpoint=hub.endpoint, cache=cache, pauses_s=(0.0,))


def at_address(hub: HubServer, cache: Path, attempts: int = 1) -> Pull:
    return Pull(UrlReference(f"{hub.endpoint}/plain/{FILE}"), endpoint=hub.endpoint, cache=cache, pauses_s=(0.0,) * attempts)


BY_TAG, BY_DATE, WEAK = {"ETag": '"a"'}, {"Last-Modified": "Mon, 30 Nov 2026 00:00:00 GMT"}, {"ETag": 'W/"a"'}


@pytest.mark.parametrize(("validators", "resumes"), [(BY_TAG, True), (BY_DATE, True), (WEAK | BY_DATE, True), (WEAK, False), ({}, False)])
def test_an_address_goes_on_only_where_its_content_is_known_to_be_the_same(
    hub: HubServer, cache: Path, model: bytes, validators: dict[str, str], resumes: bool
) -> None:
    hub.validators, hub.cuts = dict(validators), [1000, 500]
    with pytest.raises(ModelError, match="network failed"):
        at_address(hub, cache, attempts=0).run(at_address(hub, cache).plan())
    again = at_address(hub, cache, attempts=2)
    plan = again.plan()
    assert plan.missing_bytes == len(model) - 1000 * resumes
    assert again.run(plan).read_bytes() == model
    assert hub.ranges[1:] == (["bytes=1000-", "bytes=1500-"] if resumes else ["", ""])


@pytest.mark.parametrize("changed", [{"ETag": '"b"'}, {"Last-Modified": "Tue, 01 Dec 2026 00:00:00 GMT"}, {}])
def test_a_content_that_changed_between_two_pulls_is_never_mixed(
    hub: HubServer, cache: Path, model: bytes, changed: dict[str, str]
) -> None:
    hub.validators, hub.cuts = dict(BY_TAG), [1000]
    with pytest.raises(ModelError):
        at_address(hub, cache, attempts=0).run(at_address(hub, cache).plan())
    hub.files[FILE], hub.validators = b"GGUF".ljust(len(model), b"\0"), changed
    again = at_address(hub, cache)
    path = again.run(again.plan())
    assert path.read_bytes() == hub.files[FILE]
    assert [file.name for file in path.parent.iterdir() if "incomplete" in file.name] == []


@pytest.mark.parametrize("content", [b"GGUF".ljust(3000, b"\0"), b"GGUF short"])
def test_a_content_that_changed_while_it_was_fetched_is_said(hub: HubServer, cache: Path, content: bytes) -> None:
    hub.validators, hub.cuts = dict(BY_TAG), [1000]
    work = at_address(hub, cache, attempts=3)
    plan = work.plan()
    hub.files[FILE], hub.validators = content, {"ETag": '"b"'}
    with pytest.raises(ModelError, match="changed on the server"):
        work.run(plan)
    assert not plan.files[0].blob.exists()
    again = at_address(hub, cache, attempts=3)
    assert again.run(again.plan()).read_bytes() == content


def test_a_small_file_is_checked_by_gits_name_of_it(hub: HubServer, cache: Path, model: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = {"type": "file", "path": FILE, "size": len(model), "oid": git_name(model)}
    monkeypatch.setattr(hub, "_entry", lambda _name: plain)
    work = from_hub(hub, cache)
    assert work.run(work.plan()).read_bytes() == model
    plain["oid"] = git_name(b"another")
    work = from_hub(hub, cache)
    with pytest.raises(ModelError, match="digest"):
        work.run(work.plan())


@pytest.mark.parametrize("size", ["12", None, -1, True, 10**30])
def test_a_size_that_is_not_one_is_refused(hub: HubServer, cache: Path, size: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "_entry", lambda name: {"type": "file", "path": name, "size": size, "oid": "0" * 40})
    with pytest.raises(ModelError):
        from_hub(hub, cache).plan()


def endless(chunk: bytes = bytes(1 << 16)) -> Iterator[bytes]:
    while True:
        yield chunk


def test_packed_bytes_are_refused_and_never_unpacked(hub: HubServer, cache: Path) -> None:
    hub.body, hub.body_headers = [gzip.compress(bytes(1 << 24))], {"Content-Encoding": "gzip"}
    for work in (from_hub(hub, cache), at_address(hub, cache)):
        plan = work.plan()
        with pytest.raises(ModelError, match="compressed"):
            work.run(plan)
        assert plan.files[0].have == 0
        assert not plan.files[0].blob.exists()


@pytest.mark.parametrize("headers", [{}, {"Content-Length": str(1 << 40)}])
def test_a_body_without_an_end_stops_at_the_announced_size(hub: HubServer, cache: Path, model: bytes, headers: dict[str, str]) -> None:
    hub.body, hub.body_headers = endless(), headers
    for work in (from_hub(hub, cache), at_address(hub, cache)):
        plan = work.plan()
        with pytest.raises(ModelError, match="changed on the server"):
            work.run(plan)
        assert not plan.files[0].blob.exists()
        assert not plan.files[0].part.exists() or plan.files[0].part.stat().st_size <= len(model)


def test_a_body_without_an_end_and_a_size_stops_before_the_disk_is_full(
    hub: HubServer, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage(NamedTuple):
        free: int

    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(free=SPARE_BYTES + (1 << 20)))
    work = at_address(hub, cache)
    plan = work.plan()
    plan = replace(plan, files=tuple(replace(file, size=None) for file in plan.files))
    hub.body = endless()
    with pytest.raises(ModelError, match="more data than fits on the disk"):
        work.run(plan)
    assert plan.files[0].part.stat().st_size == 0


def test_what_is_not_a_model_does_not_stay(cache: Path) -> None:
    with HubServer({FILE: b"<html>Please log in</html>"}).running() as hub:
        work = at_address(hub, cache)
        plan = work.plan()
        with pytest.raises(ModelError, match="It is a web page"):
            work.run(plan)
        assert not plan.files[0].blob.exists()


@pytest.mark.parametrize("status", [302, 404, 500])
def test_a_failure_or_a_redirect_without_an_end_stops_soon(hub: HubServer, cache: Path, status: int) -> None:
    work = at_address(hub, cache)
    plan = work.plan()
    hub.status, hub.body, hub.body_headers = status, endless(), {"Location": f"{hub.endpoint}/plain/tiny-Q4_K_M.gguf"}
    with pytest.raises(ModelError):
        work.run(plan)
    assert hub.sent_bytes < 64 << 20
