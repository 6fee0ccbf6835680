from __future__ import annotations

import pytest

from engine.profiling.frames import (
    MAX_FRAME,
    Module,
    clean_frame,
    is_idle,
    is_native,
    module_of,
    shorten,
    thread_name,
    waits,
    without_line,
    without_template_arguments,
)


def test_escape_sequences_and_direction_overrides_become_visible_signs() -> None:
    assert clean_frame("a\x1b[31mb\x9b2J\u202e\n\x7f") == "a␛[31mb�2J�␊␡"


def test_a_frame_is_cut_and_cannot_split_a_stack() -> None:
    assert clean_frame("a;b") == "a,b"
    assert len(clean_frame("x" * 10_000)) == MAX_FRAME
    assert clean_frame("") == "?"


def test_a_long_native_name_keeps_its_library() -> None:
    frame = clean_frame(f"std::map<{'std::string, ' * 100}int>::find (libllama.so)")
    assert frame == "std::map<…>::find (libllama.so)"
    assert is_native(clean_frame(f"{'x' * 1_000} (libc.so.6)"))
    assert len(clean_frame(f"{'x' * 1_000} (libc.so.6)")) == MAX_FRAME


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("std::vector<int, std::allocator<int> >::push_back", "std::vector<…>::push_back"),
        ("std::operator<< <std::char_traits<char> >", "std::operator<< <…>"),
        ("llama::operator<", "llama::operator<"),
        ("T::operator->", "T::operator->"),
        ("a<b", "a<b"),
        ("plain", "plain"),
    ],
)
def test_template_arguments_give_way_to_the_name(name: str, short: str) -> None:
    assert without_template_arguments(name) == short


def test_a_native_address_is_named_after_its_library() -> None:
    assert clean_frame("0x7fd8a764524a (libc.so.6)") == "unnamed (libc.so.6)"


@pytest.mark.parametrize(
    ("path", "short"),
    [
        ("/venv/lib/python3.11/site-packages/textual/app.py", "textual/app.py"),
        ("/usr/lib/python3.11/asyncio/runners.py", "asyncio/runners.py"),
        ("/opt/lib/libggml-cpu.so.0", "libggml-cpu.so.0"),
        ("/somewhere/script.py", "script.py"),
        ("<string>", "<string>"),
    ],
)
def test_files_are_shortened_to_what_people_know(path: str, short: str) -> None:
    assert shorten(path) == short


@pytest.mark.parametrize(
    ("frame", "module"),
    [
        ("thread: MainThread", Module.THREAD),
        ("paint (textual/app.py:5)", Module.TEXTUAL),
        ("render (rich/console.py:5)", Module.TEXTUAL),
        ("run (tui/app.py:5)", Module.TUI),
        ("decode (engine/llama/context.py:5)", Module.ENGINE),
        ("__call__ (llama_cpp/llama.py)", Module.ENGINE),
        ("loads (json/decoder.py:5)", Module.PYTHON),
        ("<genexpr> (<string>:1)", Module.PYTHON),
        ("llama_decode (libllama.so)", Module.GGML),
        ("ggml_vec_dot (libggml-cpu.so.0)", Module.GGML),
        ("memcpy (libc.so.6)", Module.NATIVE),
        ("_ctypes_callproc (callproc.c:9)", Module.NATIVE),
        ("epoll_wait (libc.so.6)", Module.IDLE),
        ("no file at all", Module.PYTHON),
    ],
)
def test_a_frame_belongs_to_a_part_of_the_program(frame: str, module: Module) -> None:
    assert module_of(frame) is module


@pytest.mark.parametrize(
    "frame",
    [
        *("EpollSelector.select (selectors.py:468)", "Condition.wait (threading.py)", "wait4 (libc.so.6)"),
        *("Compute._receive (engine/llama/compute.py)", "SafeLinuxDriver._read_input (tui/terminal/driver.py:173)"),
        "_connection_worker_thread (aiosqlite/core.py:59)",
    ],
)
def test_waiting_is_known_by_the_last_frame(frame: str) -> None:
    assert is_idle(frame)
    assert not is_idle("wait_longer (mine.py)")


def test_a_thread_loses_its_id_but_not_its_name() -> None:
    assert thread_name("thread (0x7F12): engine; 1") == "engine; 1"
    assert thread_name("thread: engine") == "engine"
    assert thread_name("threading (x.py)") is None


def test_lines_of_one_function_can_be_joined() -> None:
    assert without_line("run (tui/app.py:10)") == "run (tui/app.py)"
    assert without_line("llama_decode (libllama.so)") == "llama_decode (libllama.so)"


def test_nameless_functions_at_the_end_do_not_hide_that_a_thread_waits() -> None:
    lock = ["thread: t", "get (queue.py)", "PyThread_acquire_lock_timed (libpython3.11.so)", "unnamed (libc.so.6)"]
    assert waits(lock)
    assert not waits(["llama_decode (libllama.so)", "unnamed (libgomp.so)"])
    assert not waits(["unnamed (libc.so.6)"])
