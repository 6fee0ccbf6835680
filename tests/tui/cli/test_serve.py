"""`xchat serve` as a process: it says where it listens, answers, and ends when it is told to."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import IO

import httpx2
import pytest

from tests.tui.cli.conftest import Run

pytest.importorskip("uvicorn")

COMMAND = [sys.executable, "-c", "import sys; from tui.cli.main import main; sys.exit(main())", "serve", "builtin", "--port", "0"]
FAST = ["--threads", "1", "--n-ctx", "1024", "--temp", "0"]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--host", "0.0.0.0"], "An API key is needed to serve on 0.0.0.0"),
        (["--api-key-file", "missing"], "The key file missing can't be read"),
        (["--tls-cert", "cert.pem"], "--tls-cert and --tls-key must be given together"),
    ],
)
def test_what_can_not_be_served_is_said_before_a_model_is_loaded(xchat: Run, flags: list[str], said: str) -> None:
    ran = xchat("serve", *flags)
    assert ran.code == 2
    assert said in ran.err


def url_of(output: IO[str]) -> str:
    line = output.readline()
    found = re.search(r"http://\S+:\d+", line)
    assert found, line
    return found[0]


@pytest.mark.slow
def test_sigterm_lets_a_stream_finish_and_refuses_what_comes_then(tmp_path: Path) -> None:
    environment = {**os.environ, "HOME": str(tmp_path), "XCHAT_API_KEY": "secret"}
    with subprocess.Popen([*COMMAND, *FAST], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = url_of(process.stdout)
        body = {"messages": [{"role": "user", "content": "What is a token?"}], "stream": True, "max_tokens": 200}
        assert httpx2.post(f"{url}/v1/chat/completions", json=body).status_code == 401
        with httpx2.Client(base_url=url, headers={"Authorization": "Bearer secret"}, timeout=60) as client:
            with client.stream("POST", "/v1/chat/completions", json=body) as answer:
                lines = answer.iter_lines()
                assert next(lines).startswith("data: ")
                process.send_signal(signal.SIGTERM)
                assert [line for line in lines if line][-1] == "data: [DONE]"
            with pytest.raises(httpx2.HTTPError):
                client.get("/health").raise_for_status()
        assert process.wait(30) == 0


@pytest.mark.slow
def test_a_service_manager_passes_the_socket_and_is_told_when_requests_are_answered(tmp_path: Path) -> None:
    script = 'export LISTEN_PID=$$ LISTEN_FDS=1; listener=$1; shift; exec "$@" 3<&$listener'
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(60)
        environment = {**os.environ, "HOME": str(tmp_path), "NOTIFY_SOCKET": str(tmp_path / "notify")}
        command = ["bash", "-c", script, "bash", str(listener.fileno()), *COMMAND, *FAST, "--no-log"]
        with subprocess.Popen(command, env=environment, pass_fds=[listener.fileno()], stdout=subprocess.PIPE, text=True) as process:
            # Connected before anything is loaded: the request waits in the socket, and is then answered.
            assert httpx2.get(f"http://127.0.0.1:{listener.getsockname()[1]}/live", timeout=60).json()["state"] in {"loading", "serving"}
            assert manager.recv(1_000).startswith(b"READY=1\nSTATUS=")
            assert httpx2.get(f"http://127.0.0.1:{listener.getsockname()[1]}/health", timeout=60).status_code == 200
            process.send_signal(signal.SIGTERM)
            assert manager.recv(1_000) == b"STOPPING=1"
            assert process.wait(30) == 0
