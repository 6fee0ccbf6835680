"""The web page as it is sent; tests/e2e has it in a browser."""

from __future__ import annotations

import hashlib
import re
from base64 import b64encode

import httpx2
import pytest

pytestmark = pytest.mark.slow


def test_the_page_may_run_its_own_script_only_and_loads_nothing(http: httpx2.Client) -> None:
    answer = http.get("/")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    for kind in ("script", "style"):
        (text,) = re.findall(f"<{kind}>(.*?)</{kind}>", answer.text, re.DOTALL)
        assert f"{kind}-src 'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}';" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert re.findall(r"innerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|(?:src|href)=\"(?!data:)", answer.text) == []
    assert len(answer.text.splitlines()) <= 600
    assert http.head("/").text == ""
    assert http.post("/").status_code == 405
