"""The web page of a server in a real browser: a chat that streams and stops, the server as it is, and nothing that a model could run."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from engine.llama.backend import LlamaBackend
from engine.presets.preset import Preset, Sampling
from engine.serving.guard import guard_of
from engine.serving.server import Address, Server
from tests import ggufs
from tests.e2e.browser import CHROMIUM, PATIENCE_S, Page

pytestmark = pytest.mark.e2e

PRESET = Preset(n_ctx=4096, threads=1, threads_batch=1, parallel=2, stream_batch=1, sampling=Sampling(temperature=0.0))
HOSTILE = """<script>window.broken = 1</script> <img src=x onerror="window.broken = 2">
[run](javascript:window.broken=3) [fine](https://example.org/a) **bold *nested*** `<b>code</b>`

| a | b |
|---|---|
| <svg onload="window.broken=4"> | 2 |

- one
  - inner
- two

```html
<script>window.broken = 5</script>
"""
PICTURES = os.environ.get("XCHAT_PICTURES")
"""A folder for pictures of the page, for looking at it."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    backend = LlamaBackend(trusted=lambda _path: True, log_path=tmp_path / "native.log")
    server = Server(backend, msgspec.structs.replace(PRESET, max_tokens=40), guard_of("127.0.0.1", ("secret",), ()), Address(port=0))
    backend.load(ggufs.dense(tmp_path / "tiny.gguf"), PRESET, lambda _event: None).result(PATIENCE_S)
    yield server
    server.stop(0.0)
    server.join(PATIENCE_S)
    backend.close()


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine")
    page = Page(tmp_path / "profile")
    yield page
    page.close()


def test_a_colleague_chats_on_a_phone_and_sees_the_server(server: Server, page: Page) -> None:
    page.size(320, 640)
    page("Page.navigate", url=server.url)
    page.until("document.querySelector('dialog[open]')")
    page.type("wrong\n")
    page.until("document.querySelector('dialog[open]') && key.value === ''")
    page.type("secret\n")
    page.until("model.textContent.includes('serving')")
    page.run("document.getElementById('prompt').focus()")
    page.type("What is a token?\n")
    page.until("document.querySelector('.figures')?.textContent.includes('tokens/s')")
    assert len(page.run("document.querySelector('.assistant > .text').innerText")) > 20
    assert page.run("document.documentElement.scrollWidth") == 320

    page.run(f"render(document.body.appendChild(make('div', 'text hostile')), {json.dumps(HOSTILE)})")
    assert page.run("document.querySelectorAll('.hostile :is(script, img, svg)').length") == 0
    assert page.run("[...document.querySelectorAll('.hostile a')].map((link) => link.href)") == ["https://example.org/a"]
    assert page.run("[...document.querySelectorAll('.hostile :is(td, li li, pre code, strong em)')].map((each) => each.textContent)") == [
        *("nested", '<svg onload="window.broken=4">', "2", "inner", "<script>window.broken = 5</script>\n"),
    ]
    assert page.run("document.documentElement.scrollWidth") == 320
    page.run("document.querySelector('.hostile').remove()")
    assert page.run("typeof window.broken") == "undefined"

    server.call(lambda served: served.use(PRESET)).result(PATIENCE_S)  # the model does not end by itself
    page.run("document.getElementById('prompt').focus()")
    page.type("Explain what a KV cache is, in many sentences.\n")
    page.until(
        "document.getElementById('send').textContent === 'Stop' && document.querySelectorAll('.assistant > .text')[1].innerText.length > 10"
    )
    page.run("document.getElementById('send').click()")
    page.until("document.querySelectorAll('.figures')[1].textContent === 'Stopped'")
    page.run("document.getElementById('see').click()")
    page.until("[...document.querySelectorAll('#requests td')].some((cell) => cell.textContent === 'stopped')")
    assert page.run("document.documentElement.scrollWidth") == 320
    page("Page.reload")
    page.until("document.querySelectorAll('.user').length === 2 && model.textContent.includes('serving')")

    if PICTURES:
        for name, width, height, dark in (
            ("phone", 320, 640, False),
            ("phone-dark", 390, 844, True),
            ("wide", 1280, 800, False),
            ("dark", 1280, 800, True),
        ):
            page.size(width, height, dark=dark)
            page.until("document.querySelector('#requests td')")
            page.picture(Path(PICTURES) / f"{name}.png")
    asked = [event["params"]["request"]["url"] for event in page.events if event["method"] == "Network.requestWillBeSent"]
    assert {url for url in asked if not url.startswith((server.url, "data:"))} == set()
    bad = [event["params"] for event in page.events if event["method"] in {"Runtime.exceptionThrown", "Log.entryAdded"}]
    assert [entry for entry in bad if "401" not in str(entry)] == []
