"""The exported page in a real browser: it stands by itself, and asks nobody for anything."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from engine.paths import database_path
from engine.store.export.exporter import Export, Format, export_to_file
from engine.store.export.tables import Selection, What
from tests.tui.saved import save_session

pytestmark = pytest.mark.e2e

CHROMIUM = next((path for name in ("chromium", "chromium-browser", "google-chrome", "chrome") if (path := shutil.which(name))), None)
HOSTILE = (
    '<script>alert(1)</script><img src="http://127.0.0.1:9/x.png"></pre></article></svg><style>*{color:red}</style>\x1b[2J\u202e &amp;'
)
LINE_COLOUR = (0x1F, 0x6F, 0xEB)
"""`--one` of the page's style, on light paper."""
PATIENCE_S = 120


@dataclass(frozen=True)
class Looked:
    """What a browser made of a page."""

    dom: str
    log: str
    requests: tuple[str, ...]
    """Addresses that the page itself asked for; what the browser asks of its maker has no page as its initiator."""
    picture: Image.Image


@pytest.fixture
def look(tmp_path: Path) -> Callable[[Path], Looked]:
    """Open a page twice, once for its document and once for its picture, each time with a fresh profile."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine")

    def browse(page: Path, *options: str) -> subprocess.CompletedProcess[str]:
        command = [
            *(str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
            *("--disable-component-update", "--disable-sync", "--disable-default-apps", "--disable-dev-shm-usage", "--hide-scrollbars"),
            *("--enable-logging=stderr", f"--user-data-dir={tmp_path / 'profile'}", *options, page.as_uri()),
        ]
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=True)

    def open_page(page: Path) -> Looked:
        network, picture = tmp_path / "network.json", tmp_path / "page.png"
        read = browse(page, "--dump-dom", f"--log-net-log={network}")
        drawn = browse(page, f"--screenshot={picture}", "--window-size=1200,2400")
        return Looked(read.stdout, read.stderr + drawn.stderr, asked_by_pages(network), Image.open(picture).convert("RGB"))

    return open_page


def asked_by_pages(network: Path) -> tuple[str, ...]:
    """The addresses in Chromium's network log that a page asked for."""
    text = network.read_text("utf-8").rstrip()
    try:
        log = json.loads(text)
    except ValueError:
        # A browser that ends before its log does leaves the list open.
        log = json.loads(text.rstrip(",") + "]}")
    parameters = [event.get("params", {}) for event in log["events"]]
    return tuple(
        one["url"]
        for one in parameters
        if "url" in one and "initiator" in one and one["initiator"] != "not an origin" and one["url"][:4] == "http"
    )


def console(log: str) -> list[str]:
    return re.findall(r".*:CONSOLE[:(].*", log)


@pytest.fixture
async def page(tmp_path: Path) -> Path:
    """A session of some turns with hostile texts, exported with them."""
    session_id, _, _ = await save_session(database_path(), HOSTILE, "Second", "Third", title=HOSTILE, preset=HOSTILE)
    export = Export(What.TURNS, Format.HTML, Selection((session_id,), texts=True))
    return export_to_file(database_path(), export, tmp_path / "page.html")


def test_the_page_is_whole_silent_and_fetches_nothing(page: Path, look: Callable[[Path], Looked]) -> None:
    looked = look(page)
    assert console(looked.log) == []
    assert looked.requests == ()
    for shown in ("Run card", "Charts", "Decode speed", "&lt;script&gt;alert(1)&lt;/script&gt;"):
        assert shown in looked.dom
    assert looked.dom.count('<svg class="chart"') >= 5
    assert "<script" not in looked.dom
    assert "<img" not in looked.dom


def test_the_charts_are_drawn_in_the_page_s_own_colours(page: Path, look: Callable[[Path], Looked]) -> None:
    colours = look(page).picture.getcolors(2**24) or []
    assert LINE_COLOUR in {colour for _, colour in colours}


def test_the_browser_would_tell_if_a_page_asked_for_something(tmp_path: Path, look: Callable[[Path], Looked]) -> None:
    page = tmp_path / "bad.html"
    page.write_text("<script>console.error('said')</script><img src='http://127.0.0.1:9/x.png'>", encoding="utf-8")
    looked = look(page)
    assert looked.requests == ("http://127.0.0.1:9/x.png",)
    assert any("said" in line for line in console(looked.log))
