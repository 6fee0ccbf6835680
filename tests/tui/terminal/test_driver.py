"""The driver outlives its terminal, and the private parts of Textual that it leans on are still there."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from textual import events
from textual._xterm_parser import XTermParser
from textual.app import App
from textual.drivers._writer_thread import WriterThread
from textual.drivers.linux_driver import LinuxDriver
from textual.message import Message

from tui.terminal.driver import AsciiDriver, Burst, SafeLinuxDriver, TtyFile
from tui.terminal.pastes import END, START


@pytest.fixture
def pipe() -> Iterator[tuple[int, Any]]:
    reader, writer = os.pipe()
    file = os.fdopen(writer, "w", encoding="utf-8")
    yield reader, file
    for descriptor in (reader, writer):
        with contextlib.suppress(OSError):
            os.close(descriptor)


def test_output_is_counted_and_characters_that_cannot_be_encoded_do_not_stop_it(pipe: tuple[int, Any]) -> None:
    reader, file = pipe
    tty = TtyFile(file)
    tty.write("─ä\ud800")
    assert os.read(reader, 100) == "─ä?".encode()
    assert tty.bytes_written == 6
    assert tty.stalled_s == 0.0


def test_without_utf8_lines_are_drawn_in_ascii(pipe: tuple[int, Any]) -> None:
    reader, file = pipe
    TtyFile(file, ascii_only=True).write("╭─╮ ä ⣿")
    assert os.read(reader, 100) == b"+-+ ? #"


def test_after_a_hang_up_writes_succeed_and_do_nothing(pipe: tuple[int, Any]) -> None:
    reader, file = pipe
    tty = TtyFile(file)
    os.close(reader)
    assert tty.write("lost") == 4
    assert tty.gone.is_set()
    assert tty.write("nobody reads this") == 17


def test_a_terminal_that_stands_still_is_noticed(pipe: tuple[int, Any]) -> None:
    reader, file = pipe
    tty = TtyFile(file)
    writer = threading.Thread(target=tty.write, args=("x" * 200_000,))
    writer.start()
    while not tty.stalled_s > 0.01:
        pass
    while writer.is_alive():
        os.read(reader, 65536)
        writer.join(0.001)
    assert tty.blocked_s > 0.01
    assert tty.stalled_s == 0.0


class Heard(SafeLinuxDriver):
    """A driver whose messages are kept."""

    def __init__(self) -> None:
        self.heard: list[Message] = []
        super().__init__(App())

    def process_message(self, message: Message) -> None:
        self.heard.append(message)


@pytest.fixture
async def driver(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Heard]:
    saved = {number: signal.getsignal(number) for number in (signal.SIGTSTP, signal.SIGCONT)}
    master, slave = os.openpty()
    with os.fdopen(slave, "w", encoding="utf-8") as terminal:
        monkeypatch.setattr("sys.__stderr__", terminal)
        monkeypatch.setattr("sys.__stdin__", terminal)
        made = Heard()
        made.taking_input.set()
        made.master = master  # type: ignore[attr-defined]
        yield made
    with contextlib.suppress(OSError):
        os.close(master)
    for number, handler in saved.items():
        signal.signal(number, handler)


def hear(driver: Heard, data: bytes, until: int) -> list[Message]:
    import termios
    import tty

    tty.setraw(driver.fileno, termios.TCSANOW)
    thread = threading.Thread(target=driver.run_input_thread)
    thread.start()
    os.write(driver.master, data)  # type: ignore[attr-defined]
    for _ in range(500):
        if len(driver.heard) >= until:
            break
        thread.join(0.01)
    driver.exit_event.set()
    thread.join()
    return driver.heard


def test_keys_pastes_and_bursts_are_told_apart(driver: Heard) -> None:
    burst = "a pasted line\r" * 10
    heard = hear(driver, f"k{START}one\rtwo{END}".encode(), 2)
    assert isinstance(heard[0], events.Key)
    assert isinstance(heard[1], events.Paste)
    assert heard[1].text == "one\rtwo"
    driver.exit_event.clear()
    heard = hear(driver, burst.encode(), 3)
    assert isinstance(heard[2], Burst)


def test_input_waits_in_the_terminal_until_a_widget_takes_it(driver: Heard) -> None:
    driver.taking_input.clear()
    assert hear(driver, b"early", 1) == []
    driver.exit_event.clear()
    driver.taking_input.set()
    assert [event.key for event in hear(driver, b"", 5) if isinstance(event, events.Key)] == list("early")


def test_a_letter_with_alt_is_a_key_and_no_text(driver: Heard) -> None:
    heard = [message for message in hear(driver, b"\x1bgg", 2) if isinstance(message, events.Key)]
    assert [(key.key, key.is_printable) for key in heard] == [("alt+g", False), ("g", True)]


def test_bytes_that_are_no_utf8_do_not_end_the_input(driver: Heard) -> None:
    heard = hear(driver, b"\xff\xfea", 3)
    assert isinstance(heard[-1], events.Key)
    assert heard[-1].character == "a"


def test_a_terminal_that_hangs_up_becomes_one_signal_and_the_thread_ends(driver: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    monkeypatch.setattr("os.kill", lambda _, number: sent.append(number))
    os.close(driver.master)  # type: ignore[attr-defined]
    thread = threading.Thread(target=driver.run_input_thread)
    thread.start()
    thread.join(2.0)
    assert not thread.is_alive()
    assert sent == [signal.SIGHUP]
    assert driver.tty.gone.is_set()
    driver.write("dropped")
    driver.stop_application_mode()
    driver.close()


def test_the_private_parts_of_textual_are_there(driver: Heard) -> None:
    assert driver._file is driver.tty
    assert driver._writer_thread is None
    assert driver.backlog == 0
    assert WriterThread(io.StringIO())._queue.qsize() == 0
    assert {event.key for event in XTermParser().feed("\x1b[A") if isinstance(event, events.Key)} == {"up"}
    assert LinuxDriver.run_input_thread is not SafeLinuxDriver.run_input_thread
    assert Burst.handler_name == events.Paste.handler_name
    assert AsciiDriver.ascii_only
