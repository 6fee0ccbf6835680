"""An SSH server of one's own: throw-away keys, a free port of the loopback interface, and if wanted a slow line in front of it."""

from __future__ import annotations

import grp
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
SSHD = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
CARRIED = ("HOME", "PATH", "PYTHONPATH", "LANG", "LC_ALL", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME")
"""Variables that the program at the other end gets, so that it stays in the test's folders."""
STARTS_S = 10.0


def missing() -> str:
    """What this machine lacks for SSH; empty when all is there."""
    if not (SSHD and shutil.which("ssh") and shutil.which("ssh-keygen")):
        return "openssh-server is not installed"
    return "" if _gives_terminals() else "only root can run an SSH server with terminals here: devpts is mounted without gid=tty"


def _gives_terminals() -> bool:
    """Whether an SSH server of this user may give out terminals: it can't change their group."""
    if os.geteuid() == 0:
        return True
    ours, theirs = os.openpty()
    try:
        return os.fstat(theirs).st_gid == grp.getgrnam("tty").gr_gid
    except KeyError:
        return True
    finally:
        os.close(ours)
        os.close(theirs)


@dataclass(frozen=True)
class Host:
    """A machine at the other end of an SSH connection, which is this one."""

    port: int
    key: Path

    def command(self, program: Sequence[str], *, options: Sequence[str] = (), environment: Mapping[str, str] | None = None) -> list[str]:
        """The command that runs a program over there in a terminal."""
        variables = {name: os.environ[name] for name in CARRIED if name in os.environ} | dict(environment or {})
        there = shlex.join(["env", *(f"{name}={value}" for name, value in variables.items()), *program])
        return [
            *("ssh", "-F", "none", "-tt", "-q", "-p", str(self.port), "-i", str(self.key), "-o", "StrictHostKeyChecking=no"),
            *("-o", "UserKnownHostsFile=/dev/null", "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", *options),
            *("127.0.0.1", f"cd {shlex.quote(str(REPOSITORY))} && exec {there}"),
        ]


@contextmanager
def server(folder: Path) -> Iterator[Host]:
    """Run an SSH server that lets in one key, made for it."""
    assert SSHD is not None
    for name in ("host", "mine"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)], check=True)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where the server locks itself in before a login
    port = free_port()
    settings = {
        **{"Port": port, "ListenAddress": "127.0.0.1", "HostKey": folder / "host", "AuthorizedKeysFile": folder / "mine.pub"},
        **{"StrictModes": "no", "UsePAM": "no", "PermitRootLogin": "yes", "PidFile": "none", "PrintMotd": "no"},
    }
    options = [part for name, value in settings.items() for part in ("-o", f"{name}={value}")]
    process = subprocess.Popen([SSHD, "-D", "-e", "-f", "/dev/null", *options], stderr=subprocess.DEVNULL)
    try:
        wait_for_port(port)
        yield Host(port, folder / "mine")
    finally:
        process.terminate()
        process.wait(10)


@dataclass(frozen=True)
class Line:
    """A slow line to a host."""

    host: Host
    process: subprocess.Popen[bytes]

    def cut(self) -> None:
        """From now on nothing arrives any more, and nobody is told."""
        self.process.send_signal(signal.SIGUSR1)


@contextmanager
def slow_line(host: Host, *, round_trip_ms: float, bytes_per_s: float = 1e9) -> Iterator[Line]:
    """Put a slow line in front of a host."""
    command = [sys.executable, "-m", "tests.e2e.slow_line", str(host.port), "--delay-ms", str(round_trip_ms / 2)]
    process = subprocess.Popen([*command, "--bytes-per-s", str(bytes_per_s)], stdout=subprocess.PIPE, cwd=REPOSITORY)
    assert process.stdout is not None
    try:
        yield Line(Host(int(process.stdout.readline()), host.key), process)
    finally:
        process.kill()
        process.wait(10)
        process.stdout.close()


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def wait_for_port(port: int) -> None:
    """Wait until somebody listens there."""
    deadline = time.monotonic() + STARTS_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
